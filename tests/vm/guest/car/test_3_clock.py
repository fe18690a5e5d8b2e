"""A computer without a clock of its own: it captures before it knows the time, says what its clock is worth, rewrites nothing.

Each test goes on where the one before it has ended, in one epoch of the agent and with one pack that speaks all the while.
"""

import subprocess
import time
from pathlib import Path

import car_machine as car
import pytest
from statement_reading import admitted, said
from time_server import TimeServer

NONE, RTC, NTP = 0, 1, 2
STEPPED = 0
DAY_S = 86_400
CHRISTMAS_EVE = 1_798_135_200  # 2026-12-24 18:00 UTC: what the time server says
TIMESYNCD = Path("/run/systemd/timesyncd.conf.d/test.conf")
RECORDING, SENT, SAID = Path("/run/drive.log"), Path("/run/sent.csv"), Path("/run/player.out")
PLAY = ("packseal-sim", "play", str(RECORDING), "--loop", "--interface", "socketcan", "--channel", "vcan0")
LIVE = "packseal/v1/gw/+/pack/+/live"
OFF_BY_MS = (
    10_000  # of a wall clock, between its reading here and there: an emulated machine may stand still for seconds
)


pytestmark = pytest.mark.soak


@pytest.fixture(scope="module", autouse=True)
def speaking():
    """The agent on vcan0, where no frame can get lost but in the agent, with short segments; and a pack that speaks."""
    earlier = said()[-1].epoch
    car.listen_on("vcan0")
    car.say("systemctl", "restart", car.AGENT)
    car.wait_for("another epoch", lambda: said()[-1].epoch != earlier)
    # Its restart is a signed gap as soon as it listens again; only what is said from then on is counted.
    car.wait_for("the gap of the restart", lambda: len(_epoch()) > 1)
    frames = car.Bench.FRAMES
    lines = (f"({at / 50:.6f}) vcan0 {frames[at % len(frames)]}\n" for at in range(50))
    RECORDING.write_text("".join(lines))
    command = [*PLAY, "--sent-log", str(SENT)]
    with (
        SAID.open("w") as output,
        subprocess.Popen(command, stdout=output, stderr=output, env=car.SHELL) as player,
    ):
        try:
            car.wait_for("a segment with frames, or the player's end", lambda: _sealed() > 0 or player.poll())
            assert player.poll() is None, SAID.read_text()
            yield player
        finally:
            player.kill()
            car.listen_on("can0")  # for the next boot


@pytest.fixture(scope="module")
def network_time():
    """A time server, and a timesyncd that would ask it if there were a network."""
    TIMESYNCD.parent.mkdir(parents=True, exist_ok=True)
    TIMESYNCD.write_text("[Time]\nNTP=127.0.0.1\nFallbackNTP=\n")
    with TimeServer(CHRISTMAS_EVE) as server:
        yield server
    TIMESYNCD.unlink()
    car.run("ip", "link", "delete", "late0")


@pytest.fixture(scope="module")
def before_any_time():
    """What had been said when the time was still unknown."""
    return said()


def _epoch():
    """The statements of the agent's present epoch."""
    all_of_them = said()
    return [each for each in all_of_them if each.epoch == all_of_them[-1].epoch]


def _changes():
    return [each for each in _epoch() if each.kind == "clock"]


def _sealed():
    """How many frames are in the segments of this epoch."""
    return sum(each.body[6] for each in _epoch() if each.kind == "segment")


def _segment_after(statement):
    """The first segment behind a statement, once it is sealed."""
    behind = lambda: [each for each in _epoch() if each.kind == "segment" and each.seq > statement.seq]  # noqa: E731
    return car.wait_for("a segment", behind)[0][0]


def _set_clock(unix_s):
    """Set the wall clock as an operator does; by how much that moved it, in ms, and the `clock` statement about it."""
    told, moved_ms = len(_changes()), (unix_s - time.time()) * 1000
    car.say("date", "--set", f"@{unix_s}")
    changes, _ = car.wait_for("a clock statement", lambda: _changes()[told:])
    return moved_ms, changes[0]


def test_this_computer_has_no_clock_and_nobody_has_told_it_the_time(before_any_time):
    assert not list(Path("/sys/class/rtc").glob("rtc*"))
    assert not Path("/run/systemd/timesync/synchronized").exists()
    assert "NTPSynchronized=no" in car.say("timedatectl", "show")
    assert "setting system clock" not in car.say("journalctl", "--dmesg", "--output=cat", "--no-pager")


def test_what_is_captured_before_the_time_is_known_says_that_the_clock_is_worth_nothing(before_any_time):
    assert {each.quality for each in before_any_time} == {NONE}
    assert [each.kind for each in before_any_time].count("segment") > 0
    # Not that its date could not be believed: systemd starts with the date of its own making.
    print("wall clock, Unix s:", before_any_time[-1].wall_ms // 1000)


def test_time_that_arrives_late_with_the_network_is_said_in_a_clock_statement(network_time):
    # timesyncd asks nobody before there is an address.
    car.say("systemctl", "restart", "systemd-timesyncd.service")
    car.say("ip", "link", "add", "late0", "type", "dummy")
    car.say("ip", "address", "add", "192.0.2.10/24", "dev", "late0")
    was_ms = time.time() * 1000 - time.clock_gettime(time.CLOCK_BOOTTIME) * 1000
    car.say("ip", "link", "set", "late0", "up")
    # The step and the trust may be seen together or one after the other.
    changes, _ = car.wait_for("network time", lambda: [c for c in _changes() if c.body[4] == NTP] and _changes())
    step = changes[0]
    assert step.body[1] == STEPPED
    assert abs(step.body[2] - was_ms - step.t0_ms) < OFF_BY_MS
    assert abs(step.body[3] - network_time.at(step.t0_ms)) < OFF_BY_MS
    later = _segment_after(changes[-1])
    assert later.quality == NTP
    assert abs(later.wall_ms - network_time.at(later.t0_ms)) < OFF_BY_MS


def test_a_clock_set_by_hand_is_said_and_trusted_only_where_it_agrees_with_what_was_known():
    car.say("systemctl", "stop", "systemd-timesyncd.service")  # it would mend it within seconds
    # Back at the time that the network had told, it is worth what a clock is that ran on since.
    for seconds, worth in ((DAY_S, NONE), (-DAY_S, RTC), (3600, NONE), (-3600, RTC)):
        moved_ms, change = _set_clock(round(time.time()) + seconds)
        assert change.body[1] == STEPPED
        assert abs(change.body[3] - change.body[2] - moved_ms) < OFF_BY_MS
        assert change.body[4] == worth


def test_a_clock_that_falls_back_to_1970_changes_nothing_but_what_it_is_said_to_be_worth():
    # The kernel takes no time at which the machine was not up.
    moved_ms, change = _set_clock(DAY_S)
    assert abs(change.body[3] - change.body[2] - moved_ms) < OFF_BY_MS
    assert abs(change.body[3] - DAY_S * 1000) < OFF_BY_MS
    later = _segment_after(change)
    assert later.quality == NONE
    assert later.wall_ms < 2 * DAY_S * 1000
    assert car.shown("ActiveState") == "active"


def test_the_live_line_goes_on_while_the_clock_says_1970():
    (line,) = car.say("mosquitto_sub", "-C", "1", "-W", "120", "-t", LIVE).splitlines()
    assert "CurrentVoltage" in line


def test_the_time_of_the_network_is_taken_again():
    told = len(_changes())
    car.say("systemctl", "start", "systemd-timesyncd.service")
    car.wait_for("network time", lambda: [c for c in _changes()[told:] if c.body[4] == NTP])


def test_through_all_of_that_no_frame_was_lost_and_no_gap_was_made(speaking):
    speaking.terminate()
    assert speaking.wait(30) == 0, SAID.read_text()
    sent = len(SENT.read_text().splitlines())
    car.wait_for(f"all {sent} frames sealed", lambda: _sealed() >= sent)
    assert _sealed() == sent
    first, restart, *rest = _epoch()
    assert (first.kind, restart.kind) == ("open", "gap")
    # An emulated machine may stand still for seconds; the agent tells that, too.
    stalls = car.journal_of_this_start().count("nobody listened for")
    assert [each.kind for each in rest if each.kind not in ("segment", "clock")] == ["gap"] * stalls


def test_the_boot_clock_never_goes_back_and_all_of_the_time_is_covered(figure):
    statements = _epoch()
    assert len({each.boot_id for each in statements}) == 1
    _, *covering = [each for each in statements if each.kind in ("segment", "gap")]
    assert [each.t0_ms for each in covering[1:]] == [each.t1_ms for each in covering[:-1]]
    assert all(each.t0_ms < each.t1_ms for each in covering)
    figure("clock_statements", len(_changes()))


def test_every_segment_is_stamped_by_the_clock_that_was_announced_before_it_and_none_was_rewritten(before_any_time):
    offset_ms, worth, checked = None, NONE, 0
    for each in _epoch():
        if each.kind == "clock":
            offset_ms, worth = each.body[3] - each.t0_ms, each.body[4]
        elif each.kind == "segment":
            assert each.quality <= worth
            assert offset_ms is None or abs(each.wall_ms - each.t0_ms - offset_ms) < OFF_BY_MS
            checked += offset_ms is not None
    assert checked >= 5
    assert said()[: len(before_any_time)] == before_any_time


def test_the_ledger_has_every_statement_as_it_was_first_made(before_any_time):
    car.wait_for("all proven", car.all_proven)
    assert {each.entry for each in before_any_time} | {each.entry for each in _epoch()} <= admitted()
