"""The slcan adapter on a pseudo-terminal: what a peer that reads, dies, returns or never reads gets to see."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import pairwise

import can
import pytest
import serial

from firmware_sim.outputs.slcan_pty import SlcanPty
from firmware_sim.play.recording import Recording
from tests.shared import ROOT

SIM = [sys.executable, "-c", "import sys; from firmware_sim.cli import main; sys.exit(main())"]
LINE = re.compile(rb"t[0-7][0-9A-F]{2}([0-8])((?:[0-9A-F]{2})*)")
DEADLINE_S = 20.0


def wait_for(condition, what):
    deadline = time.monotonic() + DEADLINE_S
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.005)
    return result


@contextmanager
def simulator(link, *arguments):
    command = [*SIM, *arguments, "--slcan-link", str(link), "--json"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: link.is_symlink() or process.poll() is not None, "the link")
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finish(process):
    """Stop it as an operator does; returns the summary."""
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    return json.loads(out)


def opened(link):
    port = serial.Serial(str(link), timeout=0.1, exclusive=True)
    port.write(b"C\rS6\rO\r")
    return port


def use_for_ever(port):
    while True:
        port.read(4_096)
        port.write(b"\r")


def read_lines(port, count):
    received = b""
    deadline = time.monotonic() + DEADLINE_S
    while received.count(b"\r") < count:
        assert time.monotonic() < deadline, f"{received.count(bytes([13]))} of {count} lines came"
        received += port.read(port.in_waiting or 1)
    return received


def assert_whole_lines(received):
    """Every line is a frame or an answer; the last piece may be the beginning of one."""
    *lines, _ = received.replace(b"\a", b"").split(b"\r")
    for line in filter(None, lines):
        match = LINE.fullmatch(line)
        assert match, line
        assert len(match[2]) == 2 * int(match[1])
    return [line for line in lines if line]


def recorded(folder, count, spacing_us=1_000):
    """A log whose frames carry their own number."""
    path = folder / "numbered.log"
    rows = ((*divmod(n * spacing_us, 1_000_000), n) for n in range(count))
    path.write_text("".join(f"({s + 1:010d}.{us:06d}) can0 123#{n:016X}\n" for s, us, n in rows))
    return path


def test_python_cans_own_slcan_interface_opens_the_pty_and_reads_the_pack(tmp_path):
    link = tmp_path / "pack"
    with simulator(link, "run", "--seed", "4") as process:
        bus = can.Bus(interface="slcan", channel=str(link), bitrate=500_000, sleep_after_open=0.05)
        seen = set()
        deadline = time.monotonic() + DEADLINE_S
        while len(seen) < 12 and time.monotonic() < deadline:
            if (message := bus.recv(0.5)) is not None:
                seen.add(message.arbitration_id)
        assert len(seen) == 12
        assert bus.get_version(1.0) == (10, 13)
        bus.shutdown()
        counts = finish(process)
    assert counts["written"] > 0
    assert counts["dropped"] == 0
    assert not link.is_symlink(), "the link goes with the adapter"


def test_nothing_is_sent_before_the_channel_is_open_nor_after_it_is_closed(tmp_path):
    link = tmp_path / "pack"
    with simulator(link, "run") as process, serial.Serial(str(link), timeout=0.3) as port:
        port.write(b"V\r")
        assert port.read(64) == b"V1013\r"
        port.write(b"S6\rO\r")
        assert_whole_lines(read_lines(port, 50))
        port.write(b"C\r")
        while port.read(4_096):
            pass
        port.write(b"N\r")
        assert port.read(64) == b"NPS01\r"
        counts = finish(process)
    assert counts["unheard"] > 0


def test_a_frame_from_the_host_is_acknowledged_and_counted(tmp_path):
    link = tmp_path / "pack"
    with simulator(link, "run") as process, opened(link) as port:
        read_lines(port, 10)
        port.write(b"t7E440322F190\rT18DAE4F10\r")
        received = b""
        deadline = time.monotonic() + DEADLINE_S
        while not (b"z\r" in received and b"Z\r" in received):
            assert time.monotonic() < deadline
            received += port.read(port.in_waiting or 1)
        assert finish(process)["from_host"] == 2


def test_the_adapter_survives_a_reader_that_is_killed_and_the_next_one_begins_on_a_whole_line(tmp_path):
    link, sent_log = tmp_path / "pack", tmp_path / "sent.csv"
    reader = (
        "import serial, sys\n"
        "port = serial.Serial(sys.argv[1], timeout=1, exclusive=True)\n"
        "port.write(b'C\\rS6\\rO\\r')\n"
        "port.read(300)\n"
        "print('reading', flush=True)\n"
        "while True: port.read(64)\n"
    )
    log = recorded(tmp_path, 2_000)
    with simulator(link, "play", str(log), "--loop", "--sent-log", str(sent_log)) as process:
        terminal = link.readlink()
        for _ in range(5):
            victim = subprocess.Popen([sys.executable, "-c", reader, str(link)], stdout=subprocess.PIPE, text=True)
            assert victim.stdout.readline() == "reading\n"
            victim.kill()
            victim.wait()
            victim.stdout.close()
        with opened(link) as port:
            lines = assert_whole_lines(read_lines(port, 500))
        assert link.readlink() == terminal, "the same port all along"
        counts = finish(process)
    numbers = [int(line[5:], 16) for line in lines if line.startswith(b"t123")]
    assert all((b - a) % 2_000 == 1 for a, b in pairwise(numbers)), "no frame is missing"
    assert counts["unheard"] > 0
    assert counts["written"] == len(sent_log.read_text().splitlines())


def test_a_peer_that_does_not_read_costs_frames_that_are_counted_but_never_half_a_line(tmp_path):
    link, sent_log = tmp_path / "pack", tmp_path / "sent.csv"
    log = recorded(tmp_path, 30_000, spacing_us=200)
    with simulator(link, "play", str(log), "--sent-log", str(sent_log), "--linger", "60") as process:
        with opened(link) as port:
            received = b""
            for _ in range(4):
                time.sleep(0.6)  # 3,000 frames are due meanwhile and the terminal holds some 760
                received += port.read(port.in_waiting or 1)
            port.write(b"F\r")
            deadline = time.monotonic() + DEADLINE_S
            while not re.search(rb"[\r\a]F01\r", received):
                assert time.monotonic() < deadline
                received += port.read(port.in_waiting or 1)
            time.sleep(0.2)
            counts_lines = assert_whole_lines(re.sub(rb"(?<=[\r\a])F01\r", b"", received))
        counts = finish(process)
    assert counts["dropped"] > 3_000
    assert counts["written"] + counts["dropped"] + counts["unheard"] >= len(counts_lines)
    numbers = [int(line[5:], 16) for line in counts_lines]
    assert numbers == sorted(set(numbers)), "in order, none twice"
    sent = [int(row.split(",")[3], 16) for row in sent_log.read_text().splitlines()]
    assert sent[: len(numbers)] == numbers, "the sent log is what the peer read"


def test_at_pace_0_the_output_sets_the_pace_and_no_frame_is_lost(tmp_path):
    link, sent_log = tmp_path / "pack", tmp_path / "sent.csv"
    log = recorded(tmp_path, 5_000)
    arguments = ("play", str(log), "--pace", "0", "--sent-log", str(sent_log), "--linger", "60")
    with simulator(link, *arguments) as process, opened(link) as port:
        received = b""
        deadline = time.monotonic() + DEADLINE_S
        while received.count(b"t123") < 5_000 or not received.endswith(b"\r"):
            assert time.monotonic() < deadline
            received += port.read(min(700, port.in_waiting or 1))
        counts = finish(process)
    numbers = [int(line[5:], 16) for line in assert_whole_lines(received)]
    assert numbers == list(range(5_000))
    assert (counts["written"], counts["dropped"], counts["unheard"]) == (5_000, 0, 0)
    rows = [row.split(",") for row in sent_log.read_text().splitlines()]
    assert [(row[1], row[2], int(row[3], 16)) for row in rows] == [("123", "0", n) for n in range(5_000)]


def test_with_wait_the_recording_begins_when_somebody_listens(tmp_path):
    link = tmp_path / "pack"
    log = recorded(tmp_path, 300)
    with simulator(link, "play", str(log), "--wait") as process, opened(link) as port:
        lines = assert_whole_lines(read_lines(port, 302))
        out, _ = process.communicate(timeout=DEADLINE_S)
    assert [int(line[5:], 16) for line in lines] == list(range(300))
    counts = json.loads(out)
    assert (process.returncode, counts["written"], counts["unheard"]) == (0, 300, 0)


def test_the_sent_log_is_on_disk_within_100_ms_so_that_a_crash_loses_little(tmp_path):
    link, sent_log = tmp_path / "pack", tmp_path / "sent.csv"
    arguments = ("play", str(recorded(tmp_path, 2_000)), "--loop", "--sent-log", str(sent_log))
    with simulator(link, *arguments) as process, opened(link) as port:
        read_lines(port, 500)
        wait_for(lambda: sent_log.read_text().count("\n") >= 400, "the sent log")
        process.kill()
        process.wait()
    rows = sent_log.read_text().splitlines()
    assert all(re.fullmatch(r"\d+,123,0,[0-9a-f]{16}", row) for row in rows)


def test_a_killed_adapter_is_an_unplugged_one_and_its_successor_takes_the_link_over(tmp_path):
    link = tmp_path / "pack"
    with simulator(link, "run") as first, opened(link) as port:
        read_lines(port, 5)
        first.kill()
        first.wait()
        with pytest.raises((serial.SerialException, OSError)):
            use_for_ever(port)
    assert link.is_symlink(), "a killed process removes nothing"
    with simulator(link, "run") as second:
        # Where the dead one's link leads there may be somebody else's terminal by now.
        assert "slcan adapter at" in second.stderr.readline()
        with opened(link) as port:
            read_lines(port, 5)
        finish(second)
    assert not link.is_symlink()


def attempt(link, *arguments):
    """A second simulator on the same link, to its end."""
    command = [*SIM, "run", "--slcan-link", str(link), "--duration", "0.2", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=DEADLINE_S)


def test_a_living_simulators_link_is_refused_to_another_and_goes_on_leading_to_the_first(tmp_path):
    link = tmp_path / "pack"
    (tmp_path / "beside").symlink_to(tmp_path)
    with simulator(link, "run") as process:
        terminal = link.readlink()
        for way in (link, tmp_path / "beside" / "pack"):
            done = attempt(way)
            assert done.returncode == 69
            (line,) = done.stderr.splitlines()
            assert line.endswith("pack: is the link of another simulator that is running; stop it or give another path")
        assert link.readlink() == terminal
        with opened(link) as port:
            read_lines(port, 5)
        finish(process)
    assert [path.name for path in tmp_path.iterdir()] == ["beside"], "link and lock are gone"
    assert attempt(link).returncode == 0


def test_a_killed_simulators_link_is_taken_over_though_its_terminals_name_is_in_use_again(tmp_path):
    link = tmp_path / "pack"
    with simulator(link, "run") as first:
        first.kill()
        first.wait()
    master, slave = os.openpty()
    try:
        link.unlink()
        link.symlink_to(os.ttyname(slave))
        assert attempt(link).returncode == 0
    finally:
        os.close(master)
        os.close(slave)
    assert not list(tmp_path.iterdir())


def test_a_link_that_somebody_has_led_elsewhere_is_not_removed(tmp_path):
    link = tmp_path / "pack"
    with simulator(link, "run") as process:
        link.unlink()
        link.symlink_to("/dev/null")
        finish(process)
    assert str(link.readlink()) == "/dev/null"


def test_an_unplugged_adapter_keeps_its_link_from_others_until_it_is_plugged_in_again(tmp_path):
    link = tmp_path / "pack"
    adapter = SlcanPty(link)
    adapter.open()
    adapter.unplug()
    assert not link.is_symlink()
    assert attempt(link).returncode == 69
    adapter.plug()
    assert link.exists()
    adapter.unplug()
    adapter.close()
    assert not list(tmp_path.iterdir())
    assert attempt(link).returncode == 0


@pytest.mark.parametrize("place", ["", "/", ".."])
def test_a_folder_in_the_links_place_is_refused_in_one_line(tmp_path, place):
    done = attempt(place)
    assert done.returncode == 69
    (line,) = done.stderr.splitlines()
    assert line.endswith("is there and is not a link; give another path")


def test_a_file_in_the_links_place_is_not_touched(tmp_path):
    link = tmp_path / "pack"
    link.write_text("precious")
    done = subprocess.run(
        [*SIM, "run", "--slcan-link", str(link)], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 69
    assert done.stderr.strip().endswith("is there and is not a link; give another path")
    assert link.read_text() == "precious"


def test_a_pack_driven_into_a_log_and_played_onto_the_pty_is_heard_unchanged(tmp_path):
    link, log = tmp_path / "pack", tmp_path / "drive.log"
    subprocess.run([*SIM, "run", "--duration", "2", "--out", str(log)], cwd=ROOT, check=True, capture_output=True)
    expected = [(f.frame.identifier, f.frame.payload) for f in Recording(log)]
    with simulator(link, "play", str(log), "--wait") as process, opened(link) as port:
        lines = assert_whole_lines(read_lines(port, len(expected) + 2))
        process.communicate(timeout=DEADLINE_S)
    assert [(int(line[1:4], 16), bytes.fromhex(line[5:].decode())) for line in lines] == expected
