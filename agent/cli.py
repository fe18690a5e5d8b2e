"""packseal-agent: the command line. It parses, calls `app`, prints; exit codes are packseal.program's."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final

from agent import config, configured_keys
from agent.errors import AgentError
from agent.keystore import Keystore
from agent.selftest import Finding, Result
from packseal.program import FAILED, UNAVAILABLE, Parser, printable, run
from packseal.version import __version__

_EXAMPLES = """examples:
  packseal-agent keys new pack-0001 --config agent.toml
  packseal-agent run --config agent.toml
  packseal-agent replay --config agent.toml --profile kona-ev --pack pack-0001 --bus-number 0 drive.csv
"""
_COLOURS: Final[dict[Result, str]] = {"ok": "\x1b[32m", "warn": "\x1b[33m", "FAIL": "\x1b[31m"}


class NotProven(AgentError):
    """A replay's statements were kept but not all proven in time."""

    exit_code = UNAVAILABLE


class Refused(AgentError):
    """The ledger refuses statements for good."""

    exit_code = FAILED


class SelftestFailed(AgentError):
    """Something that the agent needs is not as it must be."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


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
    if arguments.command == "selftest":
        return _selftest(arguments)
    settings = config.load(arguments.config)
    match arguments.command:
        case "run":
            from agent import app  # not above: keys are made in a fifth of the time without it

            app.run(settings)
            return 0
        case "replay":
            return _replay(settings, arguments)
        case _:
            return _keys(settings, arguments)


def _replay(settings: config.AgentConfig, arguments: argparse.Namespace) -> int:
    from agent import app

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


def _selftest(arguments: argparse.Namespace) -> int:
    """Say each finding as it is found; the exit code is that of the first failure's kind."""
    from agent import checkup

    found: list[Finding] = []
    colours = _COLOURS if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else {}
    for each in checkup.findings(arguments.config, require_broker=arguments.require_broker):
        found.append(each)
        if not arguments.json:
            on, off = (colours[each.result], "\x1b[0m") if colours else ("", "")
            print(f"{on}{each.result:4}{off} {printable(str(each))}", flush=True)
    if arguments.json:
        rows = [{"name": each.name, "result": each.result, "what": each.what, "cure": each.cure} for each in found]
        print(json.dumps(rows))
    failures = [each for each in found if each.result == "FAIL"]
    if failures:
        raise SelftestFailed(f"{len(failures)} of {len(found)} checks failed", failures[0].exit_code)
    return 0


def _keys(settings: config.AgentConfig, arguments: argparse.Namespace) -> int:
    store = configured_keys.keystore(settings)
    match arguments.keys_command:
        case "new":
            made = store.new(arguments.pack)
            print(json.dumps({"pack": arguments.pack, "key": str(made)}) if arguments.json else made)
        case "show":
            shown = store.show(arguments.pack)
            print(json.dumps({"pack": arguments.pack, "key": str(shown)}) if arguments.json else shown)
        case "seal":
            _seal(store, arguments)
        case _:
            rows = [
                {
                    "pack": each.pack,
                    "key": str(store.show(each.pack, plain=True)),
                    "sealed": store.sealed(each.pack),
                }
                for each in store.list()
            ]
            print(json.dumps(rows) if arguments.json else "\n".join(f"{row['pack']}  {row['key']}" for row in rows))
    return 0


def _seal(store: Keystore, arguments: argparse.Namespace) -> None:
    packs = [arguments.pack] if arguments.pack else [each.pack for each in store.list()]
    now = [pack for pack in packs if store.seal(pack)]
    if arguments.json:
        print(json.dumps({"sealed": now, "already": [pack for pack in packs if pack not in now]}))
        return
    for pack in packs:
        print(f"{pack}: {'sealed' if pack in now else 'was sealed already'}")
    if now:
        print(
            "Overwriting does not erase flash memory: copies of the plain files may remain that only new keys make worthless."
        )


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
    selftest = _command(
        commands,
        "selftest",
        "check everything that the agent needs, beside a running one too",
        "packseal-agent selftest --config agent.toml",
    )
    selftest.add_argument("--require-broker", action="store_true", help="fail if the broker cannot be reached")
    selftest.add_argument("--json", action="store_true", help="print the findings as JSON")
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
    sealing = _command(
        keys_commands,
        "seal",
        "seal plain key files with the wrapping key",
        "packseal-agent keys seal --config agent.toml",
    )
    sealing.add_argument("pack", nargs="?", help="pack id (default: all of this gateway)")
    sealing.add_argument("--json", action="store_true", help="print as JSON")
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
