"""The last sections of docs/install.md, on the machine that has lived through everything before."""

from pathlib import Path

import car_machine as car


def test_an_update_tries_itself_is_switched_to_and_goes_on_with_the_chain():
    epochs = len(car.epochs())
    print(car.follow("Updating"))
    assert Path("/opt/packseal").resolve() == Path("/opt/packseal-2")
    assert car.shown("ActiveState") == "active"
    assert Path(f"/proc/{car.shown('MainPID')}/cmdline").read_bytes().startswith(b"/opt/packseal-2/bin/python")
    assert len(car.epochs()) == epochs + 1


def test_removing_leaves_nothing_behind():
    car.DROP_IN.unlink()  # the tests' own
    car.DROP_IN.parent.rmdir()
    print(car.follow("Removing"))
    assert car.run("systemctl", "cat", car.AGENT).returncode != 0
    left = [path for folder in ("/etc", "/opt", "/usr/local", "/var/lib") for path in Path(folder).rglob("*packseal*")]
    assert left == []
