"""The agent under systemd: it captures and is proven, it is started again when it hangs or dies, and it ends in order.

The tests go on where the one before has ended: starting a program takes seconds in this machine.
"""

import json
import os
import signal
import time
from pathlib import Path

import car_machine as car
import pytest

# Short enough for a test; the product's is 60 s.
WATCHDOG_S = 15
SHORT_WATCHDOG = f"[Service]\nWatchdogSec={WATCHDOG_S}\n"
MOST_RESIDENT_MB = 60
LONGEST_STOP_S = 5.0
WRAPPING_KEY = Path("/etc/credstore.encrypted/packseal-wrapping-key")
# The kernel's own word for what an adapter is: FTDI, as QEMU plays it.
ADAPTER = ("0403", "6001")

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module", autouse=True)
def bench():
    """A pack that speaks, short segments and a short watchdog; not yet in the agent that runs."""
    text = car.CONFIG.read_text()
    if "[segment]" not in text:
        car.CONFIG.write_text(text.replace("[[pack]]", "[segment]\nseconds = 5\n\n[[pack]]", 1))
    with car.Bench() as speaking:
        yield speaking
    car.drop_in("")


def _running():
    return car.shown("ActiveState") == "active" and int(car.shown("MainPID"))


def _restarted(before):
    """The service's next process, once it is ready, and how long that took."""
    return car.wait_for("the service runs again", lambda: _running() not in (False, 0, before) and _running(), 120)


def _segments():
    return car.kinds().count("segment")


def _newest_epoch():
    return list(car.epochs().values())[-1]


def test_start_returns_only_when_the_chain_is_open_and_durable():
    epochs = len(car.epochs())
    car.restart_with(SHORT_WATCHDOG)
    assert len(car.epochs()) == epochs + 1
    assert _newest_epoch()[0] == "open"


def test_what_the_pack_says_is_sealed_and_proven():
    car.wait_for("three segments with frames", lambda: _newest_epoch().count("segment") >= 3, 90)
    car.wait_for("all proven", car.all_proven, 90)
    live = car.say("mosquitto_sub", "-t", "packseal/v1/gw/gw-01/pack/pack-0001/live", "-C", "1", "-W", "60")
    assert json.loads(live)["frames"] > 0, live


def test_the_service_keeps_within_its_memory(figure):
    status = Path(f"/proc/{car.shown('MainPID')}/status").read_text()
    resident = int(status.partition("VmRSS:")[2].split()[0]) / 1024
    figure("resident memory of packseal-agent.service", round(resident, 1), "MB")
    assert resident <= MOST_RESIDENT_MB, status


def _opened_in_the_services_cgroup(*paths):
    """Which of these devices root may open there."""
    procs = f"/sys/fs/cgroup{car.shown('ControlGroup')}/cgroup.procs"
    script = 'echo $$ > "$0"; for each; do (: < "$each") 2>/dev/null && echo "$each"; done; true'
    return car.say("sh", "-c", script, procs, *paths).split()


def test_the_service_may_use_no_device_but_serial_adapters():
    assert _opened_in_the_services_cgroup("/dev/vda", "/dev/kmsg", "/dev/ttyAMA0", "/dev/null") == ["/dev/null"]


def test_a_hung_agent_is_started_again_by_the_watchdog_and_the_chain_goes_on_with_a_gap(figure):
    process, cursor, epochs = int(car.shown("MainPID")), car.journal_cursor(), len(car.epochs())
    os.kill(process, signal.SIGSTOP)
    _, took = _restarted(process)
    figure("hung agent runs again after", round(took, 1), f"s (WatchdogSec={WATCHDOG_S})")
    said = car.journal_since(cursor)
    assert "Failed with result 'watchdog'" in said, said
    assert list(car.epochs().values())[epochs][:2] == ["open", "gap"]


def test_neither_a_broker_nor_an_interface_that_is_away_for_longer_than_the_watchdog_is_a_reason_to_start_again():
    process, before = car.shown("MainPID"), car.kinds()
    car.say("systemctl", "stop", "mosquitto.service")
    car.say("ip", "link", "set", "can0", "down")
    away = time.monotonic()
    car.wait_for("its silence is signed", lambda: car.kinds().count("gap") > before.count("gap"), 60)
    car.wait_for("more than a watchdog", lambda: time.monotonic() > away + WATCHDOG_S + 3, 60)
    assert car.shown("MainPID") == process
    car.say("ip", "link", "set", "can0", "up")
    car.say("systemctl", "start", "mosquitto.service")
    segments = _segments()
    car.wait_for("segments again", lambda: _segments() > segments, 90)
    car.wait_for("all proven again", car.all_proven, 120)
    assert car.shown("MainPID") == process


def test_a_killed_agent_is_started_again():
    process, epochs = int(car.shown("MainPID")), len(car.epochs())
    os.kill(process, signal.SIGKILL)
    _restarted(process)
    assert list(car.epochs().values())[epochs][:2] == ["open", "gap"]


def _stopped():
    """How long a stop took, in seconds, that left the service's chain closed and what was open sealed."""
    car.wait_for("a segment of this epoch", lambda: "segment" in _newest_epoch(), 90)
    began = time.monotonic()
    car.say("systemctl", "stop", car.AGENT)
    took = time.monotonic() - began
    assert car.shown("Result") == "success"
    assert _newest_epoch()[-2:] == ["segment", "close"]
    return took


@pytest.mark.timeout(480)
def test_stop_takes_at_most_five_seconds_and_seals_what_is_open(figure):
    took = _stopped()
    for _ in range(2):  # an emulated machine that others kept from working says nothing of the agent
        if took > LONGEST_STOP_S:
            car.say("systemctl", "start", car.AGENT)
            took = min(took, _stopped())
    figure("systemctl stop takes", round(took, 2), "s")
    assert took <= LONGEST_STOP_S


def test_a_wrong_configuration_fails_once_with_78_and_is_not_tried_again():
    good, cursor = car.CONFIG.read_text(), car.journal_cursor()
    try:
        car.CONFIG.write_text(good.replace("gateway =", "gatewya =", 1))
        assert car.run("systemctl", "start", car.AGENT).returncode != 0
        assert (car.shown("ActiveState"), car.shown("ExecMainStatus"), car.shown("NRestarts")) == ("failed", "78", "0")
        said = car.journal_since(cursor)
        assert f"{car.CONFIG}: gatewya: unknown key" in said
        assert "Traceback" not in said
    finally:
        car.CONFIG.write_text(good)


def test_without_the_wrapping_key_the_service_says_so_once_and_selftest_names_all_that_is_wrong():
    aside, cursor, bad = WRAPPING_KEY.with_name("aside"), car.journal_cursor(), Path("/run/bad.toml")
    WRAPPING_KEY.rename(aside)
    try:
        assert car.run("systemctl", "start", car.AGENT).returncode != 0
        assert (car.shown("ActiveState"), car.shown("ExecMainStatus"), car.shown("NRestarts")) == ("failed", "78", "0")
        assert "packseal-wrapping-key" in car.journal_since(cursor)
        bad.write_text(car.CONFIG.read_text().replace('"can0"', '"can9"').replace(":1883", ":1"))
        checked = car.run("packseal-agent", "selftest", "--json", "--config", str(bad))
        found = {check["name"]: check["result"] for check in json.loads(checked.stdout)}
    finally:
        aside.rename(WRAPPING_KEY)
    assert checked.returncode == 78
    assert {name for name, verdict in found.items() if verdict == "FAIL"} == {
        "wrapping key",
        "key of pack-0001",
        "source of pack-0001",
    }
    assert found["broker"] == "warn"


def test_mended_it_starts_and_an_adapter_whose_driver_comes_later_has_a_lasting_name_and_may_be_used():
    plugs = [
        path.parent
        for path in Path("/sys/bus/usb/devices").glob("*/idVendor")
        if path.read_text().strip() == ADAPTER[0]
    ]
    for plug in plugs:
        (plug / "authorized").write_text("0")  # unplugged, as far as drivers see
    if plugs:
        car.say("modprobe", "--remove", "ftdi_sio", "usbserial")
    car.say("systemctl", "start", car.AGENT)
    assert _running()
    if not plugs:
        pytest.skip("this machine has no USB serial adapter")
    vendor, model = ADAPTER
    own = f'ENV{{ID_VENDOR_ID}}=="{vendor}", ENV{{ID_MODEL_ID}}=="{model}", ENV{{PACKSEAL_CAN}}="1"\n'
    rules = Path("/etc/udev/rules.d/69-packseal-mine.rules")
    rules.write_text(own)
    car.say("udevadm", "control", "--reload")
    name = Path("/dev/packseal") / (plugs[0] / "serial").read_text().strip()
    for plug in plugs:
        (plug / "authorized").write_text("1")
    car.wait_for("its name", name.exists, 60)
    assert _opened_in_the_services_cgroup(str(name)) == [str(name)]
    port = name.resolve()
    assert (port.group(), port.stat().st_mode & 0o777) == ("dialout", 0o660)
    assert "ID_MM_DEVICE_IGNORE=1" in car.say("udevadm", "info", str(port))
    rules.unlink()


def test_all_of_it_is_in_a_bundle_that_a_stranger_verifies():
    car.wait_for("all proven", car.all_proven, 120)
    found = car.verdict()
    assert found["verified"]
    assert found["frames"] > 100
    assert found["loose_statements"] == 0
    assert found["statements"]["close"] >= 2
