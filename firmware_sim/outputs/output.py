"""What every output of the simulator promises, and how its frames are counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from firmware_sim.bus.frame import CanFrame, TimedFrame

HEARD_MAX = 256  # frames of others: of what nobody has fetched the oldest is forgotten

Completed = Callable[[Sequence[CanFrame]], None]


@dataclass(slots=True)
class Tally:
    """Frames by what became of them, and frames that the other side sent to us."""

    written: int = 0
    dropped: int = 0
    unheard: int = 0
    from_host: int = 0


class Output(Protocol):
    """A place for frames to go. A Failure is all that it raises: OutputError, or InputOutputError for files."""

    tally: Tally

    @property
    def listening(self) -> bool:
        """Whether somebody is there to hear; what is not heard is not sent."""

    def open(self) -> str:
        """Make the output ready; returns a line that says where it is."""

    def service(self) -> None:
        """Answer the other side and finish what is half written; called every few milliseconds."""

    def offer(self, frames: Sequence[TimedFrame]) -> int:
        """Send as many of `frames` as can be taken now, in order; returns how many that was.

        It waits for nobody but a busy bus, and for that at most about a step of the stream. A frame is counted in
        `tally.written`, and reported to the sent log, when it is completely written.
        """

    def heard(self) -> list[CanFrame]:
        """The frames that others have sent since the last call, oldest first; of too many the newest."""

    def close(self) -> None:
        """Finish and release; may be called once, also after an error."""


@runtime_checkable
class Pluggable(Protocol):
    """An output whose adapter can be pulled out, and another one plugged in in its place."""

    def unplug(self) -> None:
        """Take the adapter away, as a pulled cable does; its peer sees it go."""

    def plug(self) -> None:
        """Put another adapter in its place."""


def nobody_asks(frames: Sequence[CanFrame]) -> None:
    """The sent log of a run without one."""
