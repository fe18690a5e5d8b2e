"""`packseal-sim inject`: asks a running simulator for faults, ends them, and tells which there are."""

from __future__ import annotations

import argparse
import json
import math
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from firmware_sim.commands.arguments import Commands, command
from firmware_sim.faults import catalogue
from firmware_sim.faults.catalogue import KINDS, Kind
from firmware_sim.faults.parameters import Parameter
from packseal.program import ConfigurationError, Parser, Unavailable, UsageError

ANSWER_S = 10.0
MAX_ANSWER = 1 << 20

EXAMPLES = """\
examples:
  packseal-sim inject --list                                      every fault, with its parameters
  packseal-sim inject --control /tmp/pack1.sock cell-short --cell 7 --ohm 0.5 --for 60
  packseal-sim inject --control /tmp/pack1.sock --status          what is active, and what it has done so far
  packseal-sim inject --control /tmp/pack1.sock --clear           all faults end
"""


def add(commands: Commands) -> None:
    """Add the command to the program's."""
    text = "Inject faults into a running simulator that was started with --control."
    inject = command(commands, "inject", text, EXAMPLES)
    inject.add_argument("--control", type=Path, metavar="PATH", help="the simulator's control socket")
    what = inject.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="list all faults and their parameters")
    what.add_argument("--status", action="store_true", help="tell which faults are active")
    what.add_argument("--clear", nargs="?", const="all", metavar="KIND", help="end all faults, or those of one kind")
    inject.add_argument("--json", action="store_true", help="print the answer as one line of JSON")
    inject.set_defaults(execute=execute, kind=None)
    kinds = inject.add_subparsers(dest="kind", metavar="KIND", parser_class=Parser, title="faults")
    for kind in KINDS.values():
        _add_kind(kinds, kind)


def execute(options: argparse.Namespace) -> None:
    """Do what the command line asks for and print the answer."""
    if options.kind is not None and (options.list or options.status or options.clear is not None):
        raise UsageError("inject: give a fault, --status, --clear or --list, one of them")
    if options.list:
        print(json.dumps(_catalogue()) if options.json else _listed())
        return
    if options.control is None:
        raise UsageError("inject: give --control PATH, the control socket of a running simulator, or --list")
    answer = ask(options.control, _request(options))
    print(json.dumps(answer) if options.json else _told(answer))


def ask(path: Path, request: Mapping[str, object]) -> dict[str, Any]:
    """The answer of the simulator at `path`. Unavailable if none is there, UsageError if it refuses."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.settimeout(ANSWER_S)
            caller.connect(str(path))
            caller.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(_line(caller))
    except TimeoutError as problem:
        raise Unavailable(f"{path}: the simulator does not answer") from problem
    except OSError as problem:
        why = problem.strerror or str(problem)
        raise Unavailable(f"{path}: no simulator is in control there: {why}; start one with --control") from problem
    except ValueError as problem:
        raise Unavailable(f"{path}: what answers there is no simulator") from problem
    if not isinstance(answer, dict) or not answer.get("ok"):
        raise UsageError(str(answer.get("error") if isinstance(answer, dict) else answer))
    return answer


def _add_kind(kinds: Commands, kind: Kind) -> None:
    parser = kinds.add_parser(kind.name, help=kind.meaning, description=kind.meaning, allow_abbrev=False)
    for parameter in kind.parameters:
        parser.add_argument(
            _option(parameter), dest=f"fault_{parameter.name}", metavar="VALUE", help=_explained(parameter)
        )
    explained = argparse.SUPPRESS if kind.momentary else "seconds; without it until it is cleared"
    parser.add_argument("--for", dest="for_s", metavar="S", help=explained)


def _request(options: argparse.Namespace) -> Mapping[str, object]:
    if options.status:
        return {"do": "status"}
    if options.clear is not None:
        if options.clear != "all" and options.clear not in KINDS:
            raise UsageError(f"--clear: {options.clear!r} is not a fault; there are {', '.join(KINDS)}")
        return {"do": "clear", "kind": None if options.clear == "all" else options.clear}
    if options.kind is None:
        raise UsageError("inject: give a fault, --status, --clear or --list")
    words = {name.removeprefix("fault_"): word for name, word in vars(options).items() if name.startswith("fault_")}
    try:
        fault = catalogue.read_text(
            options.kind, {name: word for name, word in words.items() if word is not None}, "inject"
        )
    except ConfigurationError as refused:
        raise UsageError(str(refused)) from refused
    parameters = dict(fault.parameters)
    if parameters.get("log"):
        parameters["log"] = str(Path(str(parameters["log"])).absolute())  # the simulator may stand in another folder
    elif "log" in parameters:
        del parameters["log"]
    return {"do": "inject", "kind": fault.kind, "parameters": parameters, "for_s": _seconds(options)}


def _seconds(options: argparse.Namespace) -> float | None:
    word = getattr(options, "for_s", None)
    if word is None:
        return None
    if KINDS[options.kind].momentary:
        raise UsageError(f"--for: {options.kind} happens in a moment; leave it out; see packseal-sim inject --help")
    try:
        seconds = float(word)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0.0):
        raise UsageError(f"--for: {word!r} is not a number of seconds above 0")
    return seconds


def _line(caller: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"\n") and len(received) <= MAX_ANSWER:
        piece = caller.recv(65_536)
        if not piece:
            break
        received += piece
    return received


def _told(answer: Mapping[str, Any]) -> str:
    if "cleared" in answer:
        return f"{answer['cleared']} faults cleared"
    if "injected" in answer:
        return _entry(answer["injected"])
    lines = [f"at {answer['time_s']:.1f} s: {len(answer['active'])} faults active", *map(_entry, answer["active"])]
    for kind, counts in answer["faults"].items():
        lines.append(f"{kind}: begun {counts['begun']} times, {counts['frames']} frames concerned")
    return "\n".join(lines)


def _entry(entry: Mapping[str, Any]) -> str:
    parameters = " ".join(f"{name}={value}" for name, value in entry["parameters"].items())
    until = "until cleared" if entry["until_s"] is None else f"until {entry['until_s']:.1f} s"
    momentary = KINDS[entry["kind"]].momentary
    return " ".join(
        filter(None, [entry["kind"], parameters, f"from {entry['from_s']:.1f} s", "" if momentary else until])
    )


def _listed() -> str:
    lines = []
    for kind in KINDS.values():
        lines.append(f"{kind.name}: {kind.meaning}")
        lines += [f"  {_option(parameter)}: {_explained(parameter)}" for parameter in kind.parameters]
    return "\n".join(lines)


def _catalogue() -> dict[str, object]:
    return {
        kind.name: {
            "meaning": kind.meaning,
            "place": kind.place,
            "momentary": kind.momentary,
            "parameters": {
                parameter.name: {
                    "meaning": parameter.meaning,
                    "allowed": parameter.allowed(),
                    "default": parameter.default,
                }
                for parameter in kind.parameters
            },
        }
        for kind in KINDS.values()
    }


def _option(parameter: Parameter) -> str:
    return "--" + parameter.name.replace("_", "-")


def _explained(parameter: Parameter) -> str:
    default = parameter.default
    said = "" if default in ("", ()) else f"; default {str(default).lower() if isinstance(default, bool) else default}"
    return f"{parameter.meaning} ({parameter.allowed()}{said})"
