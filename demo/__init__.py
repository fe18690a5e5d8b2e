"""The demonstration: the project's own programs as real processes around a real broker. Not part of the wheel."""
