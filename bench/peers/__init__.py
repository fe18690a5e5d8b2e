"""What others, or a straightforward script, would do for the same work."""
