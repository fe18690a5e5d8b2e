"""The programs that belong to neither side, and what every program shares."""
