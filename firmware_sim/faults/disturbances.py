"""What single faults do to the frames of a bus: change them, lose them, hold them back, or add some. Pure and seeded.

A disturbance decides frame by frame and draws its chances in the order of the frames, so that the same run is disturbed
the same way however its frames are asked for. Each counts the frames that it made false:

* frames-dropped, corrupted-payload, wrong-ids: those lost, with flipped bits, with another frame's payload;
* frame-burst: those that came later than they should; their content is true;
* frame-flood: those that the flooding node sent; replayed-log: those of the recording.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from firmware_sim.bus.frame import CanFrame, TimedFrame
from firmware_sim.faults.catalogue import Fault
from firmware_sim.faults.replays import Repeated

FLOOD_PAYLOAD = 8


class Disturbance(Protocol):
    """Something that happens to frames on their way to the bus."""

    def pass_on(self, timed: TimedFrame) -> TimedFrame | None:
        """The frame as it goes on, perhaps later than now; None when it does not."""


class Source(Protocol):
    """Another node that sends while its fault lasts."""

    @property
    def failure(self) -> str:
        """Why it can send no more; empty while it can."""

    def rest(self, until_us: int) -> None:
        """Send nothing before `until_us`, and then go on where it stopped."""

    def next_us(self) -> int:
        """When its next frame is due."""

    def take(self) -> TimedFrame:
        """Its next frame."""


@dataclass(slots=True)
class Dropped:
    """A share of the frames is lost."""

    fault: Fault
    chance: random.Random
    count: Callable[[str], None]

    def pass_on(self, timed: TimedFrame) -> TimedFrame | None:
        """None for a lost frame."""
        if not _concerned(self.fault, timed.frame) or self.chance.random() >= self.fault.number("share"):
            return timed
        self.count(self.fault.kind)
        return None


@dataclass(slots=True)
class Corrupted:
    """In a share of the frames bits are flipped, each bit once."""

    fault: Fault
    chance: random.Random
    count: Callable[[str], None]

    def pass_on(self, timed: TimedFrame) -> TimedFrame:
        """The frame, perhaps with flipped bits."""
        frame = timed.frame
        if not frame.payload or not _concerned(self.fault, frame) or self.chance.random() >= self.fault.number("share"):
            return timed
        length = len(frame.payload)
        bits = int.from_bytes(frame.payload, "little")
        for place in self.chance.sample(range(8 * length), min(8 * length, round(self.fault.number("bits")))):
            bits ^= 1 << place
        self.count(self.fault.kind)
        return TimedFrame(timed.time_us, frame._replace(payload=bits.to_bytes(length, "little")))


@dataclass(slots=True)
class Swapped:
    """Payloads travel under the identifier that follows their own among those of one length, in a ring.

    Which identifiers there are is learned from the bus, unless the fault names them: a frame keeps its own until a
    second identifier of its length has been seen.
    """

    fault: Fault
    count: Callable[[str], None]
    _rings: dict[int, list[int]] = field(default_factory=dict)

    def pass_on(self, timed: TimedFrame) -> TimedFrame:
        """The frame under a wrong identifier."""
        frame = timed.frame
        if frame.extended or frame.remote or not _concerned(self.fault, frame):
            return timed
        ring = self._rings.setdefault(len(frame.payload), [])
        if frame.identifier not in ring:
            ring.append(frame.identifier)
            ring.sort()
        wrong = ring[(ring.index(frame.identifier) + 1) % len(ring)]
        if wrong == frame.identifier:
            return timed
        self.count(self.fault.kind)
        return TimedFrame(timed.time_us, frame._replace(identifier=wrong))


@dataclass(slots=True)
class Held:
    """Frames are withheld for `hold_ms` at a time, counted from the fault's begin, and then sent back to back."""

    fault: Fault
    begin_us: int
    count: Callable[[str], None]

    def pass_on(self, timed: TimedFrame) -> TimedFrame:
        """The frame with the time of its release."""
        hold_us = round(self.fault.number("hold_ms") * 1_000)
        release_us = self.begin_us + ((timed.time_us - self.begin_us) // hold_us + 1) * hold_us
        self.count(self.fault.kind)
        return TimedFrame(release_us, timed.frame)


@dataclass(slots=True)
class Flood:
    """One identifier, over and over, with a counter as payload."""

    fault: Fault
    begin_us: int
    count: Callable[[str], None]
    failure: str = ""
    _sent: int = 0

    def rest(self, until_us: int) -> None:
        """Send nothing before `until_us`, and then go on."""
        self.begin_us += max(0, until_us - self.next_us())

    def next_us(self) -> int:
        """When its next frame is due."""
        return self.begin_us + round(self._sent * 1e6 / self.fault.number("rate"))

    def take(self) -> TimedFrame:
        """Its next frame."""
        payload = (self._sent % (1 << 64)).to_bytes(FLOOD_PAYLOAD, "little")
        timed = TimedFrame(self.next_us(), CanFrame(round(self.fault.number("id")), payload))
        self._sent += 1
        self.count(self.fault.kind)
        return timed


@dataclass(slots=True)
class Replay:
    """What a cheating driver's box sends: a recording, or what it has heard before."""

    fault: Fault
    begin_us: int
    count: Callable[[str], None]
    frames: Repeated

    @property
    def failure(self) -> str:
        """Why there is nothing more to replay."""
        return self.frames.failure

    def rest(self, until_us: int) -> None:
        """Send nothing before `until_us`, and then go on."""
        self.begin_us += max(0, until_us - self.next_us())

    def next_us(self) -> int:
        """When its next frame is due."""
        return self.begin_us + self.frames.next_us()

    def take(self) -> TimedFrame:
        """Its next frame."""
        timed = self.frames.take()
        self.count(self.fault.kind)
        return TimedFrame(self.begin_us + timed.time_us, timed.frame)


def _concerned(fault: Fault, frame: CanFrame) -> bool:
    identifiers = fault.identifiers("ids")
    return not identifiers or (frame.identifier in identifiers and not frame.extended)
