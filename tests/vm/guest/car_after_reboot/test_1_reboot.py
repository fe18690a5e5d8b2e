"""After a reboot, too, the services are up by themselves and the chain is unbroken."""

import car_machine as car
import pytest

pytestmark = pytest.mark.soak


def test_the_services_are_up_by_themselves():
    car.services_are_up()


def test_the_chain_goes_on_in_a_new_boot_and_every_link_holds():
    car.chain_goes_on()
