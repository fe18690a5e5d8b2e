"""What one MQTT message says, and whether it is true: every topic read, verified as far as the given keys allow. Pure.

It keeps only what it needs to hold a document against the statement that names it.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from evidence import answer, proof, segment, statement
from evidence.answer import Refusal
from evidence.bodies import CLOSE_REASONS, GAP_REASONS, OPEN_REASONS, Body, Clock, Close, Gap, Open, Segment
from evidence.errors import EvidenceError, SignatureError
from evidence.keys import KeyId, NamedKey, key_id
from evidence.merkle import Digest
from link import probe, topics
from link.errors import TopicError
from link.topics import Leaf, Topic
from packseal.program import printable

_REMEMBERED: Final = 1024
_LONGEST_JSON: Final = 64 * 1024
_MOST_BRACKETS: Final = 600  # a live line has one for each array that a profile may have
_LARGEST: Final = 2**63
_SHOWN: Final = 7
_FIRST: Final = (
    "StateOfCharge.Current",
    "CurrentVoltage",
    "CurrentCurrent",
    "CellVoltage.Min",
    "CellVoltage.Max",
    "Temperature.Max",
)
_NAMES: Final = {
    "StateOfCharge.Current": "SoC",
    "CurrentVoltage": "U",
    "CurrentCurrent": "I",
    "CellVoltage.Min": "cell min",
    "CellVoltage.Max": "cell max",
    "Temperature.Max": "T",
}
_MACHINE_KEYS: Final = frozenset({"time_ms", "after"})
_UNITS: Final = {
    "uV": (1e6, 4, "V"),
    "mV": (1e3, 1, "V"),
    "mA": (1e3, 1, "A"),
    "mdegC": (1e3, 1, "°C"),
    "Wh": (1e3, 1, "kWh"),
    "W": (1e3, 1, "kW"),
    "permille": (10, 1, "%"),
}
_SINGLE_CELL_MV: Final = 10_000
TRUE, UNCHECKED, FALSE = "ok", "--", "BAD"


@dataclass(frozen=True, slots=True)
class Line:
    """One message: where it belongs, whether its claim holds (ok, -- not checked, BAD), and what it says."""

    where: str
    leaf: str
    mark: str
    text: str
    facts: dict[str, object] = field(default_factory=dict)


class Onlooker:
    """Reads messages in the order of their arrival. Without a key, what it would check is marked as not checked."""

    def __init__(self, ledger: NamedKey | None, packs: Iterable[NamedKey]) -> None:
        self._ledger = ledger
        self._packs: dict[KeyId, NamedKey] = {key_id(named.public): named for named in packs}
        self._segments: OrderedDict[Digest, tuple[str, Segment]] = OrderedDict()

    def look(self, topic: str, payload: bytes) -> Line:
        """The line of one message; whatever it holds, a line comes out."""
        try:
            place = topics.parse(topic)
        except TopicError as problem:
            return Line(printable(topic[:80]), "?", FALSE, printable(str(problem)))
        where = place.pack or place.gateway or place.ledger or "?"
        try:
            mark, text, facts = self._read(place, payload)
        except EvidenceError as problem:
            mark, text, facts = FALSE, str(problem), {}
        # Whatever a stranger wrote, a terminal shows it and never obeys it.
        return Line(where, str(place.leaf), mark, printable(text), facts)

    def _read(self, place: Topic, payload: bytes) -> tuple[str, str, dict[str, object]]:
        if probe.is_probe(payload):
            return UNCHECKED, "a ledger's probe of its own subscription", {}
        match place.leaf:
            case Leaf.ANCHOR:
                return self._anchor(place, payload)
            case Leaf.SEGMENT:
                return self._document(payload)
            case Leaf.PROOF:
                return self._proof(payload)
            case Leaf.REFUSAL | Leaf.STORED:
                return self._answer(place, payload)
            case _:
                return _plain(payload)

    def _anchor(self, place: Topic, payload: bytes) -> tuple[str, str, dict[str, object]]:
        said = statement.read(payload)
        issuer, subject = said.envelope.issuer, said.envelope.subject
        if not issuer.endswith(f":gw/{place.gateway}") or not subject.endswith(f":pack/{place.pack}"):
            raise SignatureError(f"a statement of {issuer} about {subject} on another's topic")
        named = self._packs.get(said.envelope.kid)
        if named is not None:
            if named.name != subject:
                raise SignatureError(f"a statement about {subject} under the key of {named.name}")
            said.message.verify(named.public, said.envelope.algorithm)
        mark = TRUE if named is not None else UNCHECKED
        if isinstance(said.body, Segment):
            self._remember(mark, said.body)
        facts: dict[str, object] = {
            "kind": said.kind,
            "epoch": said.epoch,
            "seq": said.seq,
            "entry": said.entry.hex(),
            "kid": said.envelope.kid.hex(),
        }
        text = f"{said.kind} #{said.seq} {said.entry.hex()[:8]}: {_body(said.body)}"
        return mark, text, facts

    def _remember(self, mark: str, body: Segment) -> None:
        """Keep what a document will be held against; a statement that nobody checked never displaces a checked one."""
        if mark == UNCHECKED and body.document in self._segments:
            return
        self._segments[body.document] = (mark, body)
        while len(self._segments) > _REMEMBERED:
            self._segments.popitem(last=False)

    def _document(self, payload: bytes) -> tuple[str, str, dict[str, object]]:
        """A document is worth what the statement that names it is worth."""
        digest = segment.digest(payload)
        mark, body = self._segments.get(digest, (UNCHECKED, None))
        document = segment.read(payload) if body is None else segment.check(payload, body)
        text = f"{len(payload)} bytes, {len(document.windows)} windows, document {digest.hex()[:8]}"
        return mark, text, {"document": digest.hex(), "bytes": len(payload)}

    def _proof(self, payload: bytes) -> tuple[str, str, dict[str, object]]:
        offered = proof.parse(payload)
        facts: dict[str, object] = {"entry": offered.entry.hex(), "index": offered.index}
        if self._ledger is None:
            return UNCHECKED, f"entry {offered.entry.hex()[:8]} at {offered.index}", facts
        head = offered.verify(self._ledger)
        facts["size"] = head.size
        return TRUE, f"entry {offered.entry.hex()[:8]} is number {offered.index} of {head.size}", facts

    def _answer(self, place: Topic, payload: bytes) -> tuple[str, str, dict[str, object]]:
        if self._ledger is None:
            return UNCHECKED, "signed answer of the ledger; give --ledger-key to read it", {}
        said, subject = answer.read(payload, self._ledger)
        if subject != self._ledger.name and not subject.endswith(f":pack/{place.pack}"):
            raise SignatureError(f"an answer about {subject} on another's topic")
        if isinstance(said, Refusal):
            finality = "for good" if said.permanent else "for now"
            text = f"entry {said.entry.hex()[:8]} refused {finality}: {said.rule}: {said.reason}"
            return TRUE, text, {"entry": said.entry.hex(), "rule": said.rule, "permanent": said.permanent}
        documents = [digest.hex() for digest in said.digests]
        return TRUE, f"archived: document {', '.join(each[:8] for each in documents)}", {"documents": documents}


def _plain(payload: bytes) -> tuple[str, str, dict[str, object]]:
    """A JSON line; of a size and depth that ours have, since what a parser takes may be too deep for a printer."""
    if len(payload) > _LONGEST_JSON or payload.count(b"[") + payload.count(b"{") > _MOST_BRACKETS:
        return FALSE, f"{len(payload)} bytes that are no line of ours", {}
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return FALSE, "not JSON", {}
    if not isinstance(value, dict):
        return FALSE, "not a JSON object", {}
    keys = sorted((key for key in value if key not in _MACHINE_KEYS), key=_rank)
    shown = [_reading(key, value[key]) for key in keys[:_SHOWN]]
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return UNCHECKED, ", ".join(shown) + more, {"message": value}


def _rank(key: str) -> int:
    """What somebody who looks on wants to see first; the rest stays in its order."""
    name = key.rpartition("_")[0] or key
    return _FIRST.index(name) if name in _FIRST else len(_FIRST)


def _reading(key: str, item: object) -> str:
    """A named integer with the unit in its name, in the unit that people use; anything else as it is."""
    name, _, unit = key.rpartition("_")
    given = [item.get("min"), item.get("max")] if isinstance(item, dict) else [item]
    ends = [end for end in given if isinstance(end, int) and not isinstance(end, bool) and abs(end) < _LARGEST]
    if name and unit in _UNITS and len(ends) == len(given):
        divisor, places, people = _UNITS[unit]
        if unit == "mV" and max(ends) < _SINGLE_CELL_MV:
            places = 3
        return f"{_NAMES.get(name, name)} {' to '.join(f'{end / divisor:.{places}f}' for end in ends)} {people}"
    return f"{key} {json.dumps(item, separators=(',', ':'))}"


def _body(body: Body) -> str:
    match body:
        case Open():
            return f"{OPEN_REASONS.get(body.reason, body.reason)}, packseal {body.version}"
        case Segment():
            unread = f", {body.malformed} unreadable" if body.malformed else ""
            return f"{body.frames} frames in {body.windows} windows{unread}"
        case Gap():
            same = body.start.boot_id == body.end.boot_id
            span = f"{(body.end.boot_ms - body.start.boot_ms) / 1000:.3f} s" if same else "since another boot"
            return f"{GAP_REASONS.get(body.reason, body.reason)}, {span}"
        case Clock():
            return f"wall clock from {body.before_ms} to {body.after_ms} ms"
        case Close():
            return str(CLOSE_REASONS.get(body.reason, body.reason))
