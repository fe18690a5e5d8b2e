"""The agent under systemd: it captures and is proven, it is started again when it hangs or dies, and it ends in order.

The tests go on where the one before has ended: starting a program takes seconds in this machine.
"""

import base64
import json
import os
import signal
import time
from pathlib import Path

import car_machine as car
import pytest
from statement_reading import said

MOST_RESIDENT_MB = 60
LONGEST_STOP_S = 5.0
# The kernel's own word for what an adapter is: FTDI, as QEMU plays it.
ADAPTER = ("0403", "6001")


@pytest.fixture(scope="module", autouse=True)
def bench():
    """A pack that speaks."""
    with car.Bench() as speaking:
        yield speaking


def _running():
    return car.shown("ActiveState") == "active" and int(car.shown("MainPID"))


def _restarted(before):
    """The service's next process, once it is ready, and how long that took; `before` epochs had been opened."""
    _, took = car.wait_for("another epoch", lambda: len(car.epochs()) > before)  # cheaper to ask for than systemd
    process, more = car.wait_for("the service runs again", _running)
    return process, took + more


def _segments():
    return car.kinds().count("segment")


def _newest_epoch():
    return list(car.epochs().values())[-1]


def test_what_the_pack_says_is_sealed_and_proven():
    heard = lambda: [each for each in said() if each.kind == "segment" and each.body[6]]  # noqa: E731
    car.wait_for("three segments with frames", lambda: len(heard()) >= 3)
    car.wait_for("all proven", car.all_proven)
    live = car.say("mosquitto_sub", "-t", "packseal/v1/gw/gw-01/pack/pack-0001/live", "-C", "1", "-W", "120")
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
    again, took = _restarted(epochs)
    assert again != process
    figure("hung agent runs again after", round(took, 1), f"s (WatchdogSec={car.WATCHDOG_S})")
    said = car.journal_since(cursor)
    assert "Failed with result 'watchdog'" in said, said
    assert list(car.epochs().values())[epochs][:2] == ["open", "gap"]


@pytest.mark.soak
def test_neither_a_broker_nor_an_interface_that_is_away_for_longer_than_the_watchdog_is_a_reason_to_start_again():
    process, before = car.shown("MainPID"), car.kinds()
    car.say("systemctl", "stop", "mosquitto.service")
    car.say("ip", "link", "set", "can0", "down")
    away = time.monotonic()
    car.wait_for("its silence is signed", lambda: car.kinds().count("gap") > before.count("gap"))
    car.wait_for("more than a watchdog", lambda: time.monotonic() > away + car.WATCHDOG_S + 3)
    assert car.shown("MainPID") == process
    car.say("ip", "link", "set", "can0", "up")
    car.say("systemctl", "start", "mosquitto.service")
    segments = _segments()
    car.wait_for("segments again", lambda: _segments() > segments)
    car.wait_for("all proven again", car.all_proven)
    assert car.shown("MainPID") == process


@pytest.mark.soak
def test_a_killed_agent_is_started_again():
    process, epochs = int(car.shown("MainPID")), len(car.epochs())
    os.kill(process, signal.SIGKILL)
    again, _ = _restarted(epochs)
    assert again != process
    car.wait_for("its absence is signed", lambda: list(car.epochs().values())[epochs][:2] == ["open", "gap"])


def test_stop_takes_at_most_five_seconds_and_seals_what_is_open(figure):
    car.wait_for("a segment of this epoch", lambda: "segment" in _newest_epoch())
    before = time.monotonic()
    car.shown("MainPID")
    began = time.monotonic()
    car.say("systemctl", "stop", car.AGENT)
    took, asking = time.monotonic() - began, began - before
    assert car.shown("Result") == "success"
    assert _newest_epoch()[-2:] == ["segment", "close"]
    figure("systemctl stop takes", round(took, 2), "s")
    assert took - asking <= LONGEST_STOP_S  # without what systemctl itself takes on this machine


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


@pytest.mark.soak
def test_without_the_wrapping_key_the_service_says_so_once_and_selftest_names_all_that_is_wrong():
    aside, cursor, bad = car.WRAPPING_KEY.with_name("aside"), car.journal_cursor(), Path("/run/bad.toml")
    car.WRAPPING_KEY.rename(aside)
    try:
        assert car.run("systemctl", "start", car.AGENT).returncode != 0
        assert (car.shown("ActiveState"), car.shown("ExecMainStatus"), car.shown("NRestarts")) == ("failed", "78", "0")
        assert "packseal-wrapping-key" in car.journal_since(cursor)
        bad.write_text(car.CONFIG.read_text().replace('"can0"', '"can9"').replace(":1883", ":1"))
        checked = car.run("packseal-agent", "selftest", "--json", "--config", str(bad))
        found = {check["name"]: check["result"] for check in json.loads(checked.stdout)}
    finally:
        aside.rename(car.WRAPPING_KEY)
    assert checked.returncode == 78
    assert {name for name, verdict in found.items() if verdict == "FAIL"} == {
        "wrapping key",
        "key of pack-0001",
        "source of pack-0001",
    }
    assert found["broker"] == "warn"


@pytest.mark.soak
def test_with_a_wrapping_key_that_cannot_be_decrypted_the_service_fails_once_and_is_not_tried_again():
    aside = car.WRAPPING_KEY.with_name("aside")
    car.WRAPPING_KEY.rename(aside)
    try:
        car.WRAPPING_KEY.write_bytes(base64.b64encode(os.urandom(100)))
        assert car.run("systemctl", "start", car.AGENT).returncode != 0
        assert (car.shown("ActiveState"), car.shown("ExecMainStatus"), car.shown("NRestarts")) == ("failed", "243", "0")
    finally:
        aside.replace(car.WRAPPING_KEY)


def _plugs():
    """Where the kernel has the USB serial adapters of this machine, plugged in or not."""
    vendors = Path("/sys/bus/usb/devices").glob("*/idVendor")
    return [path.parent for path in vendors if path.read_text().strip() == ADAPTER[0]]


def test_mended_it_starts_and_start_returns_only_when_the_chain_is_open_and_durable():
    for plug in _plugs():
        (plug / "authorized").write_text("0")  # unplugged, as far as drivers see
    car.run("modprobe", "--remove", "ftdi_sio", "usbserial")
    epochs = len(car.epochs())
    car.say("systemctl", "start", car.AGENT)
    assert len(car.epochs()) == epochs + 1
    assert _newest_epoch()[0] == "open"
    assert _running()


def test_an_adapter_whose_driver_comes_later_than_the_service_has_a_lasting_name_and_may_be_used():
    plugs = _plugs()
    assert plugs
    vendor, model = ADAPTER
    own = f'ENV{{ID_VENDOR_ID}}=="{vendor}", ENV{{ID_MODEL_ID}}=="{model}", ENV{{PACKSEAL_CAN}}="1"\n'
    rules = Path("/etc/udev/rules.d/69-packseal-mine.rules")
    rules.write_text(own)
    car.say("udevadm", "control", "--reload")
    name = Path("/dev/packseal") / (plugs[0] / "serial").read_text().strip()
    for plug in plugs:
        (plug / "authorized").write_text("1")
    car.wait_for("its name", name.exists)
    assert _opened_in_the_services_cgroup(str(name)) == [str(name)]
    port = name.resolve()
    assert (port.group(), port.stat().st_mode & 0o777) == ("dialout", 0o660)
    assert "ID_MM_DEVICE_IGNORE=1" in car.say("udevadm", "info", str(port))
    rules.unlink()
