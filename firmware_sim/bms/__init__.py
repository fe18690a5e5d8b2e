"""The battery management system: what it senses, estimates, limits and switches. It sees the truth through sensors only."""
