"""The command line of packseal-ledger."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from msgspec import structs

from evidence.merkle import Digest
from ledger import app, config
from ledger.bulk import Progress
from ledger.config import Config
from ledger.errors import ActRefused
from packseal import program
from packseal.program import Parser, UsageError
from packseal.version import __version__

PROGRAM: Final = "packseal-ledger"


def main(arguments: list[str] | None = None) -> int:
    """Run the program; returns its exit code."""
    return program.run(PROGRAM, lambda: _run(arguments))


def _run(arguments: list[str] | None) -> int:
    chosen = _parser().parse_args(arguments)
    settings = config.load(chosen.config)
    if chosen.state_dir is not None:
        settings = _with(settings, "ledger", state_dir=chosen.state_dir)
    command = {
        "init": _init,
        "serve": _serve,
        "register": _register,
        "show": _show,
        "bundle": _bundle,
        "log": _log_check,
        "key": _key,
    }[chosen.command]
    return command(settings, chosen)


def _init(settings: Config, chosen: argparse.Namespace) -> int:
    given = {name: value for name in ("origin", "registrar") if (value := getattr(chosen, name)) is not None}
    print(app.init(_with(settings, "ledger", **given), chosen.maker, chosen.title or chosen.maker))
    return program.OK


def _serve(settings: Config, chosen: argparse.Namespace) -> int:
    from ledger import serving  # not above: the other commands start in less time without a broker's client

    serving.journal()
    if chosen.share is not None:
        settings = _with(settings, "broker", shared_subscription=chosen.share)
    last = serving.serve(settings, chosen.broker, _say_ready)
    print(f"{PROGRAM}: stopped: {last}", flush=True)
    return program.OK


def _say_ready(origin: str, url: str) -> None:
    print(f"{PROGRAM}: serving {origin} at {url}", flush=True)


def _register(settings: Config, chosen: argparse.Namespace) -> int:
    if chosen.source is not None:
        return _register_list(settings, chosen)
    if chosen.pack is None:
        raise UsageError("register needs --pack, or a list with --from")
    if chosen.key is not None and chosen.gateway is None:
        raise UsageError("--key needs --gateway: a key speaks for a pack at a gateway")
    wanted = app.PackWanted(chosen.pack, chosen.gateway, chosen.key, tuple(chosen.attribute), chosen.party)
    for line in app.register(settings, wanted):
        print(line)
    return program.OK


def _register_list(settings: Config, chosen: argparse.Namespace) -> int:
    if chosen.pack or chosen.gateway or chosen.key or chosen.attribute:
        raise UsageError("--from takes packs, gateways, keys and attributes from the list, not from the command line")
    done = Progress()
    for done in app.register_list(settings, chosen.source, chosen.party):
        for refusal in done.refusals:
            print(program.printable(f"{chosen.source}:{refusal.line}: {refusal.reason}"))
        if sys.stderr.isatty():
            print(f"{PROGRAM}: {done.lines} lines, {done.acts} new acts", file=sys.stderr)
    print(
        f"{done.lines - done.refused} of {done.lines} registrations stand: {done.acts} new acts, "
        f"{done.standing} were there already, {done.refused} refused",
        flush=True,
    )
    if done.refused:
        raise ActRefused(f"{chosen.source}: {done.refused} of {done.lines} registrations are refused, see above")
    return program.OK


def _show(settings: Config, chosen: argparse.Namespace) -> int:
    found = app.packs(settings, chosen.pack)
    if chosen.json:
        print(json.dumps([pack.as_json() for pack in found], indent=2))
    else:
        for pack in found:
            print("\n".join(pack.lines()))
    return program.OK


def _bundle(settings: Config, chosen: argparse.Namespace) -> int:
    windows = tuple(chosen.window)
    made = app.bundle(settings, chosen.pack, chosen.out, with_segments=chosen.with_segments, windows=windows)
    verdict = made.verdict
    behind = f", {made.left_out} behind a hole left out" if made.left_out else ""
    documents = sum(1 for proven in verdict.statements if proven.document is not None)
    print(
        f"{chosen.out}: {len(made.encoded)} bytes, {len(verdict.statements)} statements{behind}, {documents} documents, "
        f"{len(verdict.windows)} single windows, complete as of size {verdict.complete_size}"
    )
    return program.OK


def _log_check(settings: Config, chosen: argparse.Namespace) -> int:
    findings = app.log_check(settings, chosen.ledger_key, _progress)
    if chosen.json:
        print(json.dumps(findings.as_json(), indent=2))
        return program.OK
    print(
        f"{findings.origin}: sound: {findings.entries} entries ({findings.acts} acts, {findings.statements} statements, "
        f"{findings.erased} erased), {findings.checkpoints} checkpoints, {findings.heads} heads, {findings.documents} "
        f"documents; {findings.equivocations} equivocations, {findings.loose} loose statements, "
        f"{findings.other_history} naming another history"
    )
    return program.OK


def _key(settings: Config, _: argparse.Namespace) -> int:
    print(app.ledger_key(settings))
    return program.OK


def _progress(done: int, size: int) -> None:
    print(f"{PROGRAM}: {done} of {size} entries", file=sys.stderr)


def _with(settings: Config, section: str, **changes: str) -> Config:
    """`settings` with what the command line says of a section, which is checked as in the file."""
    said = getattr(config.read({section: changes}, "command line"), section)
    changed = structs.replace(getattr(settings, section), **{key: getattr(said, key) for key in changes})
    return structs.replace(settings, **{section: changed})


def _attribute(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise argparse.ArgumentTypeError(f"{text!r} is not name=value")
    return name, value


def _window(text: str) -> tuple[Digest, int]:
    entry, _, index = text.partition(":")
    try:
        return Digest(bytes.fromhex(entry)), int(index)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not ENTRY:INDEX (64 hex digits, a number)") from None


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=PROGRAM,
        description="Keeps the log: admits what packs and parties sign, proves it, and shows it.",
        epilog="examples:\n"
        f"  {PROGRAM} init --origin ledger.example/packs --registrar packs.example,2026 --state-dir ./ledger\n"
        f"  {PROGRAM} serve --state-dir ./ledger --broker mqtt://127.0.0.1:1883",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    shared = Parser(add_help=False)
    shared.add_argument("--config", type=Path, metavar="FILE", help="ledger.toml (default: here, then /etc/packseal)")
    shared.add_argument("--state-dir", metavar="DIR", help="folder of log and keys, instead of the configured one")

    def command(name: str, about: str, example: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=about, description=about, parents=[shared], epilog=f"example:\n  {PROGRAM} {example}"
        )

    init = command(
        "init",
        "found a log: keys, policy and a first maker; prints the ledger's verifier key",
        "init --origin ledger.example/packs --registrar packs.example,2026 --state-dir ./ledger --maker acme",
    )
    init.add_argument("--origin", help="the log's name for ever, a schema-less URL")
    init.add_argument("--registrar", help="who names packs: domain,year")
    init.add_argument("--maker", default="maker", metavar="ID", help="identifier of the first maker (default: maker)")
    init.add_argument("--title", help="the maker's name in full")

    serve = command(
        "serve",
        "admit statements from the broker until stopped",
        "serve --state-dir ./ledger --broker mqtt://127.0.0.1:1883",
    )
    serve.add_argument("--broker", metavar="URL", help="mqtt[s]://[user@]host[:port], instead of the configured one")
    serve.add_argument("--share", metavar="GROUP", help='group of a shared subscription, "" for a plain one')

    register = command(
        "register",
        "bring a pack, its gateway and its key into the register, as far as they are not there yet",
        "register --state-dir ./ledger --pack pack-1 --gateway gw-1 --key pack-1.pub --attribute model=LR75",
    )
    register.add_argument("--pack", metavar="ID", help="identifier of the pack")
    register.add_argument("--gateway", metavar="ID", help="identifier of the gateway in its car")
    register.add_argument("--key", metavar="VKEY|FILE", help="the pack's verifier key (packseal-agent keys show)")
    register.add_argument(
        "--attribute", type=_attribute, action="append", default=[], metavar="NAME=VALUE", help="may be repeated"
    )
    register.add_argument(
        "--party", metavar="ID", help="who signs, the titleholder (default: the one whose key is here)"
    )

    register.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="FILE",
        help='register a whole list: on each line JSON such as {"pack": "p-1", "gateway": "gw-1", "key": VKEY, '
        '"attributes": {"model": "LR75"}}; empty lines and those that begin with # are passed over',
    )

    show = command("show", "what the register says of a pack, with the log index that proves it", "show pack-1 --json")
    show.add_argument("pack", nargs="?", metavar="PACK", help="identifier or URI (default: all)")
    show.add_argument("--json", action="store_true", help="as JSON")

    bundle = command(
        "bundle",
        "write what a stranger needs to check a pack offline",
        "bundle pack-1 --out pack-1.bundle --with-segments",
    )
    bundle.add_argument("pack", metavar="PACK", help="identifier or URI")
    bundle.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write")
    bundle.add_argument(
        "--with-segments", action="store_true", help="with the segment documents that the archive holds"
    )
    bundle.add_argument(
        "--window",
        type=_window,
        action="append",
        default=[],
        metavar="ENTRY:INDEX",
        help="disclose one window of a segment; may be repeated",
    )

    log = command("log", "derive the whole log again from its entries", "log check --state-dir ./ledger")
    log.add_argument("action", choices=["check"], help="the only thing to do with a log")
    log.add_argument("--ledger-key", metavar="VKEY|FILE", help="the key it must be of, instead of its policy's own")
    log.add_argument("--json", action="store_true", help="as JSON")

    command("key", "print the ledger's verifier key", "key --state-dir ./ledger")
    return parser
