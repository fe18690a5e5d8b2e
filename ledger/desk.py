"""Where tools hand in acts and ask for heads: the running ledger's door, or the log itself when no ledger runs.

Both ways lead to the same functions of the sequencer, so that a tool cannot do what a service would not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from evidence import cbor
from evidence.errors import FormatError
from evidence.merkle import Digest
from ledger import control, founding, keyfiles
from ledger.admission import Known
from ledger.control import Request
from ledger.errors import Busy
from ledger.lock import FolderLock
from ledger.sequencer import Admitted, Outcome, Refused, Sequencer, SetAside
from ledger.store import Reader, Store

_PATIENCE_S: Final = 5.0
_BETWEEN_S: Final = 0.05


class Desk(Protocol):
    """What a tool may ask a ledger to write."""

    def submit(self, messages: Sequence[bytes]) -> list[Outcome]:
        """Hand in acts, signed; one outcome each."""

    def log_heads(self) -> int:
        """Have the heads logged and a checkpoint signed over them; its size."""


class _Own:
    def __init__(self, sequencer: Sequencer, *, paced: bool) -> None:
        self._sequencer = sequencer
        self._paced = paced

    def submit(self, messages: Sequence[bytes]) -> list[Outcome]:
        outcomes = self._sequencer.submit(messages)
        if not self._paced:
            self._sequencer.checkpoint()
        return outcomes

    def log_heads(self) -> int:
        return self._sequencer.log_heads().size


class _Remote:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def submit(self, messages: Sequence[bytes]) -> list[Outcome]:
        rows = self._ask("submit", list(messages))
        return [_read_outcome(row) for row in cbor.as_list(rows, "outcomes", len(messages))]

    def log_heads(self) -> int:
        return cbor.as_int(self._ask("heads", None), "size")

    def _ask(self, op: str, value: cbor.Value) -> cbor.Value:
        answered = cbor.as_map(control.ask(self._folder, op, value), "answer", frozenset(), frozenset({1, 2}))
        if 1 not in answered:
            raise Busy(f"the running ledger answers: {cbor.as_text(answered.get(2), 'reason')}")
        return answered[1]


def serve(request: Request, desk: Desk) -> None:
    """Answer one request from the door, whatever it holds."""
    try:
        match request.op:
            case "submit":
                messages = [cbor.as_bytes(each, "act") for each in cbor.as_list(request.value, "acts")]
                if len(messages) > control.MAX_ACTS:
                    raise FormatError(f"at most {control.MAX_ACTS} acts at once")
                request.answer({1: [_outcome_value(outcome) for outcome in desk.submit(messages)]})
            case "heads":
                request.answer({1: desk.log_heads()})
            case other:
                request.answer({2: f"{other!r} is no operation"})
    except FormatError as problem:
        request.answer({2: str(problem)})
    except BaseException:
        request.answer({2: "it has failed; see its journal"})
        raise


def own(sequencer: Sequencer, *, paced: bool = False) -> Desk:
    """The desk of the process that holds the log; a `paced` one leaves checkpoints over acts to the service's own pace."""
    return _Own(sequencer, paced=paced)


@contextmanager
def opened(folder: Path, pause: Callable[[float], None] = time.sleep) -> Iterator[Desk]:
    """The desk of the log in `folder`; Busy when another process holds it and does not answer for five seconds."""
    deadline = time.monotonic() + _PATIENCE_S
    with FolderLock(folder) as lock:
        while not lock.take():
            # Held without a socket: another tool at work, or a service that is just starting or ending.
            if (folder / control.SOCKET).exists() and _answers(folder):
                yield _Remote(folder)
                return
            if time.monotonic() > deadline:
                raise Busy(f"{folder}: another packseal-ledger holds this folder and does not answer")
            pause(_BETWEEN_S)
        with Store(folder) as store:
            yield own(open_sequencer(store, folder))


def open_sequencer(store: Store, folder: Path, time_interval_ms: int = 60_000) -> Sequencer:
    """The writer of the log in `folder`, whose lock the caller holds."""
    origin = founding.read_policy(store).origin
    return Sequencer(store, keyfiles.load(folder, founding.LEDGER), origin, time_interval_ms=time_interval_ms)


def open_reader(folder: Path) -> Reader:
    """The log, read-only: works beside a running ledger."""
    return Reader(folder)


def _answers(folder: Path) -> bool:
    try:
        control.ask(folder, "ping", None)
    except Busy:
        return False
    return True


def _outcome_value(outcome: Outcome) -> cbor.Value:
    match outcome:
        case Admitted(entry, index):
            return [0, bytes(entry), index]
        case Known(entry, index):
            return [1, bytes(entry), index]
        case Refused(entry, rule, reason, answer):
            return [2, bytes(entry), rule, reason, answer]
        case SetAside(digest):
            return [3, bytes(digest)]


def _read_outcome(value: cbor.Value) -> Outcome:
    match value:
        case [0, bytes(entry), int(index)]:
            return Admitted(Digest(entry), index)
        case [1, bytes(entry), int(index)]:
            return Known(Digest(entry), index)
        case [2, bytes(entry), str(rule), str(reason), bytes(answer)]:
            return Refused(Digest(entry), rule, reason, answer)
        case [3, bytes(digest)]:
            return SetAside(Digest(digest))
    raise FormatError("the running ledger answers in a form that this program does not know")
