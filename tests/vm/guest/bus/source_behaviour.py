"""What every live source of frames promises, whatever carries them: one set of facts, held against each on its own ground.

A `place` puts frames on a bus by other means than the source's own (`give`), lets a third party listen (`overheard`), and takes
the adapter away and gives it back (`unplug`, `plug`). Frames are (identifier, flags, payload).
"""

import time

import pytest

from agent.errors import SourceError
from agent.frames import ERROR, EXTENDED, FD, REMOTE, Frames
from agent.sources.source import boottime_us

DEADLINE_S = 180
PLAIN = [
    (0x123, 0, b"\x01\x02\x03"),
    (0x18FF50E5, EXTENDED, bytes(range(8))),
    (0x7FF, REMOTE, b""),
    (0x100, 0, b""),
]


class Place:
    """What a place has when it does not say otherwise."""

    flags = ERROR | FD  # kinds of frames that it can carry besides the plain ones

    def await_arrival(self):
        """Wait until what was given to a source that is not open yet lies where it will find it."""


def rows(frames):
    """Columns as (identifier, flags, payload)."""
    return [
        (int(number), int(flag), bytes(payload[:length]))
        for number, flag, payload, length in zip(frames.ids, frames.flags, frames.payload, frames.lengths, strict=True)
    ]


def collect(source, count):
    """Readings until so many frames and unreadable messages have come; fails at a deadline."""
    readings, until = [], time.monotonic() + DEADLINE_S
    while sum(len(each.frames) + each.malformed for each in readings) < count:
        assert time.monotonic() < until, f"{count} frames did not come: {readings}"
        readings.append(source.read(0.1))
    return readings


def heard(source, count):
    """The frames of such readings, as rows."""
    return rows(Frames.concat([each.frames for each in collect(source, count)]))


def broken(source):
    """The error of a source that goes away, and the frames that it gave before."""
    before, until = [], time.monotonic() + DEADLINE_S
    while time.monotonic() < until:
        try:
            before += rows(source.read(0.1).frames)
        except SourceError as problem:
            return problem, before
    raise AssertionError(f"{source.name} does not notice that it is gone")


class SourceBehaviour:
    """The facts. A class below names its `place`."""

    def test_frames_come_in_order_with_their_flags(self, place):
        place.source.open()
        place.give(PLAIN)
        readings = collect(place.source, len(PLAIN))
        assert rows(Frames.concat([each.frames for each in readings])) == PLAIN
        assert sum(each.malformed + each.lost for each in readings) == 0

    def test_error_and_fd_frames_keep_their_kind(self, place):
        frames = [
            each
            for each in ((0x004, ERROR, bytes(8)), (0x005, FD, bytes(range(24))), (0x006, 0, b"x"))
            if each[1] & place.flags == each[1]
        ]
        place.source.open()
        place.give(frames)
        assert heard(place.source, len(frames)) == frames

    def test_times_lie_between_the_opening_and_the_reading_and_never_run_backwards(self, place):
        place.source.open()
        opened_us = boottime_us()
        times = []
        for _ in range(3):
            place.give(PLAIN)
            readings = collect(place.source, len(PLAIN))
            times += [int(each) for reading in readings for each in reading.frames.time_us]
            assert times[-1] <= boottime_us()
            assert all(each.until_us is None or each.until_us >= times[-1] for each in readings[-1:])
        assert times == sorted(times)
        assert opened_us <= times[0]

    def test_it_can_be_closed_twice_and_opened_again(self, place):
        place.source.open()
        place.source.close()
        place.source.close()
        place.source.open()
        place.give(PLAIN)
        assert heard(place.source, len(PLAIN)) == PLAIN

    def test_what_the_bus_said_before_the_opening_is_not_heard(self, place):
        place.give([(0x0FF, 0, b"early")])
        place.await_arrival()
        place.source.open()
        place.give(PLAIN)
        assert heard(place.source, len(PLAIN)) == PLAIN

    def test_a_quiet_bus_gives_an_empty_reading(self, place):
        place.source.open()
        intake = place.source.read(0.01)
        assert (len(intake.frames), intake.malformed, intake.lost, intake.ended) == (0, 0, 0, False)

    def test_reading_a_closed_source_is_an_error_that_names_it(self, place):
        with pytest.raises(SourceError, match="not open"):
            place.source.read(0)
        place.source.open()
        place.source.close()
        with pytest.raises(SourceError, match="not open"):
            place.source.read(0)

    def test_nothing_is_ever_said_on_the_bus(self, place):
        for _ in range(2):
            place.source.open()
            place.give(PLAIN)
            collect(place.source, len(PLAIN))
            place.source.close()
        assert place.overheard() == 2 * PLAIN


class UnpluggableBehaviour(SourceBehaviour):
    """Where the adapter can be pulled out, also these."""

    def test_an_adapter_that_goes_away_is_an_error_after_what_came_before_and_stays_one(self, place):
        place.source.open()
        place.give(PLAIN)
        assert heard(place.source, len(PLAIN)) == PLAIN
        place.unplug()
        problem, late = broken(place.source)
        assert late == []
        assert str(problem).startswith(f"{place.source.name}: ")
        assert "\n" not in str(problem)
        with pytest.raises(SourceError):
            place.source.read(0)

    def test_an_adapter_that_is_not_there_cannot_be_opened_and_one_that_is_back_can(self, place):
        place.source.open()
        place.unplug()
        broken(place.source)
        with pytest.raises(SourceError, match="cannot be opened"):
            place.source.open()
        place.plug()
        place.source.open()
        place.give(PLAIN)
        assert heard(place.source, len(PLAIN)) == PLAIN


class TextBehaviour:
    """Where something may come that is no frame, also this."""

    def test_what_is_no_frame_is_counted_and_the_next_one_heard(self, place):
        place.source.open()
        place.give_nonsense()
        place.give(PLAIN)
        readings = collect(place.source, len(PLAIN) + 1)
        assert rows(Frames.concat([each.frames for each in readings])) == PLAIN
        assert sum(each.malformed for each in readings) == 1
        assert [text for each in readings for text in each.complaints]
