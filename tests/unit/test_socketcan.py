"""What of SocketCAN needs no CAN: frames parsed as the kernel lays them out, stamps turned into boot-clock times, losses placed.

The sockets themselves are tested in the machine `bus` of tests/vm.
"""

from __future__ import annotations

import ast
import socket
import struct
import subprocess
import sys

import can
import numpy as np
import pytest
from can.interfaces.socketcan.socketcan import build_can_frame
from hypothesis import given
from hypothesis import strategies as st

from agent import app
from agent.config import SourceTable
from agent.errors import ConfigError, SourceError
from agent.frames import ERROR, EXTENDED, FD, REMOTE, Frames
from agent.sources.kernel_frames import bus_off_at, filters_for, frames_of, trouble
from agent.sources.kernel_times import Clocks, boot_times
from agent.sources.socketcan import SocketCanSource, cut_at_losses
from tests.agent_world import PROFILE, ROOT


def times(count):
    return np.arange(count, dtype=np.int64)


def parsed(*messages):
    return frames_of(messages, times(len(messages)))


@st.composite
def messages(draw):
    """A message of python-can's, who lays frames out by itself: the oracle."""
    extended, kind = draw(st.booleans()), draw(st.sampled_from(["plain", "remote", "fd"]))
    number = draw(st.integers(0, 0x1FFFFFFF if extended else 0x7FF))
    lengths = (*range(9), 12, 16, 20, 24, 32, 48, 64) if kind == "fd" else range(9)
    length = draw(st.sampled_from(lengths))
    payload = b"" if kind == "remote" else draw(st.binary(min_size=length, max_size=length))
    return can.Message(
        arbitration_id=number,
        is_extended_id=extended,
        is_remote_frame=kind == "remote",
        is_fd=kind == "fd",
        dlc=length,
        data=payload,
    )


@given(st.lists(messages(), min_size=1, max_size=30))
def test_frames_are_those_that_python_can_lays_out(sent):
    frames, known = parsed(*(bytes(build_can_frame(each)) for each in sent))
    assert known.all()
    assert frames.ids.tolist() == [each.arbitration_id for each in sent]
    assert frames.lengths.tolist() == [0 if each.is_remote_frame else each.dlc for each in sent]
    assert frames.flags.tolist() == [
        each.is_extended_id * EXTENDED + each.is_remote_frame * REMOTE + each.is_fd * FD for each in sent
    ]
    width = frames.payload.shape[1]
    assert width == (64 if any(each.is_fd for each in sent) else 8)
    assert [bytes(row) for row in frames.payload] == [bytes(each.data).ljust(width, b"\0") for each in sent]


def test_what_lies_behind_a_frames_length_is_not_taken():
    frames, _ = parsed(struct.pack("=IB3x8s", 0x123, 2, b"\1\2garbage"))
    assert bytes(frames.payload[0]) == b"\1\2" + bytes(6)


def test_messages_that_are_no_frames_are_left_out_and_named():
    good = struct.pack("=IB3x8s", 0x123, 8, b"12345678")
    frames, known = parsed(good, good[:15], b"", struct.pack("=IB3x8s", 0x124, 9, b""), good + b"!")
    assert known.tolist() == [True, False, False, False, False]
    assert frames.ids.tolist() == [0x123]
    assert frames.time_us.tolist() == [0]


def error(classes, *payload):
    return struct.pack("=IB3x8s", 0x20000000 | classes, 8, bytes(payload))


def test_error_frames_say_what_the_controller_does():
    passive, active = error(0x4, 0, 0x20), error(0x4, 0, 0x40)
    assert parsed(passive)[0].flags.tolist() == [ERROR]
    assert "error-passive" in (trouble(parsed(active, passive)[0]) or "")
    assert trouble(parsed(passive, active)[0]) == ""
    assert trouble(parsed(error(0x8))[0]) is None
    assert "overrun" in (trouble(parsed(error(0x4, 0, 0x01), active)[0]) or "")
    assert bus_off_at(parsed(passive, error(0x44), active)[0]) == 1
    assert bus_off_at(parsed(struct.pack("=IB3x8s", 0x40, 8, b""))[0]) is None


def test_the_filters_ask_for_whole_numbers_of_their_own_kind_and_no_requests():
    packed = filters_for([(0x18FF50E5, True), (0x123, False), (0x123, False)])
    assert packed is not None
    assert list(struct.iter_unpack("=II", packed)) == [
        (0x123, 0xC00007FF),
        (0x98FF50E5, 0xDFFFFFFF),
    ]
    assert filters_for([(number, False) for number in range(513)]) is None


AHEAD_US = 1_700_000_000_000_000


def test_stamps_are_as_far_behind_the_boot_clock_as_the_wall_clock_is_ahead_of_it():
    stamps = np.array([AHEAD_US + 150, AHEAD_US + 190])
    clocks = Clocks(100, AHEAD_US), Clocks(200, AHEAD_US)
    assert boot_times(stamps, *clocks, 100).tolist() == [150, 190]


@pytest.mark.parametrize("leap_us", [86_400_000_000, -86_400_000_000, -AHEAD_US, 2_000_000])
def test_frames_before_and_after_a_step_of_the_wall_clock_keep_their_times(leap_us):
    stamps = np.array([AHEAD_US + 110_000, AHEAD_US + leap_us + 150_000])
    clocks = Clocks(100_000, AHEAD_US), Clocks(200_000, AHEAD_US + leap_us)
    assert boot_times(stamps, *clocks, 100_000).tolist() == [110_000, 150_000]


@given(st.lists(st.integers(0, 10**6), max_size=20), st.integers(-(10**6), 10**6), st.integers(0, 10**6))
def test_whatever_the_wall_clock_does_times_stay_in_order_between_the_readings(stamps, leap_us, earliest_us):
    clocks = Clocks(earliest_us, 0), Clocks(10**6, leap_us)
    got = boot_times(np.array(stamps, np.int64), *clocks, earliest_us).tolist()
    assert got == sorted(got)
    assert all(earliest_us <= each <= 10**6 for each in got)


def test_of_three_readings_of_both_clocks_the_least_disturbed_counts():
    boot = iter((0, 9_000_000, 10_000_000, 10_002_000, 20_000_000, 25_000_000))
    assert Clocks.read(lambda: next(boot), lambda: 1_010_001_000, lambda: 3_001_000) == Clocks(10_002, 1_000_000, 7_000)


def frames(*times_us):
    return Frames.from_rows([(time_us, 1, 0, b"") for time_us in times_us])


def said(readings):
    return [(each.frames.time_us.tolist(), each.lost, each.until_us) for each in readings]


@pytest.mark.parametrize(
    ("drops", "known", "dropped", "expected"),
    [
        ((0, 0, 0), 0, 0, [([10, 20, 30], 0, 99)]),
        ((7, 7, 7), 7, 7, [([10, 20, 30], 0, 99)]),
        ((9, 9, 9), 7, 9, [([10, 20, 30], 2, 99)]),
        ((0, 4, 4), 0, 4, [([10], 0, 10), ([20, 30], 4, 99)]),
        ((1, 4, 9), 0, 9, [([10], 1, 10), ([20], 3, 20), ([30], 5, 99)]),
        ((0, 0, 0), 0, 6, [([10, 20, 30], 0, 30), ([], 6, 99)]),
        ((5, 5, 5), 6, 6, [([10, 20, 30], 0, 99)]),  # already told of, when the frames had not come yet
    ],
)
def test_a_reading_ends_where_frames_were_lost_and_the_next_says_how_many(drops, known, dropped, expected):
    assert said(cut_at_losses(frames(10, 20, 30), np.array(drops), known, dropped, 99)) == expected


def test_a_reading_of_nothing_says_what_was_lost_with_it():
    assert said(cut_at_losses(frames(), np.zeros(0, np.int64), 3, 5, 99)) == [([], 2, 99)]


@pytest.mark.parametrize("channel", ["", "a-name-of-16-char", "can/0", "can\n0"])
def test_a_channel_that_can_be_no_interface_is_a_wrong_configuration(channel):
    with pytest.raises(ConfigError, match="names no interface; write it as `ip link` shows it"):
        SocketCanSource(channel)


def test_an_interface_that_is_not_there_is_an_outage_in_one_line():
    with pytest.raises(SourceError, match=r"^socketcan no-such-can: cannot be opened: .*; .*") as caught:
        SocketCanSource("no-such-can").open()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 69


def test_an_agent_on_socketcan_alone_never_loads_python_can_cantools_or_pyserial():
    code = (
        "import sys, agent.app, agent.sources.socketcan;"
        "sys.exit(' '.join(sorted({'can', 'cantools', 'serial'} & set(sys.modules))) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_python_names_the_same_numbers_of_linux_where_it_names_them():
    from agent.sources import can_socket

    assert (socket.CAN_RAW_FILTER, socket.CAN_RAW_FD_FRAMES) == (1, 5)  # the error filter is the one between
    assert getattr(socket, "CAN_RAW_ERR_FILTER", 2) == can_socket._CAN_RAW_ERR_FILTER


def test_socketcan_is_configured_on_the_interface_not_with_options_of_python_can():
    table = SourceTable(interface="socketcan", channel="can0", options={"fd": True})
    with pytest.raises(
        ConfigError, match=r"pack.source.options: are for python-can; with socketcan, set the interface up"
    ):
        app.source(table, PROFILE)
    source = app.source(SourceTable(interface="socketcan", channel="can0"), PROFILE)
    assert isinstance(source, SocketCanSource)
    assert source.name == "socketcan can0"


def test_the_module_that_opens_can_sockets_is_the_only_one_and_sends_nothing():
    modules = {path: path.read_text() for path in (ROOT / "agent").rglob("*.py")}
    (only,) = [path for path, text in modules.items() if "socket.AF_CAN" in text]
    called = {node.attr for node in ast.walk(ast.parse(modules[only])) if isinstance(node, ast.Attribute)}
    assert only.name == "can_socket.py"
    assert not {name for name in called if name.startswith(("send", "write"))}
