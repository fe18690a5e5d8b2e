"""The last sections of docs/install.md, on the machine that has lived through everything before."""

from pathlib import Path

import car_machine as car
import pytest

pytestmark = pytest.mark.soak

IN_USE = Path("/opt/packseal")
KEPT = {
    car.WRAPPING_KEY,
    Path("/etc/packseal"),
    Path("/var/lib/packseal"),
}


def _left():
    """What is still called packseal where installing put something."""
    folders = ("/etc", "/opt", "/usr/local", "/var/lib")
    return {path for folder in folders for path in Path(folder).rglob("*packseal*")}


def test_an_update_tries_itself_is_switched_to_and_goes_on_with_the_chain():
    epochs, before = len(car.epochs()), IN_USE.resolve()
    print(car.follow("Updating"))
    now = IN_USE.resolve()
    assert now != before
    assert before.is_dir()  # the way back
    assert car.shown("ActiveState") == "active"
    assert Path(f"/proc/{car.shown('MainPID')}/cmdline").read_bytes().startswith(f"{now}/bin/python".encode())
    assert len(car.epochs()) == epochs + 1


def test_removing_the_program_leaves_keys_store_and_their_owner_and_nothing_else():
    assert car.DROP_IN.exists()
    print(car.follow("Removing the program"))
    assert car.run("systemctl", "cat", car.AGENT).returncode != 0
    assert _left() == KEPT
    assert not Path("/etc/systemd/network/80-can.network").exists()
    assert car.kinds()[-1] == "close"
    assert car.STATE.owner() == "packseal"
    assert list((car.STATE / "keys").glob("*.key"))


def test_destroying_keys_and_evidence_leaves_nothing_behind():
    print(car.follow("Destroying keys and evidence"))
    assert _left() == set()
    for database in ("passwd", "group"):
        assert car.run("getent", database, "packseal").returncode != 0
