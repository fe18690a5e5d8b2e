"""Many registrations at once: a list read line by line, planned against one copy of the register, submitted in batches.

A line that is refused stops no other, and what the register already says is not said again, so that a list may be handed
in any number of times. This is `register --from`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from evidence import names
from evidence.acts import MAX_ATTRIBUTES
from evidence.errors import FormatError, SignatureError
from evidence.keys import NamedKey, SigningKey
from evidence.register import Register, RuleError
from ledger import control, registration
from ledger.admission import Known
from ledger.errors import ActRefused
from ledger.registration import Registration, Step
from ledger.sequencer import Admitted, Outcome, Refused

LONGEST_LINE: Final = 64 * 1024
_KEYS: Final = frozenset({"pack", "gateway", "key", "attributes"})
_STEPS: Final = 3  # pack, gateway, key: a registration needs no more acts than these


class Ledger(Protocol):
    """Who takes acts: the running ledger's door, or the log itself."""

    def submit(self, messages: Sequence[bytes]) -> list[Outcome]:
        """Hand in acts, signed; one outcome each."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that did not come into the register as a whole, and why."""

    line: int
    reason: str


@dataclass(slots=True)
class Progress:
    """What has been done so far: lines read, acts that were new, parts that stood there already, refusals of late."""

    lines: int = 0
    acts: int = 0
    standing: int = 0
    refused: int = 0
    refusals: list[Refusal] = field(default_factory=list)


Line: TypeAlias = tuple[int, bytes]


def read_line(text: bytes, registrar: names.Registrar) -> Registration:
    """The registration of one line, a JSON object of pack, gateway, key and attributes; FormatError otherwise."""
    if len(text) > LONGEST_LINE:
        raise FormatError(f"a line of more than {LONGEST_LINE} bytes")
    try:
        found = json.loads(text, object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        raise FormatError("not a line of JSON") from None
    if not isinstance(found, dict) or not {"pack"} <= found.keys() <= _KEYS:
        raise FormatError('not an object of "pack" and, where wanted, "gateway", "key" and "attributes"')
    attributes = found.pop("attributes", {})
    if not isinstance(attributes, dict) or not all(isinstance(value, str) for value in attributes.values()):
        raise FormatError('"attributes" is not an object of texts')
    if len(attributes) > MAX_ATTRIBUTES:
        raise FormatError(f"{len(attributes)} attributes; a pack has {MAX_ATTRIBUTES} at most")
    if not all(isinstance(value, str) for value in found.values()):
        raise FormatError("pack, gateway and key are texts")
    gateway, key = found.get("gateway"), found.get("key")
    if key is not None and gateway is None:
        raise FormatError("a key speaks for a pack at a gateway: name the gateway")
    return Registration(
        registrar.pack(found["pack"]),
        tuple(sorted(attributes.items())),
        None if gateway is None else registrar.gateway(gateway),
        None if key is None else NamedKey.parse(key),
    )


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object, in which no key may stand twice: one of the two would be lost without a word."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise FormatError("a key stands twice in one object")
    return found


@dataclass(slots=True)
class Bulk:
    """Registers line after line. `load` replays the register as the log has it now; `party` and `key` sign."""

    ledger: Ledger
    load: Callable[[], Register]
    registrar: names.Registrar
    party: str
    key: SigningKey
    issued_at: int
    _register: Register = field(init=False)
    _waiting: list[tuple[int, list[Step]]] = field(default_factory=list)
    _acts: int = 0
    _bytes: int = 0
    _doubtful: bool = False
    _progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self._register = self.load()

    def run(self, lines: Iterator[Line]) -> Iterator[Progress]:
        """Take all numbered lines; the progress after each batch, its refusals being those since the one before."""
        for number, text in lines:
            if not text.strip() or text.startswith(b"#"):
                continue
            self._progress.lines += 1
            try:
                self._plan(number, read_line(text, self.registrar))
            except (FormatError, ActRefused) as problem:
                self._refuse(number, str(problem))
            if self._doubtful or self._acts + _STEPS > control.MAX_ACTS or self._bytes > control.MAX_BYTES // 2:
                yield self._submit()
        yield self._submit()

    def _plan(self, number: int, wanted: Registration) -> None:
        steps = registration.plan(self._register, wanted, self.party, self.key, self.issued_at)
        needed = [step.act for step in steps if step.act is not None]
        try:
            # Our copy moves on as the log will, so that later lines of the same batch are planned after this one.
            for act in needed:
                self._register.apply(act, registration.PLANNED)
        except (RuleError, SignatureError):
            self._doubtful = True  # the ledger shall say it, and our copy is read anew
        self._progress.standing += len(steps) - len(needed)
        self._acts += len(needed)
        self._bytes += sum(len(act.encoded) for act in needed)
        self._waiting.append((number, steps))

    def _submit(self) -> Progress:
        """Hand in what is planned; the progress, whose refusals are the caller's to show."""
        planned = [(number, step.act.encoded) for number, steps in self._waiting for step in steps if step.act]
        outcomes = self.ledger.submit([encoded for _, encoded in planned]) if planned else []
        refused: dict[int, str] = {}
        for (number, _), outcome in zip(planned, outcomes, strict=True):
            match outcome:
                case Admitted() | Known():
                    self._progress.acts += 1
                case Refused(_, rule, reason):
                    refused.setdefault(number, f"refused ({rule}): {reason}")
                case _:
                    refused.setdefault(number, "the ledger could not judge it and has set it aside")
        for number, reason in refused.items():
            self._refuse(number, reason)
        if refused or self._doubtful:
            self._register = self.load()
        self._waiting, self._acts, self._bytes, self._doubtful = [], 0, 0, False
        told, self._progress.refusals = self._progress.refusals, []
        progress = self._progress
        return Progress(progress.lines, progress.acts, progress.standing, progress.refused, told)

    def _refuse(self, number: int, reason: str) -> None:
        self._progress.refused += 1
        self._progress.refusals.append(Refusal(number, reason))
