"""Starts packseal-ledger; nothing is imported before it can be missed politely."""

import sys

from packseal.program import start


def main() -> int:
    """Entry point of packseal-ledger."""
    return start("packseal-ledger", "ledger.cli")


if __name__ == "__main__":
    sys.exit(main())
