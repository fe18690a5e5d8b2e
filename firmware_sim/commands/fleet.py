"""`packseal-sim fleet`: loads a ledger with the signed statements of many gateways, and measures its answers."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Final

from firmware_sim.commands.arguments import Commands, command, number, whole
from packseal.program import Failure, UsageError

ABOUT: Final = """\
Load a ledger with the signed statements of many gateways, and measure its answers.

It is a generator and says so: packs are called sim-..., each epoch names this program as its software, and no pack is
simulated for a statement; what they say is taken from a small library of windows that were simulated once. Signatures,
chains, segment documents and the verification of every proof are real. A few connections carry all gateways."""
EXAMPLES: Final = """\
examples:
  packseal-sim fleet --packs 1000 --register-only fleet.jsonl     then: packseal-ledger register --from fleet.jsonl
  packseal-sim fleet --packs 1000 --rate 200 --duration 60 --broker mqtt://127.0.0.1:1883 --ledger-key ledger.vkey
"""


def add(commands: Commands) -> None:
    """Add the command to the program's."""
    text = "Load a ledger with signed statements of many gateways."
    parser = command(commands, "fleet", text, EXAMPLES, ABOUT)
    parser.add_argument("--packs", type=whole, required=True, metavar="N", help="how many packs, each at its gateway")
    parser.add_argument("--rate", type=_positive, default=100.0, metavar="R", help="statements a second, of all (100)")
    parser.add_argument("--duration", type=_positive, default=60.0, metavar="S", help="seconds of sending (60)")
    parser.add_argument("--broker", metavar="URL", help="mqtt[s]://[user@]host[:port]")
    parser.add_argument("--ledger-key", metavar="VKEY|FILE", help="the ledger's verifier key: its proofs are verified")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="password of the broker's user")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="whom to trust, PEM, instead of the system's roots")
    parser.add_argument("--registrar", default="packs.example,2026", metavar="D,Y", help="who names packs: domain,year")
    parser.add_argument(
        "--keys", type=Path, default=Path("sim-fleet"), metavar="DIR", help="folder of the fleet's seed"
    )
    parser.add_argument("--connections", type=whole, default=4, metavar="C", help="that carry all gateways (4)")
    parser.add_argument("--gap-share", type=_share, default=0.005, metavar="X", help="gaps among statements (0.005)")
    parser.add_argument("--documents", action="store_true", help="send segment documents too, and await their receipts")
    parser.add_argument("--sign-ahead", action="store_true", help="sign everything before the clock starts")
    parser.add_argument("--patience", type=_positive, default=30.0, metavar="S", help="wait so long for an answer (30)")
    parser.add_argument(
        "--register-only", type=Path, metavar="FILE", help="write what the ledger must register; no load"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as one line of JSON")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> None:
    """Write the registrations, or run the load and print its figures; Failure unless every statement was proven."""
    # Imported here so that the simulator's other commands do not pay for evidence and the link.
    from firmware_sim.fleet import run

    if options.register_only is not None:
        count = run.write_registrations(options)
        print(f"{count} registrations in {options.register_only}; packseal-ledger register --from takes them")
        return
    if options.broker is None or options.ledger_key is None:
        raise UsageError("a load needs --broker and --ledger-key (or --register-only)")
    figures = run.load(options)
    print(json.dumps(figures.as_json()) if options.json else "\n".join(figures.lines()), flush=True)
    if figures.proven < figures.statements:
        unknown = {"unknown-pack", "unknown-key"} & figures.refused.keys()
        cure = "; register this fleet first: --register-only" if unknown else ""
        raise Failure(f"{figures.statements - figures.proven} of {figures.statements} statements were not proven{cure}")


def _positive(text: str) -> float:
    value = number(text)
    if value == 0.0:
        raise argparse.ArgumentTypeError("0 is not above 0")
    return value


def _share(text: str) -> float:
    value = number(text)
    if value > 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to 1")
    return value
