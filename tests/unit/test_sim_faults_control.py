"""The control socket: what is asked is done, what is wrong is refused in words, and nobody can hold the simulator up."""

import contextlib
import json
import socket
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_sim.commands.inject import ask
from firmware_sim.faults.catalogue import KINDS
from firmware_sim.faults.control import MAX_CLIENTS, MAX_LINE, Control
from firmware_sim.faults.on_bus import FaultyFeed
from firmware_sim.faults.tally import FaultTally
from firmware_sim.faults.timeline import Timeline
from packseal.program import Unavailable
from tests.unit.test_sim_faults_on_bus import Numbered


def faulty():
    feed = FaultyFeed(Numbered(10.0), Timeline(), 1, FaultTally())
    feed.until(2_000_000, 1 << 20)
    return feed


@pytest.fixture
def control(tmp_path):
    made = Control(tmp_path / "c.sock", faulty(), cells=96, modules=4)
    made.open()
    yield made
    made.close()


def called(path):
    caller = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    caller.settimeout(5.0)
    caller.connect(str(path))
    return caller


def asked(control, caller, line):
    caller.sendall(line + b"\n")
    control.attend()
    return json.loads(caller.recv(1 << 16).splitlines()[-1])


def answer(control, **request):
    return control.answer(json.dumps(request).encode())


def test_a_fault_that_is_asked_for_begins_with_the_next_frame_and_ends_in_its_time(tmp_path, control):
    with called(tmp_path / "c.sock") as caller:
        told = asked(control, caller, b'{"do":"inject","kind":"frames-dropped","parameters":{"share":1},"for_s":3}')
        assert told["ok"]
        assert told["injected"]["parameters"] == {"share": 1.0, "ids": []}
        assert (told["injected"]["from_s"], told["injected"]["until_s"]) == (2.0, 5.0)
        frames = control._feed.until(6_000_000, 1 << 20)
        assert min(frame.time_us for frame in frames) >= 5_000_000
        status = asked(control, caller, b'{"do":"status"}')
    assert (status["active"], status["time_s"]) == ([], 6.0)
    assert status["faults"]["frames-dropped"] == {"begun": 1, "frames": 2_000}


def test_what_is_active_is_told_and_can_be_cleared():
    control = Control("unused", faulty())
    answer(control, do="inject", kind="bus-off")
    answer(control, do="inject", kind="clock-jump", parameters={"seconds": 5})
    control._feed.until(3_000_000, 1 << 20)
    assert [entry["kind"] for entry in answer(control, do="status")["active"]] == ["bus-off", "clock-jump"]
    assert answer(control, do="clear", kind="bus-off") == {"ok": True, "cleared": 1}
    control._feed.until(4_000_000, 1 << 20)
    assert [entry["kind"] for entry in answer(control, do="status")["active"]] == ["clock-jump"]
    assert answer(control, do="clear") == {"ok": True, "cleared": 1}


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (b"", "not a line of JSON"),
        (b"inject cell-short", "not a line of JSON"),
        (b"[" * 5_000, "not a line of JSON"),
        (b"\xff\xfe", "not a line of JSON"),
        (b"[1]", "not a JSON object"),
        (b"{}", "do: give inject, clear or status"),
        (b'{"do":"inject"}', "kind: None is not a fault"),
        (b'{"do":"inject","kind":"frames-dropped","parameters":{"share":2}}', "share: 2 is not a number from 0 to 1"),
        (b'{"do":"inject","kind":"frames-dropped","parameters":[]}', "parameters: give an object"),
        (b'{"do":"inject","kind":"bus-off","parameters":{"kind":"soc-frozen"}}', "parameters: give an object"),
        (b'{"do":"inject","kind":"bus-off","for_s":0}', "for_s: give a number of seconds above 0"),
        (b'{"do":"inject","kind":"bus-off","for_s":1e10}', "a number of seconds above 0, 1000000000 at most"),
        (b'{"do":"inject","kind":"bus-off","for_s":NaN}', "for_s: give a number"),
        (b'{"do":"inject","kind":"bus-off","for_s":true}', "for_s: give a number"),
        (b'{"do":"inject","kind":"bms-reset","for_s":3}', "bms-reset happens in a moment and has no duration"),
        (b'{"do":"inject","kind":"soc-frozen"}', "a recording is being played; it has no pack to break"),
        (b'{"do":"inject","kind":"cell-short","parameters":{"cell":97}}', "there is no cell 97; the pack has 96"),
        (b'{"do":"inject","kind":"replayed-log","parameters":{"log":"/no/such"}}', "/no/such: there is no such file"),
        (b'{"do":"inject","kind":"replayed-log","parameters":{"log":"/dev/zero"}}', "there is no such file"),
        (b'{"do":"clear","kind":"all"}', "kind: there are cell-short"),
        (b'{"do":"clear","kind":[]}', "kind: there are cell-short"),
        (b'{"do":"clear","kind":{}}', "kind: there are cell-short"),
        (b'{"do":"inject","kind":"bus-off","for_s":1' + b"0" * 400 + b"}", "for_s: give a number of seconds above 0"),
        (b'{"do":"inject","kind":"replayed-log","parameters":{"log":"/' + b"a" * 300 + b'"}}', "File name too long"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(control, request_, said):
    told = control.answer(request_)
    assert told["ok"] is False
    assert said in told["error"]


HUGE = st.integers(10**300, 10**320)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | HUGE | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)
PARAMETERS = sorted({parameter.name for kind in KINDS.values() for parameter in kind.parameters})
REQUESTS = st.fixed_dictionaries(
    {"do": st.sampled_from(["inject", "clear", "status"])},
    optional={
        "kind": st.sampled_from(list(KINDS)) | ANYTHING,
        "for_s": ANYTHING,
        "parameters": st.dictionaries(st.sampled_from(PARAMETERS), ANYTHING, max_size=2) | ANYTHING,
    },
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.binary(max_size=200) | REQUESTS.map(lambda request: json.dumps(request).encode()), max_size=4))
def test_any_lines_are_answered_and_the_feed_goes_on(lines):
    feed = faulty()
    control = Control("unused", feed)
    for line in lines:
        assert json.loads(json.dumps(control.answer(line)))["ok"] in (True, False)
    feed.until(2_500_000, 64)


def test_many_requests_at_once_are_all_answered_even_if_their_client_says_that_it_has_said_all(tmp_path, control):
    with called(tmp_path / "c.sock") as caller:
        caller.sendall(b'{"do":"status"}\n' * 2_000)
        caller.shutdown(socket.SHUT_WR)
        caller.setblocking(False)
        received, steps = b"", 0
        while not (control._clients == [] and steps):
            control.attend()
            steps += 1
            with contextlib.suppress(BlockingIOError):
                while piece := caller.recv(1 << 16):
                    received += piece
            assert steps < 5_000
    assert received.count(b'{"ok": true') == received.count(b"\n") == 2_000


def test_when_the_run_is_over_and_its_output_only_lingers_nothing_can_be_injected_or_cleared():
    control = Control("unused", faulty())
    assert answer(control, do="inject", kind="bus-off")["ok"]
    control._feed.until(1 << 40, 1 << 20)
    for request in ({"do": "inject", "kind": "bus-off"}, {"do": "clear"}):
        told = answer(control, **request)
        assert not told["ok"]
        assert "the run is over" in told["error"]
    assert answer(control, do="status")["ok"]


def test_there_is_an_end_to_how_many_faults_can_be_asked_for():
    control = Control("unused", faulty())
    answers = [answer(control, do="inject", kind="bus-off", for_s=60) for _ in range(300)]
    assert answers[0]["ok"]
    assert "clear some" in answers[-1]["error"]


def test_only_the_user_who_started_the_simulator_may_ask(tmp_path, control):
    mode = (tmp_path / "c.sock").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_a_socket_that_a_dead_simulator_left_is_replaced_and_a_living_one_is_not(tmp_path):
    path = tmp_path / "c.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    first = Control(path, faulty())
    first.open()
    with pytest.raises(Unavailable, match="another simulator is in control there"):
        Control(path, faulty()).open()
    first.close()
    assert not path.exists()


def test_a_file_in_the_sockets_place_is_not_touched(tmp_path):
    path = tmp_path / "c.sock"
    path.write_text("precious")
    with pytest.raises(Unavailable, match="is there and is no socket"):
        Control(path, faulty()).open()
    assert path.read_text() == "precious"


@pytest.mark.parametrize("name", ["x" * 120, "no/such/folder"])
def test_a_path_that_cannot_be_had_is_one_line(tmp_path, name):
    with pytest.raises(Unavailable):
        Control(tmp_path / name, faulty()).open()


def test_a_successors_socket_is_not_taken_away(tmp_path):
    path = tmp_path / "c.sock"
    first, second = Control(path, faulty()), Control(path, faulty())
    first.open()
    path.unlink()
    second.open()
    first.close()
    assert path.exists()
    second.close()


def test_half_requests_endless_ones_and_idle_callers_hold_nobody_up(tmp_path, control):
    path = tmp_path / "c.sock"
    idle = []
    for _ in range(3 * MAX_CLIENTS):
        idle.append(called(path))
        control.attend()
    half = called(path)
    half.sendall(b'{"do":"sta')
    control.attend()
    endless = called(path)
    endless.sendall(b"x" * MAX_LINE)
    control.attend()
    endless.sendall(b"x" * MAX_LINE)
    control.attend()
    control.attend()
    assert b"without an end of line" in endless.recv(1 << 16)
    assert endless.recv(1) == b"", "and it is let go"
    assert asked(control, half, b'tus"}')["ok"]
    assert len(control._clients) <= MAX_CLIENTS
    for caller in (*idle, half, endless):
        caller.close()
    control.attend()
    control.attend()
    assert not control._clients


def test_a_caller_who_asks_and_never_reads_is_not_remembered_without_end(tmp_path, control):
    with called(tmp_path / "c.sock") as caller:
        caller.setblocking(False)
        for _ in range(2_000):
            with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                caller.send(b'{"do":"status"}\n' * 50)
            control.attend()
            if not control._clients:
                break
        assert all(len(client.answers) + len(client.received) < 1 << 17 for client in control._clients)


def test_asking_where_nobody_is_says_how_to_have_somebody_there(tmp_path):
    with pytest.raises(Unavailable, match="start one with --control"):
        ask(tmp_path / "nobody", {"do": "status"})
    assert not list(tmp_path.iterdir())
