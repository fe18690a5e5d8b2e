"""Starts packseal-agent; nothing is imported before it can be missed politely."""

import sys

from packseal.program import start


def main() -> int:
    """Entry point of packseal-agent."""
    return start("packseal-agent", "agent.cli")


if __name__ == "__main__":
    sys.exit(main())
