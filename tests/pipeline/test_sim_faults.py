"""Faults in the real program: asked for over its control socket, seen by a peer on the serial adapter and in files."""

import json
import subprocess
import sys
from contextlib import contextmanager

import pytest
import serial

from firmware_sim.faults.catalogue import KINDS
from firmware_sim.play.recording import Recording
from tests.pipeline.test_slcan_pty import finish, opened, read_lines, simulator, use_for_ever, wait_for
from tests.shared import ROOT

SIM = [sys.executable, "-c", "import sys; from firmware_sim.cli import main; sys.exit(main())"]


def inject(*words, code=0):
    """Run `packseal-sim inject`; its JSON answer, or its one line of complaint."""
    done = subprocess.run(
        [*SIM, "inject", "--json", *map(str, words)], cwd=ROOT, check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code, done.stderr
    if code:
        (line,) = done.stderr.splitlines()
        return line
    return json.loads(done.stdout)


@contextmanager
def controlled(tmp_path, *arguments):
    """A running pack on serial with its control socket."""
    link, socket = tmp_path / "pack", tmp_path / "control"
    command = [arguments[0], *arguments[1:]] if arguments else ["run", "--seed", "4"]
    with simulator(link, *command, "--control", str(socket)) as process:
        wait_for(socket.exists, "the control socket")
        yield process, link, socket


def frames_of(port, identifier, count):
    """Payloads of the next frames with one identifier."""
    head, found = b"t%03X" % identifier, []
    received = b""
    while len(found) < count:
        received += read_lines(port, 1)
        *lines, received = received.split(b"\r")
        found += [line[5:] for line in lines if line.startswith(head)]
    return found


def test_a_fault_is_asked_for_seen_on_the_bus_told_and_cleared(tmp_path):
    with controlled(tmp_path) as (process, link, socket), opened(link) as port:
        read_lines(port, 50)
        told = inject("--control", socket, "sensor-stuck", "--sensor", "pack-voltage", "--for", "600")
        assert told["injected"]["kind"] == "sensor-stuck"
        wait_for(lambda: inject("--control", socket, "--status")["active"], "the fault")
        time_s = inject("--control", socket, "--status")["time_s"]
        wait_for(lambda: inject("--control", socket, "--status")["time_s"] > time_s + 0.2, "a while")
        port.reset_input_buffer()
        volts = [payload[:4] for payload in frames_of(port, 0x132, 40)[5:]]
        assert len(set(volts)) == 1
        assert inject("--control", socket, "--clear", "sensor-stuck")["cleared"] == 1
        wait_for(lambda: len({payload[:4] for payload in frames_of(port, 0x132, 20)}) > 1, "a living sensor")
        counts = finish(process)
    assert counts["faults"] == {"sensor-stuck": {"begun": 1, "frames": 0}}
    assert not socket.exists(), "the socket goes with the simulator"


def test_every_fault_of_the_catalogue_can_be_asked_for_and_the_pack_goes_on(tmp_path):
    with controlled(tmp_path) as (process, link, socket), opened(link) as port:
        for kind in KINDS:
            if kind != "adapter-unplugged":
                inject("--control", socket, kind)
        wait_for(lambda: len(inject("--control", socket, "--status")["faults"]) == len(KINDS) - 1, "all of them")
        inject("--control", socket, "--clear")
        wait_for(lambda: not inject("--control", socket, "--status")["active"], "none of them")
        assert frames_of(port, 0x132, 100)
        counts = finish(process)
    assert set(counts["faults"]) == set(KINDS) - {"adapter-unplugged"}


def test_an_unplugged_adapter_is_dead_for_its_peer_and_another_one_comes_in_its_place(tmp_path):
    with controlled(tmp_path) as (process, link, socket):
        with opened(link) as port:
            read_lines(port, 20)
            before = link.readlink()
            inject("--control", socket, "adapter-unplugged")
            with pytest.raises((serial.SerialException, OSError)):
                use_for_ever(port)
        wait_for(lambda: not link.is_symlink(), "the link to go")
        assert not before.exists(), "and its terminal with it"
        inject("--control", socket, "--clear")
        wait_for(link.is_symlink, "another adapter")
        with opened(link) as port:
            assert frames_of(port, 0x132, 20)
        counts = finish(process)
    assert counts["faults"]["adapter-unplugged"]["begun"] == 1
    assert counts["faults"]["adapter-unplugged"]["frames"] > 0


def test_a_run_that_ends_while_the_adapter_is_unplugged_ends_well(tmp_path):
    with controlled(tmp_path) as (process, link, socket):
        inject("--control", socket, "adapter-unplugged")
        wait_for(lambda: not link.is_symlink(), "the link to go")
        finish(process)


def test_on_a_bus_that_is_off_nothing_is_sent_and_nothing_is_heard(tmp_path):
    with controlled(tmp_path) as (process, link, socket), opened(link) as port:
        read_lines(port, 20)
        inject("--control", socket, "bus-off")
        wait_for(lambda: inject("--control", socket, "--status")["active"], "the fault")
        quiet = wait_for(lambda: inject("--control", socket, "--status")["faults"]["bus-off"]["frames"], "silence")
        port.reset_input_buffer()
        more = wait_for(
            lambda: inject("--control", socket, "--status")["faults"]["bus-off"]["frames"] > quiet + 20, "silence"
        )
        assert more
        assert port.in_waiting == 0
        inject("--control", socket, "--clear")
        assert frames_of(port, 0x132, 20)
        finish(process)


def test_a_recording_has_a_bus_to_disturb_and_no_pack_to_break(tmp_path):
    log = tmp_path / "x.log"
    subprocess.run([*SIM, "run", "--duration", "2", "--out", str(log)], cwd=ROOT, check=True, capture_output=True)
    with controlled(tmp_path, "play", str(log), "--loop") as (process, _, socket):
        assert "it has no pack to break" in inject("--control", socket, "soc-frozen", code=64)
        assert inject("--control", socket, "frames-dropped", "--share", "0.5")["ok"]
        finish(process)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 64, "give --control PATH"),
        (["--control", "/no/such", "--status"], 69, "start one with --control"),
        (["--control", "x"], 64, "give a fault, --status, --clear or --list"),
        (["--control", "x", "cell-shorts"], 64, "invalid choice: 'cell-shorts'"),
        (["--control", "x", "cell-short", "--ohm", "lots"], 64, "ohm: 'lots' is not a number from 0.02 to 100 ohm"),
        (["--control", "x", "cell-short", "--for", "-3"], 64, "--for: '-3' is not a number of seconds above 0"),
        (["--control", "x", "bms-reset", "--for", "3"], 64, "bms-reset happens in a moment"),
        (["--control", "x", "--clear", "everything"], 64, "'everything' is not a fault"),
    ],
)
def test_what_cannot_be_asked_is_one_line(words, code, said):
    assert said in inject(*words, code=code)


def test_the_list_names_every_fault_with_its_parameters_as_text_and_as_json():
    listed = inject("--list")
    assert list(listed) == list(KINDS)
    for kind in KINDS.values():
        assert list(listed[kind.name]["parameters"]) == [parameter.name for parameter in kind.parameters]
    text = subprocess.run([*SIM, "inject", "--list"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert all(f"{kind.name}: {kind.meaning}" in text for kind in KINDS.values())


def test_faults_of_a_scenario_fall_into_a_file_at_their_time(tmp_path):
    scenario = tmp_path / "s.toml"
    scenario.write_text(SCENARIO)
    log = tmp_path / "x.log"
    done = subprocess.run(
        [*SIM, "run", "--scenario", str(scenario), "--out", str(log), "--json"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    frames = list(Recording(log))
    start_us = frames[0].time_us
    silent = [f for f in frames if 4.05 < (f.time_us - start_us) / 1e6 < 5.95]
    assert not silent
    assert counts["faults"]["bus-off"]["frames"] == pytest.approx(2 * 215, abs=8)
    assert len(frames) == counts["written"]


SCENARIO = """\
title = "for a test"
seed = 3
start = 2026-03-02T07:00:00Z

[[phase]]
[[phase.step]]
do = "drive"
cycle = "city"
for = "10 s"

[[fault]]
kind = "bus-off"
at = "4 s"
for = "2 s"
"""
