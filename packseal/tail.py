"""packseal-tail: follows the MQTT topics, decodes and verifies what passes, one line per message."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

from evidence.keys import NamedKey
from link import topics
from link.connection import Connection
from link.endpoint import Tls, parse_url
from link.errors import LinkError
from link.events import Denied, Down, Message, Up
from packseal.keytext import named_keys
from packseal.onlooker import Line, Onlooker
from packseal.program import Parser, Unavailable, UsageError, run
from packseal.version import __version__

_PATIENCE_S = 10.0
_EXAMPLE = """example:
  packseal-tail mqtt://localhost:1883 --ledger-key ledger.vkey --pack-key packs.vkey

marks: ok verified, -- not checked (no key for it, or never evidence, as live and health), BAD false
"""


def main() -> int:
    """Entry point of packseal-tail."""
    return run("packseal-tail", _main)


def _main() -> int:
    arguments = _parser().parse_args()
    onlooker = Onlooker(
        _ledger_key(arguments.ledger_key), [key for each in arguments.pack_key for key in named_keys(each)]
    )
    files = (arguments.ca, arguments.certificate, arguments.key)
    tls = Tls(*files) if any(files) else None
    try:
        endpoint = parse_url(arguments.url, password_file=arguments.password_file, tls=tls)
        endpoint.check()
        connection = Connection(endpoint)
        connection.subscribe([topics.everything_of_pack(arguments.pack) if arguments.pack else topics.everything()])
    except LinkError as problem:
        raise UsageError(str(problem)) from None
    with connection:
        _follow(connection, onlooker, arguments.count, as_json=arguments.json)
    return 0


def _follow(connection: Connection, onlooker: Onlooker, count: int | None, *, as_json: bool) -> None:
    """Print until `count` messages have passed, or for ever; Unavailable if no broker has let us in for a while."""
    give_up = time.monotonic() + _PATIENCE_S
    been_up, left = False, count
    while left is None or left > 0:
        for event in connection.poll(0.5):
            match event:
                case Up():
                    been_up = True
                case Down(reason=reason, permanent=permanent):
                    if permanent or (not been_up and time.monotonic() > give_up):
                        raise Unavailable(reason)
                    if been_up:
                        print(f"packseal-tail: {reason}; trying again", file=sys.stderr)
                case Denied(filter=name, reason=reason):
                    raise Unavailable(f"the broker does not let us subscribe to {name}: {reason}")
                case Message(topic=topic, payload=payload, token=token):
                    connection.ack(token)
                    line = onlooker.look(topic, payload)
                    print(_json(topic, line) if as_json else _text(line), flush=True)
                    left = None if left is None else left - 1
                    if left == 0:
                        return
                case _:
                    pass
        if not been_up and time.monotonic() > give_up:
            raise Unavailable(f"{connection.endpoint}: no answer; is the broker running?")


def _text(line: Line) -> str:
    """One line, cut to the terminal's width if it goes to one."""
    text = f"{line.where:<16} {line.leaf:<8} {line.mark:<3} {line.text}"
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else len(text)
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _json(topic: str, line: Line) -> str:
    verified = {"ok": True, "BAD": False}.get(line.mark)
    row = {"topic": topic, "leaf": line.leaf, "verified": verified, "text": line.text, **line.facts}
    return json.dumps(row, separators=(",", ":"))


def _ledger_key(given: str | None) -> NamedKey | None:
    keys = named_keys(given) if given else []
    if len(keys) > 1:
        raise UsageError(f"{given}: one ledger key is expected, here are {len(keys)}")
    return keys[0] if keys else None


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="packseal-tail",
        description="Follows packseal's MQTT topics, decodes and verifies what passes, one line per message.",
        epilog=_EXAMPLE,
    )
    parser.add_argument("url", help="the broker: mqtt[s]://[user@]host[:port]")
    parser.add_argument("--pack", metavar="ID", help="only this pack's topics")
    parser.add_argument(
        "--ledger-key", metavar="VKEY", help="verify proofs and answers: the ledger's key, or a file with it"
    )
    parser.add_argument(
        "--pack-key",
        action="append",
        default=[],
        metavar="VKEY",
        help="verify statements: a pack's key, or a file of them",
    )
    parser.add_argument("--count", type=int, metavar="N", help="stop after N messages")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="one line: the broker password")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="certificates to trust, PEM")
    parser.add_argument("--certificate", type=Path, metavar="FILE", help="our certificate, PEM")
    parser.add_argument("--key", type=Path, metavar="FILE", help="our certificate's key, PEM")
    parser.add_argument("--version", action="version", version=f"packseal-tail {__version__}")
    return parser
