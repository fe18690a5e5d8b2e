"""After a reboot, too, the services are up by themselves and the chain is unbroken."""

import json
from collections import Counter

import car_machine as car
import pytest

pytestmark = pytest.mark.soak


def test_the_services_are_up_by_themselves():
    car.services_are_up()


def test_the_chain_goes_on_in_a_new_boot_and_every_link_holds():
    car.chain_goes_on()


def test_a_bundle_of_all_boots_verifies_offline_and_the_log_is_sound():
    car.wait_for("all proven", car.all_proven)
    kept = Counter(car.kinds())
    found = car.verdict()
    assert found["verified"]
    assert Counter(found["statements"]) >= kept
    assert len([gap for gap in found["gaps"] if not gap["same_boot"]]) >= 2
    checked = car.say("packseal-ledger", "log", "check", "--config", "/etc/packseal/ledger.toml", "--json", timeout=200)
    assert json.loads(checked)["equivocations"] == 0
