"""The agent's own SocketCAN source on a real kernel: filters, stamps, drops, CAN FD, and interfaces that come and go."""

import struct
import time

import pytest
from bus_machine import DEADLINE_S, ERROR, EXTENDED, FD, REMOTE, image, ip, raw, vcan
from source_behaviour import broken, heard, rows

from agent.errors import BusOff, SourceError
from agent.frames import Frames
from agent.sources.can_socket import CanSocket
from agent.sources.socketcan import SocketCanSource
from agent.sources.source import boottime_us


@pytest.fixture
def bus():
    """A virtual bus and a socket that speaks on it."""
    with vcan() as name, raw(name) as speaker:
        yield name, speaker


@pytest.fixture
def listening(bus):
    """(an open source, the speaker)."""
    name, speaker = bus
    source = SocketCanSource(name, coalesce_s=0.01)
    source.open()
    yield source, speaker
    source.close()


def settled(source, count):
    """Readings until so many frames have come or are known to be lost."""
    readings, until = [], time.monotonic() + DEADLINE_S
    while sum(len(each.frames) + each.lost for each in readings) < count:
        assert time.monotonic() < until, f"{count} frames did not come: {readings}"
        readings.append(source.read(0.05))
    return readings


def gone(source, said):
    """The error of a source that goes away."""
    problem, _ = broken(source)
    assert str(problem).startswith(f"{source.name}: {said}")
    assert problem.exit_code == 69
    return problem


def test_only_the_profiles_frames_pass_the_kernel_and_never_requests_for_them(bus):
    name, speaker = bus
    source = SocketCanSource(name, [(0x123, False), (0x123, True), (0x18FF50E5, True)], coalesce_s=0.01)
    source.open()
    for number, flags in (
        (0x122, 0),
        (0x123, 0),
        (0x123, EXTENDED),
        (0x124, 0),
        (0x18FF50E5, EXTENDED),
        (0x18FF50E6, EXTENDED),
    ):
        speaker.send(image(number, flags, b"\1"))
    speaker.send(image(0x123, REMOTE))
    speaker.send(image(0x123, FD, b"x" * 12))
    speaker.send(image(0x040, ERROR, bytes(8)))
    assert heard(source, 5) == [
        (0x123, 0, b"\1"),
        (0x123, EXTENDED, b"\1"),
        (0x18FF50E5, EXTENDED, b"\1"),
        (0x123, FD, b"x" * 12),
        (0x040, ERROR, bytes(8)),
    ]
    source.close()


def test_more_identifiers_than_the_kernel_filters_are_not_filtered(bus):
    name, speaker = bus
    source = SocketCanSource(name, [(number, False) for number in range(513)], coalesce_s=0.01)
    source.open()
    speaker.send(image(0x7FF))
    assert heard(source, 1) == [(0x7FF, 0, b"")]
    source.close()


def test_512_identifiers_are(bus):
    name, speaker = bus
    source = SocketCanSource(name, [(number, False) for number in range(512)], coalesce_s=0.01)
    source.open()
    speaker.send(image(0x7FF))
    speaker.send(image(511))
    assert heard(source, 1) == [(511, 0, b"")]
    source.close()


def test_times_are_the_kernels_at_which_frames_came_in_not_those_of_the_reading(listening, figure):
    source, speaker = listening
    with raw(source.name.split()[1], stamped=True) as witness:
        offset_us = time.time_ns() // 1000 - boottime_us()
        for number in range(20):
            speaker.send(image(number))
            time.sleep(0.02)
        time.sleep(0.5)  # everything has come in long before it is read
        frames = Frames.concat([each.frames for each in settled(source, 20)])
        stamps = []
        for _ in range(20):
            ((_, _, stamp),) = witness.recvmsg(72, 64)[1]
            seconds, nanoseconds = struct.unpack("=qq", stamp)
            stamps.append(seconds * 1_000_000 + nanoseconds // 1000 - offset_us)
    apart = [abs(ours - theirs) for ours, theirs in zip(frames.time_us.tolist(), stamps, strict=True)]
    figure("socketcan_stamp_apart_us", max(apart), "us")
    assert max(apart) < 5_000
    assert boottime_us() - int(frames.time_us[-1]) > 400_000


@pytest.mark.parametrize("leap_s", [86_400, -86_400, -1_700_000_000])
def test_a_step_of_the_wall_clock_moves_no_frame(listening, leap_s):
    source, speaker = listening
    began_us = boottime_us()
    speaker.send(image(1))
    settled(source, 1)
    speaker.send(image(2))
    before_us = boottime_us()
    wall_s, at_s = time.time(), time.monotonic()
    try:
        time.clock_settime(time.CLOCK_REALTIME, max(1.0, wall_s + leap_s))
        after_us = boottime_us()
        speaker.send(image(3))
        readings = settled(source, 2)
    finally:
        time.clock_settime(time.CLOCK_REALTIME, wall_s + time.monotonic() - at_s)
    speaker.send(image(4))
    readings += settled(source, 1)
    second, third, fourth = (int(t) for each in readings for t in each.frames.time_us)
    assert began_us < second <= before_us
    assert after_us <= third < fourth <= boottime_us()


def test_frames_that_a_stalled_reader_lost_are_counted_to_the_last_one_and_placed_where_they_were(bus, figure):
    name, speaker = bus
    source = SocketCanSource(name, coalesce_s=0.01)
    source.open()
    speaker.send(image(1))
    settled(source, 1)
    sent = 40_000
    first_us = boottime_us()
    for number in range(sent):
        speaker.send(image(2, 0, struct.pack("<Q", number)))
    last_us = boottime_us()
    speaker.send(image(3))
    readings = settled(source, sent + 1)
    got = [
        struct.unpack("<Q", payload)[0] for each in readings for number, _, payload in rows(each.frames) if number == 2
    ]
    lost = sum(each.lost for each in readings)
    assert got == list(range(len(got)))
    assert lost > 0
    assert len(got) + lost == sent + 1
    kept = [each for each in readings if len(each.frames)]
    assert first_us < kept[0].until_us <= last_us  # where the kernel's room ended, not where we read on
    assert [each.lost for each in readings if each.lost] == [lost]
    speaker.send(image(4))
    (after,) = [each for each in settled(source, 1) if len(each.frames)]
    assert (after.lost, rows(after.frames)) == (0, [(4, 0, b"")])
    figure("socketcan_buffer_frames", len(got))
    source.close()


def test_a_loss_that_a_frame_follows_lies_just_before_it(bus, monkeypatch):
    monkeypatch.setattr("agent.sources.can_socket.BUFFER_BYTES", 100_000)
    monkeypatch.setattr("agent.sources.socketcan.MOST_AT_ONCE", 50)
    name, speaker = bus
    source = SocketCanSource(name, coalesce_s=0.01)
    source.open()
    for number in range(1000):
        speaker.send(image(number))
    first = source.read(0.1)  # makes room, but the loss is only told with what comes next
    speaker.send(image(0x7FE))
    readings = [first, *settled(source, 1001 - len(first.frames))]
    (told,) = [each for each in readings if each.lost]
    assert rows(told.frames) == [(0x7FE, 0, b"")]
    assert sum(len(each.frames) for each in readings) + told.lost == 1001
    untils = [each.until_us for each in readings]
    assert untils == sorted(untils)
    source.close()


def test_a_loss_while_a_reading_was_under_way_lies_after_what_the_kernel_kept(bus, monkeypatch):
    name, speaker = bus
    source = SocketCanSource(name, coalesce_s=0.01)
    source.open()
    drain, moments = CanSocket.drain, []

    def interrupted(self, most):
        received = drain(self, most)
        if not moments:  # it has seen an empty queue, and then gets no time for long
            moments.append(boottime_us())
            for number in range(20_000):
                speaker.send(image(number & 0x7FF))
            moments.append(boottime_us())
        return received

    monkeypatch.setattr(CanSocket, "drain", interrupted)
    speaker.send(image(1))
    readings = settled(source, 20_001)
    (at,) = [n for n, each in enumerate(readings) if each.lost]
    kept = [each for each in readings[:at] if len(each.frames)]
    assert sum(len(each.frames) for each in readings) + readings[at].lost == 20_001
    assert moments[0] < kept[-1].until_us < readings[at].until_us
    assert readings[at].until_us >= moments[1]
    source.close()


def test_can_fd_frames_keep_their_64_bytes_and_do_not_widen_the_others(listening):
    source, speaker = listening
    speaker.send(image(1, FD, bytes(range(64))))
    speaker.send(image(2, 0, b"12345678"))
    speaker.send(image(3, FD | EXTENDED, b""))
    assert heard(source, 3) == [(1, FD, bytes(range(64))), (2, 0, b"12345678"), (3, FD | EXTENDED, b"")]


def test_what_a_sender_left_behind_a_frames_length_is_not_taken(listening):
    source, speaker = listening
    speaker.send(image(1, 0, b"\xff" * 8, length=3))
    (reading,) = [each for each in settled(source, 1) if len(each.frames)]
    assert bytes(reading.frames.payload[0]) == b"\xff\xff\xff\0\0\0\0\0"


def test_a_link_that_goes_down_is_an_outage_until_it_is_up_again(listening):
    source, speaker = listening
    name = source.name.split()[1]
    speaker.send(image(1))
    ip(f"link set {name} down")
    assert heard(source, 1) == [(1, 0, b"")]
    gone(source, "the interface went down")
    gone(source, "the interface went down")
    for _ in range(2):
        with pytest.raises(
            SourceError, match=f"^socketcan {name}: cannot be opened: the interface is down; bring it up: ip link set"
        ):
            source.open()
    ip(f"link set {name} up")
    source.open()
    with raw(name) as again:
        again.send(image(2))
    assert heard(source, 1) == [(2, 0, b"")]


def test_a_reader_that_waits_is_woken_when_the_link_goes_down(listening):
    source, _ = listening
    ip(f"link set {source.name.split()[1]} down")
    began = time.monotonic()
    with pytest.raises(SourceError):
        source.read(30)
    assert time.monotonic() - began < 15


def test_an_interface_that_is_deleted_and_made_again_is_opened_by_its_name(listening):
    source, _ = listening
    name = source.name.split()[1]
    ip(f"link del {name}")
    gone(source, "there is no CAN interface of this name")
    with pytest.raises(SourceError, match="no CAN interface of this name; is the adapter plugged in"):
        source.open()
    with vcan(name=name), raw(name) as speaker:
        source.open()
        speaker.send(image(5))
        assert heard(source, 1) == [(5, 0, b"")]


def test_an_interface_that_is_no_can_is_refused_in_one_line():
    with pytest.raises(SourceError, match=r"^socketcan lo: cannot be opened: there is no CAN interface of this name"):
        SocketCanSource("lo").open()


def test_after_a_frame_of_bus_off_nothing_is_taken_for_heard(listening):
    source, speaker = listening
    speaker.send(image(1))
    speaker.send(image(0x040, ERROR, bytes(8)))
    speaker.send(image(2))
    assert heard(source, 2) == [(1, 0, b""), (0x040, ERROR, bytes(8))]
    problem = gone(source, "the controller went off the bus")
    assert isinstance(problem, BusOff)


def test_a_controller_in_trouble_is_told_once(listening):
    source, speaker = listening
    told = []
    for said in (0x10, 0x20, 0x40, 0x20, 0x01):  # error-passive twice, active again, passive once more, overrun
        speaker.send(image(0x004, ERROR, bytes((0, said, 0, 0, 0, 0, 0, 0))))
        told.append([text for each in settled(source, 1) for text in each.complaints])
    assert [len(each) for each in told] == [1, 0, 0, 1, 1]
    assert "error-passive" in told[0][0]
    assert "overrun" in told[4][0]


def test_a_machine_that_slept_did_not_listen_and_says_so(bus):
    name, speaker = bus
    asleep_ns = 0
    source = SocketCanSource(
        name, coalesce_s=0.01, boot_ns=lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME) + asleep_ns
    )
    source.open()
    speaker.send(image(1))
    heard(source, 1)
    speaker.send(image(2))
    asleep_ns = 3600 * 10**9
    problem, before = broken(source)
    assert (str(problem), before) == (f"socketcan {name}: the machine slept 3600 s", [])
    source.open()
    speaker.send(image(3))
    assert heard(source, 1) == [(3, 0, b"")]
    source.close()
