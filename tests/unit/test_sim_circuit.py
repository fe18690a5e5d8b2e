"""The circuit between pack and car: contacts, precharge, link, welds."""

import math

import pytest

from firmware_sim.car.circuit import Circuit


def test_precharge_follows_the_exponential_of_resistor_and_capacitor():
    circuit = Circuit()
    circuit.switch(False, True)
    charge = sum(circuit.rest(350.0, 0.01, precharging=True) * 0.01 for _ in range(10))
    assert circuit.link_volts == pytest.approx(350.0 * (1 - math.exp(-0.1 / (100.0 * 0.6e-3))))
    assert charge == pytest.approx(-0.6e-3 * circuit.link_volts), "what the pack gives is what the capacitors hold"


def test_without_the_negative_contact_nothing_is_precharged():
    circuit = Circuit()
    circuit.switch(False, False)
    assert circuit.rest(350.0, 0.01, precharging=True) == 0.0
    assert circuit.link_volts == 0.0


def test_a_closed_pair_holds_the_link_and_an_open_one_bleeds_it_to_a_third_in_two_seconds():
    circuit = Circuit()
    circuit.switch(True, True)
    circuit.rest(350.0, 0.01, precharging=False)
    assert circuit.connected
    assert circuit.link_volts == 350.0
    circuit.switch(False, False)
    for _ in range(200):
        circuit.rest(350.0, 0.01, precharging=False)
    assert circuit.link_volts == pytest.approx(350.0 / math.e)


def test_welded_contacts_stay_closed_until_they_are_freed():
    circuit = Circuit()
    circuit.switch(True, True)
    circuit.weld("both")
    circuit.switch(False, False)
    assert circuit.connected
    circuit.free()
    circuit.switch(False, False)
    assert not (circuit.positive_closed)
    assert not (circuit.negative_closed)


@pytest.mark.parametrize("pole", ["positive", "negative"])
def test_one_welded_contact_alone_does_not_connect_but_its_auxiliary_contact_tells(pole):
    circuit = Circuit()
    circuit.switch(True, True)
    circuit.weld(pole)
    circuit.switch(False, False)
    assert not circuit.connected
    assert (circuit.positive_closed, circuit.negative_closed) == (pole == "positive", pole == "negative")


def test_an_open_contact_welds_only_when_it_is_next_closed():
    circuit = Circuit()
    circuit.weld("both")
    circuit.switch(False, False)
    assert not circuit.positive_closed
    circuit.switch(True, True)
    circuit.switch(False, False)
    assert circuit.connected
