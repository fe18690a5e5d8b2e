"""packseal-verify: checks a bundle offline with the ledger's key and says in one verdict what it proves."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evidence import bundle
from evidence.bodies import GAP_REASONS, Gap
from evidence.verdict import Rejected, Verdict
from evidence.verify import verify
from packseal.keytext import named_keys
from packseal.program import FAILED, Failure, InputOutputError, Parser, UsageError, printable, run
from packseal.version import __version__

_EXAMPLE = """example:
  packseal-verify pack-0001.bundle --ledger-key ledger.vkey --pack-key pack-0001.vkey

exit codes: 0 verified, 65 rejected, 64 wrong usage, 74 the file cannot be read
"""


def main() -> int:
    """Entry point of packseal-verify."""
    return run("packseal-verify", _main)


def _main() -> int:
    arguments = _parser().parse_args()
    ledgers = named_keys(arguments.ledger_key)
    if len(ledgers) != 1:
        raise UsageError(f"{arguments.ledger_key}: one ledger key is expected, here are {len(ledgers)}")
    pins = [named.public for given in arguments.pack_key for named in named_keys(given)]
    offered = _read(arguments.bundle)
    try:
        verdict = verify(offered, ledgers[0], pins)
    except Rejected as rejected:
        if arguments.json:
            print(
                json.dumps(
                    {"verified": False, "step": rejected.step, "title": rejected.title, "reason": rejected.reason}
                )
            )
            return FAILED
        raise Failure(f"{arguments.bundle}: REJECTED at {rejected}") from None
    print(json.dumps(as_json(verdict)) if arguments.json else as_text(verdict))
    return 0


def as_json(verdict: Verdict) -> dict[str, object]:
    """The verdict as plain values: digests and keys in hex, times in Unix ms of the log."""
    return {
        "verified": True,
        "pack": verdict.pack,
        "ledger": verdict.origin,
        "size": verdict.size,
        "root": verdict.root.hex(),
        "titleholder": verdict.titleholder,
        "attributes": dict(verdict.attributes),
        "statements": _kinds(verdict),
        "frames": verdict.frames,
        "windows": verdict.window_count,
        "documents": sum(each.document is not None for each in verdict.statements),
        "disclosed_windows": len(verdict.windows),
        "gaps": [_gap_json(each.statement.body) for each in verdict.statements if isinstance(each.statement.body, Gap)],
        "complete_size": verdict.complete_size,
        "complete_time_ms": verdict.complete_time_ms,
        "loose_statements": verdict.loose,
        "heard_time_ms": verdict.heard_time_ms,
        "pack_keys_pinned": verdict.pinned,
        "keys": [
            {
                "kid": key.kid.hex(),
                "public": key.public.hex(),
                "speaks_for": key.speaks_for,
                "bound_by": key.bound_by,
                "index": key.index,
            }
            for key in verdict.keys
        ],
    }


def as_text(verdict: Verdict) -> str:
    """The verdict for a person."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in _kinds(verdict).items()) or "none"
    rows = [
        ("pack", verdict.pack),
        ("titleholder", verdict.titleholder),
        ("ledger", f"{verdict.origin}, {verdict.size} entries, root {verdict.root.hex()[:16]}"),
        ("statements", f"{len(verdict.statements)} proven: {kinds}"),
        ("measured", f"{verdict.frames} frames in {verdict.window_count} windows"),
        ("documents", f"{sum(each.document is not None for each in verdict.statements)} segment documents checked"),
        ("complete", _complete(verdict)),
        ("last heard", _time(verdict.heard_time_ms)),
        ("pack keys", "pinned by you" if verdict.pinned else "believed as the ledger bound them (pin with --pack-key)"),
    ]
    # Whoever registered the pack chose these words: under their own names they could pass for ours.
    rows += [("attribute", f"{name} = {value}") for name, value in verdict.attributes]
    rows += [
        ("gap", _gap_text(each.statement.body)) for each in verdict.statements if isinstance(each.statement.body, Gap)
    ]
    for key in verdict.keys:
        rows += [
            ("key", f"{key.kid.hex()} {key.speaks_for}"),
            ("", f"  vouched for by {key.bound_by}, index {key.index}"),
        ]
    width = max(len(name) for name, _ in rows)
    return "\n".join([*(printable(f"{name:<{width}}  {value}") for name, value in rows), "VERIFIED"])


def _kinds(verdict: Verdict) -> dict[str, int]:
    return dict(sorted(Counter(each.statement.kind for each in verdict.statements).items()))


def _gap_text(gap: Gap) -> str:
    """Reason, how long by the boot clock (of one boot, else by the car's wall clock), and since when the car believed."""
    facts = _gap_json(gap)
    lasted = facts["duration_ms"]
    text = f"{facts['reason']}, " + ("for unknown long" if lasted is None else f"{lasted / 1000:.3f} s")
    if gap.start.wall_ms:
        text += f" from {_utc(gap.start.wall_ms)} by the car's clock"
    return text + (f", {gap.count} frames" if gap.count is not None else "")


def _gap_json(gap: Gap) -> dict[str, Any]:
    same_boot = gap.start.boot_id == gap.end.boot_id
    walls = gap.start.wall_ms and gap.end.wall_ms
    by_wall = gap.end.wall_ms - gap.start.wall_ms if walls else None
    return {
        "reason": GAP_REASONS.get(gap.reason, f"reason {gap.reason}"),
        "duration_ms": gap.end.boot_ms - gap.start.boot_ms if same_boot else by_wall,
        "start_wall_ms": gap.start.wall_ms or None,
        "end_wall_ms": gap.end.wall_ms or None,
        "same_boot": same_boot,
        "frames": gap.count,
    }


def _complete(verdict: Verdict) -> str:
    if verdict.complete_size is None:
        return "included, completeness unknown: the bundle shows no heads"
    as_of = f"as of size {verdict.complete_size}, {_time(verdict.complete_time_ms)}"
    if verdict.loose:
        return f"NO: {verdict.loose} later statements hang on one that is missing and are not shown; else {as_of}"
    return as_of


def _time(unix_ms: int | None) -> str:
    return "the bundle shows no log time" if unix_ms is None else f"{_utc(unix_ms)} by the log's time"


def _utc(unix_ms: int) -> str:
    try:
        return f"{datetime.fromtimestamp(unix_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (OverflowError, ValueError, OSError):
        return f"{unix_ms} ms"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(bundle.MAX_BYTES + 1)
    except OSError as problem:
        raise InputOutputError(f"{path}: {problem.strerror}") from None


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="packseal-verify",
        description="Checks a bundle offline: no network, no clock, nothing but the ledger's key.",
        epilog=_EXAMPLE,
    )
    parser.add_argument("bundle", type=Path, help="the bundle's file")
    parser.add_argument(
        "--ledger-key", required=True, metavar="VKEY", help="the ledger's verifier key, or a file with it"
    )
    parser.add_argument(
        "--pack-key",
        action="append",
        default=[],
        metavar="VKEY",
        help="accept statements signed by these keys only, so that no registrar has to be believed; repeatable",
    )
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    parser.add_argument("--version", action="version", version=f"packseal-verify {__version__}")
    return parser
