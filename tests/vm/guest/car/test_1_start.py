"""The machine was switched off after the installation and is on again: the services are up by themselves, the chain goes on."""

import car_machine as car


def test_the_services_are_up_by_themselves():
    car.services_are_up()


def test_the_chain_goes_on_in_a_new_boot_and_every_link_holds(figure):
    car.chain_goes_on()
    figure("boot_to_capture", car.first_capture_s(), "s")
