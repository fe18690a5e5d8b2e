"""The one place that holds packseal's version."""

__version__ = "0.1.0"
