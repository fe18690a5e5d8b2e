"""What to send next, and what to send again. Pure: the store is the queue, the link is the window, time comes in.

"Sent" and "acknowledged by the broker" live here, in memory only: neither is ever a reason to forget. A statement is
through when its proof has been verified, a document when the archive has signed for it; until then both come round again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

LONGEST_WAIT_S: Final = 300.0
REFUSED_WAIT_S: Final = 30.0
OUTSTANDING: Final = 256
"""So many items of a key may be on their way at once; the rest waits in the store, oldest first."""


@dataclass(slots=True)
class _Sent:
    """One item on its way: how often it was sent, when it is due again, and the link's token while unacknowledged."""

    times: int
    due_s: float
    token: int | None


class Uplink:
    """Schedules one kind of item (statements, or documents). `spread` yields numbers in [0, 1) for jitter."""

    def __init__(self, timeout_s: float, spread: Callable[[], float]) -> None:
        self._timeout_s = timeout_s
        self._spread = spread
        self._sent: dict[int, _Sent] = {}
        self._tokens: dict[int, int] = {}

    @property
    def outstanding(self) -> int:
        """Items sent and not yet answered for."""
        return len(self._sent)

    def due(self, waiting: Iterable[int], now_s: float) -> Iterator[int]:
        """Those of the `waiting` rows, oldest first, that should be sent now."""
        for row in waiting:
            sent = self._sent.get(row)
            if sent is None or (sent.token is None and sent.due_s <= now_s):
                yield row

    def sent(self, row: int, token: int, now_s: float) -> None:
        """The link has taken `row` under `token`."""
        before = self._sent.get(row)
        times = before.times + 1 if before else 1
        self._sent[row] = _Sent(times, now_s + self._wait(times), token)
        self._tokens[token] = row

    def published(self, token: int, *, ok: bool, now_s: float) -> int | None:
        """The broker has answered: wait for the proof, or longer if it denied. The row, or None if it is not ours."""
        row = self._tokens.pop(token, None)
        if row is None or row not in self._sent:
            return None
        sent = self._sent[row]
        sent.token = None
        # Never sooner than a refusal that came before this has asked for.
        sent.due_s = max(sent.due_s, now_s + (self._wait(sent.times) if ok else self._refused_wait(sent.times)))
        return row

    def put_off(self, row: int, now_s: float) -> None:
        """The ledger refuses `row` for now: try again later, and later each time."""
        sent = self._sent.setdefault(row, _Sent(1, now_s, None))
        sent.due_s = now_s + self._refused_wait(sent.times)

    def settled(self, row: int) -> None:
        """`row` is through, or refused for good."""
        self._sent.pop(row, None)

    def lost_link(self) -> None:
        """The connection has ended: what the broker had not acknowledged is sent again with the next one."""
        self._tokens.clear()
        self._sent = {row: sent for row, sent in self._sent.items() if sent.token is None}

    def _wait(self, times: int) -> float:
        return self._spread_out(min(LONGEST_WAIT_S, self._timeout_s * 2.0 ** min(times - 1, 16)))

    def _refused_wait(self, times: int) -> float:
        return self._spread_out(min(LONGEST_WAIT_S, REFUSED_WAIT_S * 2.0 ** min(times - 1, 16)))

    def _spread_out(self, seconds: float) -> float:
        return seconds * (1 + 0.25 * self._spread())
