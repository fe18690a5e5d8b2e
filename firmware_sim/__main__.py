"""Starts packseal-sim; nothing is imported before it can be missed politely."""

import sys

from packseal.program import start


def main() -> int:
    """Entry point of packseal-sim."""
    return start("packseal-sim", "firmware_sim.cli")


if __name__ == "__main__":
    sys.exit(main())
