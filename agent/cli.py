"""packseal-agent: the command line. It parses, calls `app`, prints; exit codes are packseal.program's."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path

from agent import app, config
from agent.errors import AgentError
from packseal.program import FAILED, UNAVAILABLE, Parser, run
from packseal.version import __version__

_EXAMPLES = """examples:
  packseal-agent keys new pack-0001 --config agent.toml
  packseal-agent run --config agent.toml
  packseal-agent replay --config agent.toml --profile kona-ev --pack pack-0001 --bus-number 0 drive.csv
"""


class NotProven(AgentError):
    """A replay's statements were kept but not all proven in time."""

    exit_code = UNAVAILABLE


class Refused(AgentError):
    """The ledger refuses statements for good."""

    exit_code = FAILED


def main() -> int:
    """Entry point of packseal-agent."""
    return run("packseal-agent", _main)


def _main() -> int:
    arguments = _parser().parse_args()
    logging.basicConfig(
        stream=sys.stderr,
        format="packseal-agent: %(message)s",
        level=logging.DEBUG if arguments.verbose else logging.INFO,
    )
    settings = config.load(arguments.config)
    match arguments.command:
        case "run":
            app.run(settings)
            return 0
        case "replay":
            return _replay(settings, arguments)
        case _:
            return _keys(settings, arguments)


def _replay(settings: config.AgentConfig, arguments: argparse.Namespace) -> int:
    timeout_s = None if arguments.offline else arguments.timeout
    done = app.replay(settings, arguments.pack, arguments.profile, arguments.recording, arguments.bus_number, timeout_s)
    if arguments.json:
        print(json.dumps(asdict(done)))
    else:
        print(
            f"{done.frames} frames seen, {done.malformed} unreadable, {done.span_ms / 1000:.3f} s,"
            f" {done.windows} windows in {done.segments} segments"
        )
        print(f"{done.statements} statements: {done.proven} proven, {done.pending} pending, {done.refused} refused")
    if done.refused:
        raise Refused(f"{done.refused} statements were refused by the ledger; they are kept")
    if done.pending and not arguments.offline:
        raise NotProven(f"{done.pending} statements are not proven yet; they are kept and go out with the next run")
    return 0


def _keys(settings: config.AgentConfig, arguments: argparse.Namespace) -> int:
    store = app.keystore(settings)
    match arguments.keys_command:
        case "new":
            made = store.new(arguments.pack)
            print(json.dumps({"pack": arguments.pack, "key": str(made)}) if arguments.json else made)
        case "show":
            shown = store.show(arguments.pack)
            print(json.dumps({"pack": arguments.pack, "key": str(shown)}) if arguments.json else shown)
        case _:
            rows = [{"pack": each.pack, "key": str(store.show(each.pack))} for each in store.list()]
            print(json.dumps(rows) if arguments.json else "\n".join(f"{row['pack']}  {row['key']}" for row in rows))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="packseal-agent",
        description="Seals what a battery pack's BMS says on CAN, keeps it, and carries it to a ledger.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"packseal-agent {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _command(commands, "run", "listen, seal and carry until stopped", "packseal-agent run --config agent.toml")
    replay = _command(
        commands,
        "replay",
        "seal a recorded log as a pack",
        "packseal-agent replay --profile kona-ev --pack pack-0001 --bus-number 0 drive.csv",
    )
    replay.add_argument("--pack", required=True, help="pack id; its key must exist")
    replay.add_argument("--profile", required=True, help="vehicle profile, such as kona-ev")
    replay.add_argument("--bus-number", metavar="BUS", help="bus number or interface name in the log (default: all)")
    replay.add_argument("--offline", action="store_true", help="seal only; statements go out with the next run")
    replay.add_argument("--timeout", type=float, default=60.0, metavar="S", help="wait so long for proofs (default 60)")
    replay.add_argument("--json", action="store_true", help="print the result as JSON")
    replay.add_argument("recording", nargs="+", type=Path, help="candump .log, .asc, .blf or GVRET .csv files")
    keys = commands.add_parser(
        "keys",
        help="make and show keys",
        description="Keys, one per pack and gateway.",
        epilog="example:\n  packseal-agent keys new pack-0001",
    )
    keys_commands = keys.add_subparsers(dest="keys_command", required=True, metavar="COMMAND")
    for name, text in (("new", "make the key of a pack"), ("show", "print the public half of a pack's key")):
        each = _command(keys_commands, name, text, f"packseal-agent keys {name} pack-0001")
        each.add_argument("pack", help="pack id")
        each.add_argument("--json", action="store_true", help="print as JSON")
    listing = _command(keys_commands, "list", "print all public keys", "packseal-agent keys list --json")
    listing.add_argument("--json", action="store_true", help="print as JSON")
    return parser


def _command(commands: argparse._SubParsersAction[Parser], name: str, text: str, example: str) -> Parser:
    parser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ".", epilog=f"example:\n  {example}"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="configuration (default: agent.toml, then /etc/packseal)"
    )
    parser.add_argument("--verbose", action="store_true", help="say more on stderr")
    return parser
