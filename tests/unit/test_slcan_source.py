"""The slcan source and the adapters that there are: how it opens and closes them, and what it says when they refuse.

What every source does is in tests/pipeline/test_source_behaviour.py, what lines mean in test_slcan_lines.py.
"""

import os
import subprocess
import sys
import time

import pytest

from agent.errors import ConfigError, SourceError
from agent.sources.slcan import SlcanSource
from agent.sources.source import boottime_us
from tests.shared import ROOT
from tests.slcan_adapter import Adapter
from tests.vm.guest.bus.source_behaviour import broken

DEADLINE_S = 20


@pytest.fixture
def adapter():
    adapter = Adapter()
    yield adapter
    adapter.stop()


def heard(adapter, end):
    until = time.monotonic() + DEADLINE_S
    while not adapter.heard.endswith(end):
        assert time.monotonic() < until, adapter.heard
        time.sleep(0.001)
    return adapter.heard


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, b"\rC\rS6\rL\rC\r"),
        ({"listen_only": False}, b"\rC\rS6\rO\rC\r"),
        ({"timestamps": True}, b"\rC\rS6\rZ1\rL\rC\r"),
    ],
)
def test_it_closes_a_channel_that_was_left_open_and_listens_without_acknowledging(options, said, adapter):
    source = SlcanSource(adapter.path, 500_000, options)
    source.open()
    source.close()
    assert heard(adapter, b"L\rC\r" if options.get("listen_only", True) else b"O\rC\r") == said


def test_a_second_reader_of_a_serial_port_is_refused_before_it_disturbs_the_first(adapter):
    first, second = SlcanSource(adapter.path, 500_000), SlcanSource(adapter.path, 500_000)
    first.open()
    with pytest.raises(SourceError, match=r"cannot be opened: in use by another program; stop it first"):
        second.open()
    first.close()
    assert heard(adapter, b"L\rC\r") == b"\rC\rS6\rL\rC\r"  # one opening and one closing
    second.open()
    second.close()


def test_a_port_that_is_not_there_is_one_line():
    with pytest.raises(SourceError) as caught:
        SlcanSource("/dev/no-such-adapter", 500_000).open()
    assert (
        str(caught.value)
        == "slcan /dev/no-such-adapter: cannot be opened: No such file or directory; is the adapter plugged in?"
    )
    assert caught.value.exit_code == 69


def test_a_file_that_is_no_port_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError) as caught:
        SlcanSource(str(tmp_path / "file"), 500_000).open()
    assert "cannot be opened" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("bitrate", "channel", "options", "said"),
    [
        (123_456, "/dev/x", {}, "bitrate 123456 is none that slcan adapters have; take one of 10000, "),
        (500_000, "/dev/x@fast", {}, "channel '/dev/x@fast': behind the @ stands the port's speed"),
        (500_000, "/dev/x", {"listn_only": True}, "pack.source.options: listn_only: slcan has listen_only, "),
        (500_000, "/dev/x", {"listen_only": 1}, "pack.source.options: listen_only: is true or false"),
        (500_000, "/dev/x", {"tty_baudrate": "fast"}, "pack.source.options: tty_baudrate: is a number"),
        (500_000, "/dev/x", {"tty_baudrate": True}, "pack.source.options: tty_baudrate: is a number"),
        (500_000, "/dev/x", {"tty_baudrate": float("inf")}, "pack.source.options: tty_baudrate: is a port's speed"),
        (500_000, "/dev/x", {"sleep_after_open": -1}, "pack.source.options: sleep_after_open: is 0 to 2, in seconds"),
        (500_000, "/dev/x@0", {}, "channel '/dev/x@0': behind the @"),
    ],
)
def test_what_no_adapter_has_is_a_wrong_configuration(bitrate, channel, options, said):
    with pytest.raises(ConfigError) as caught:
        SlcanSource(channel, bitrate, options)
    assert str(caught.value).startswith(said)


class Refusing(Adapter):
    """Refuses one command, as an older adapter does."""

    def __init__(self, refused):
        self._refused, self._rest = refused, b""
        super().__init__()

    def answers(self, said):
        *commands, self._rest = (self._rest + said).split(b"\r")
        return b"".join(map(self.answer, commands))

    def answer(self, command):
        return b"\a" if command == self._refused else b"\r"


class Silent(Refusing):
    """Answers nothing but what its version is, if that; a CANable does, and knows no L."""

    def answer(self, command):
        return b"canable-fw 1.0\r" if command == self._refused else b""


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (b"S6", "the adapter refuses 500000 bit/s"),
        (b"Z1", "the adapter has no clock; set options.timestamps = false"),
        (
            b"L",
            "the adapter refuses to open its channel; set options.listen_only = false, and it will acknowledge frames",
        ),
    ],
)
def test_an_adapter_that_refuses_is_one_line_with_the_cure_and_is_let_go(refused, said):
    adapter = Refusing(refused)
    try:
        source = SlcanSource(adapter.path, 500_000, {"timestamps": True})
        with pytest.raises(SourceError) as caught:
            source.open()
        assert str(caught.value) == f"{source.name}: cannot be opened: {said}"
        if refused == b"L":
            other = SlcanSource(adapter.path, 500_000, {"listen_only": False})
            other.open()
            other.close()
    finally:
        adapter.stop()


@pytest.mark.parametrize(("options", "said"), [({}, b"L\rV\rM1\rO\r"), ({"listen_only": False}, b"O\rV\rM0\rO\r")])
def test_an_adapter_that_answers_only_for_its_version_is_silenced_and_opened_in_its_own_way(options, said):
    adapter = Silent(b"V")
    try:
        source = SlcanSource(adapter.path, 500_000, options)
        source.open()
        heard(adapter, said)
        adapter.say(b"t1230", b"t1241FF")
        found, until = [], time.monotonic() + DEADLINE_S
        while len(found) < 2:
            assert time.monotonic() < until
            found += source.read(0.1).frames.ids.tolist()
        source.close()
        assert found == [0x123, 0x124]
    finally:
        adapter.stop()


def test_an_adapter_that_answers_nothing_is_an_outage_and_not_a_quiet_bus():
    adapter = Silent(None)
    try:
        with pytest.raises(SourceError, match="the adapter answers nothing; where opening resets it, set"):
            SlcanSource(adapter.path, 500_000).open()
    finally:
        adapter.stop()


def test_a_refusal_that_comes_late_is_an_outage_and_not_a_quiet_bus(adapter):
    source = SlcanSource(adapter.path, 500_000)
    source.open()
    os.write(adapter.master, b"\a")
    problem, _ = broken(source)
    assert str(problem) == f"{source.name}: the adapter refuses to open its channel"


def test_an_adapter_that_stamps_unasked_is_not_believed(adapter):
    source = SlcanSource(adapter.path, 500_000)
    source.open()
    adapter.say(b"t12300000")
    frames = [source.read(1.0).frames][0]
    before_us = boottime_us()
    adapter.say(b"t12300001")
    (time_us,) = source.read(1.0).frames.time_us.tolist()
    source.close()
    assert len(frames) == 1
    assert time_us >= before_us


def test_with_timestamps_frames_have_the_times_at_which_the_adapter_heard_them(tmp_path):
    link, log, sent = tmp_path / "adapter", tmp_path / "numbered.log", tmp_path / "sent.csv"
    log.write_text("".join(f"({1 + n * 0.004:.6f}) can0 123#{n:016X}\n" for n in range(1000)))
    words = ["play", str(log), "--wait", "--slcan-link", str(link), "--sent-log", str(sent)]
    program = "import sys; from firmware_sim.cli import main; sys.exit(main())"
    with subprocess.Popen([sys.executable, "-c", program, *words], cwd=ROOT, stdout=subprocess.DEVNULL) as player:
        try:
            until = time.monotonic() + DEADLINE_S
            while not link.exists():
                assert time.monotonic() < until
                time.sleep(0.01)
            source = SlcanSource(str(link), 500_000, {"timestamps": True}, coalesce_s=0.3)
            source.open()
            times = []
            while len(times) < 1000:
                assert time.monotonic() < until
                times += source.read(0.1).frames.time_us.tolist()
                assert times == sorted(times)
                assert not times or times[-1] <= boottime_us()
            source.close()
        finally:
            player.terminate()
    sent_us = [int(line.partition(",")[0]) for line in sent.read_text().splitlines()]
    late = [time_us - was_us for time_us, was_us in zip(times, sent_us, strict=True)]
    # Read in pieces of 0.3 s: without the adapter's times most would be much later than sent.
    assert sorted(map(abs, late))[900] < 100_000, late


def test_ten_thousand_bytes_of_noise_are_counted_and_the_next_frame_is_heard(adapter):
    source = SlcanSource(adapter.path, 500_000)
    source.open()
    adapter.say(*[bytes(range(128, 228))] * 100, b"t1230")
    malformed, found, until = 0, [], time.monotonic() + DEADLINE_S
    while not found:
        assert time.monotonic() < until
        intake = source.read(0.1)
        malformed += intake.malformed
        found += intake.frames.ids.tolist()
    source.close()
    assert (malformed, found) == (100, [0x123])
