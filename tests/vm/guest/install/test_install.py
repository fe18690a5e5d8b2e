"""docs/install.md does what it says on a bare Debian: its blocks are run as they stand, and leave a sealed, sealing service."""

import json
import re
import stat
from pathlib import Path

import car_machine as car
import pytest

# The bench's end of the bus must acknowledge and speak, as docs/install.md's network file says of benches.
BENCH_NETWORK = f"[Match]\nName={car.BENCH}\n[Link]\nRequiredForOnline=no\n[CAN]\nBitRate=500K\nListenOnly=no\n"
LATER = ("Updating", "Removing the program", "Destroying keys and evidence")
SECTIONS = [section for section, _ in car.blocks() if section not in LATER]
HIGHEST_SCORE = 1.5
# As a VPN sets it up: nothing that systemd-networkd knows of.
FOREIGN_RULE = ("from", "192.0.2.9", "lookup", "52", "priority", "5270")


def test_the_machine_starts_without_packseal():
    assert car.run("sh", "-c", "command -v packseal-agent").returncode != 0
    assert not Path("/opt/packseal").exists()
    assert len(SECTIONS) > 5
    Path(f"/etc/systemd/network/70-{car.BENCH}.network").write_text(BENCH_NETWORK)
    car.DROP_IN.parent.mkdir()
    car.DROP_IN.write_text(f"[Service]\nWatchdogSec={car.WATCHDOG_S}\n")
    car.say("ip", "rule", "add", *FOREIGN_RULE)


@pytest.mark.parametrize("section", SECTIONS)
def test_the_documented_step_works(section):
    print(car.follow(section))
    if section == "The agent's configuration":
        car.shorten_segments()


def test_the_documented_steps_leave_both_services_running_and_enabled():
    for unit in (car.AGENT, car.LEDGER):
        assert car.say("systemctl", "is-active", unit) == "active"
        assert car.say("systemctl", "is-enabled", unit) == "enabled"
        assert car.say("systemctl", "show", "--value", "--property=Type", unit) == "notify"


def test_networkd_gives_the_agents_interface_its_bit_rate_and_silence():
    car.wait_for("can0 is up", lambda: "LOWER_UP" in car.say("ip", "link", "show", "can0"))
    link = car.say("ip", "-details", "link", "show", "can0")
    assert "bitrate 500000" in link
    assert "LISTEN-ONLY" in link
    assert "restart-ms 200" in link


def test_networkd_which_has_set_up_an_interface_has_left_the_rules_of_others_alone():
    assert "from 192.0.2.9 lookup 52" in car.say("ip", "rule")
    car.say("ip", "rule", "delete", *FOREIGN_RULE)


def test_the_units_have_no_complaints_and_a_security_score_of_at_most_1_5(figure):
    for unit in (car.AGENT, car.LEDGER):
        assert car.run("systemd-analyze", "verify", "--man=no", f"/etc/systemd/system/{unit}").stderr == ""
        table = car.say("systemd-analyze", "security", "--no-pager", unit)
        score = float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", table)[1])
        print(f"{unit}: systemd-analyze security {score}")
        figure(f"security score of {unit}", score)
        assert score <= HIGHEST_SCORE, table


def test_udev_has_no_complaints_about_the_rules():
    assert "70-packseal-can.rules" not in car.say("journalctl", "--unit", "systemd-udevd", "--boot", "--output=cat")


def test_the_service_waits_neither_for_the_time_nor_for_a_network_nor_for_a_broker():
    ordered = set(car.shown("After").split())
    assert not ordered & {"time-sync.target", "network-online.target", "mosquitto.service"}


def test_the_packs_key_lies_sealed_and_belongs_to_the_service_alone():
    (path,) = (car.STATE / "keys").glob("*.key")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (path.owner(), path.parent.owner(), car.STATE.owner()) == ("packseal",) * 3
    assert not re.fullmatch(r"[0-9a-f]{64}", path.read_text().strip())


def test_the_wrapping_key_lies_encrypted_and_is_readable_by_root_alone():
    path = car.WRAPPING_KEY
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    plain = car.run("systemd-creds", "decrypt", "--name=packseal-wrapping-key", str(path), "/run/plain").returncode
    assert plain == 0
    assert Path("/run/plain").stat().st_size == 32
    assert Path("/run/plain").read_bytes() not in path.read_bytes()
    Path("/run/plain").unlink()


def test_the_documented_step_makes_no_second_wrapping_key():
    before = car.WRAPPING_KEY.read_bytes()
    car.follow("The wrapping key")
    assert car.WRAPPING_KEY.read_bytes() == before


def test_the_status_line_says_how_it_is():
    status, _ = car.wait_for("a status line", lambda: car.shown("StatusText"))
    print(status)
    assert "1 pack" in status


@pytest.mark.soak
def test_selftest_is_content_beside_the_running_service_and_disturbs_nothing():
    process = car.shown("MainPID")
    checks = json.loads(car.say("packseal-agent", "selftest", "--json"))
    assert checks
    assert not [check for check in checks if check["result"] == "FAIL"]
    (key,) = (check["what"] for check in checks if check["name"] == f"key of {car.PACK}")
    assert "sealed at rest" in key
    assert car.shown("MainPID") == process
    assert {path.owner() for path in car.STATE.rglob("*")} == {"packseal"}
