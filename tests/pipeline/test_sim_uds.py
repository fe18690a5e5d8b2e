"""Diagnostics of the real program on a real serial port and on udp_multicast, asked by udsoncan over can-isotp."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time

import can
import isotp
import pytest
import udsoncan
from udsoncan.client import Client
from udsoncan.connections import PythonIsoTpConnection
from udsoncan.exceptions import NegativeResponseException, TimeoutException

from firmware_sim.uds.identifiers import BY_NUMBER
from tests.programs import command, run

PATIENCE_S = 20.0
CELLS = 96
GROUP = "239.74.163.77"


class Raw(udsoncan.DidCodec):
    """An identifier's bytes, as many as there are."""

    def decode(self, payload):
        return bytes(payload)

    def encode(self, value):
        return value

    def __len__(self):
        raise udsoncan.DidCodec.ReadAllRemainingData


@contextlib.contextmanager
def simulator(*words, ready):
    """The program, once it says `ready` on stderr; stopped at the end."""
    process = subprocess.Popen(
        command("packseal-sim", "run", *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert any(ready in line for line in process.stderr), "it has ended before it was ready"
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, "Traceback" in err) == (0, False), (out, err)


class Heard(can.Listener):
    """The last payload of each identifier on the bus."""

    def __init__(self):
        self.last = {}

    def on_message_received(self, message):
        self.last[message.arbitration_id] = bytes(message.data)

    def stop(self):
        """Nothing is held."""


@contextlib.contextmanager
def asking(bus, request=0x602, response=0x612):
    """A udsoncan client on an open bus, and what else is said there."""
    heard = Heard()
    notifier = can.Notifier(bus, [heard])
    address = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=request, rxid=response)
    stack = isotp.NotifierBasedCanStack(bus, notifier, address=address, params={"stmin": 2, "blocksize": 8})
    config = {
        **udsoncan.configs.default_client_config,
        "data_identifiers": dict.fromkeys(BY_NUMBER, Raw()) | {0xF186: Raw()},
        "request_timeout": PATIENCE_S,
        "p2_timeout": PATIENCE_S / 2,  # a shared machine may stand still for longer than the standard allows a car
        "use_server_timing": False,
    }
    try:
        with Client(PythonIsoTpConnection(stack), config=config) as client:
            yield client, heard
    finally:
        notifier.stop(5)


@contextlib.contextmanager
def on_serial_port(link, **addresses):
    bus = can.Bus(interface="slcan", channel=str(link), bitrate=500_000, sleep_after_open=0.0)
    try:
        with asking(bus, **addresses) as found:
            yield found
    finally:
        bus.shutdown()


def value(client, identifier):
    return client.read_data_by_identifier(identifier).service_data.values[identifier]


def number(client, identifier):
    return int.from_bytes(value(client, identifier), "big")


def refusal(ask, *words):
    with pytest.raises(NegativeResponseException) as refused:
        ask(*words)
    return refused.value.response.code_name


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)
    return result


@pytest.fixture
def link(tmp_path):
    return tmp_path / "pack.tty"


def test_a_tester_on_the_serial_adapter_reads_names_live_values_and_counters(link):
    words = ("--slcan-link", link, "--seed", "5", "--soc", "0.5")
    with simulator(*words, ready="slcan adapter"), on_serial_port(link) as (client, heard):
        assert value(client, 0xF190) == b"SIMPACKSEAL000001"
        assert value(client, 0xF18C)
        assert value(client, 0xF195)
        cells = value(client, 0x0211)
        assert (cells[0], len(cells)) == (CELLS, 1 + 2 * CELLS)
        volts = [int.from_bytes(cells[at : at + 2], "big") / 1e4 for at in range(1, len(cells), 2)]
        assert all(2.5 < each < 4.3 for each in volts)
        charge = value(client, 0x0204)
        assert 0.4 < int.from_bytes(charge[2:4], "big") / 1e4 < 0.6
        charged = number(client, 0x0300)
        assert 0 < charged <= number(client, 0x0300)
        # Beside it the bus says the same, by the published layout: the pack's voltage, 0.01 V, in the first bytes of 0x132.
        told = int.from_bytes(wait_for(lambda: heard.last.get(0x132), "0x132")[:2], "little") / 100
        assert number(client, 0x0200) / 100 == pytest.approx(told, abs=20.0)
        assert sum(volts) == pytest.approx(told, abs=20.0)


def test_a_tester_on_the_serial_adapter_is_refused_as_the_standard_says(link):
    with simulator("--slcan-link", link, ready="slcan adapter"), on_serial_port(link) as (client, _):
        assert refusal(value, client, 0x0400) == "SecurityAccessDenied"
        assert refusal(value, client, 0x0310) == "RequestOutOfRange"
        assert refusal(client.start_routine, 0x0203) == "ServiceNotSupportedInActiveSession"
        client.change_session(3)
        assert value(client, 0xF186) == b"\x03"
        assert value(client, 0x0310)
        assert refusal(client.start_routine, 0x0203) == "RequestOutOfRange"
        wait_for(lambda: number(client, 0x0214) >> 16 == 2, "closed contactors")
        assert refusal(client.ecu_reset, 1) == "ConditionsNotCorrect"


PARKED = """
title = "Parked, with a name in the VIN field"
[bms]
vin_answer = "OSEV__ BMS"
software = "7.1"
[uds]
request = 0x7E4
response = 0x7EC
[[phase]]
[[phase.step]]
do = "park"
for = "100 s"
"""


def test_a_scenario_says_who_answers_where_and_a_tester_may_reset_a_parked_bms(link, tmp_path):
    scenario = tmp_path / "parked.toml"
    scenario.write_text(PARKED)
    words = ("--slcan-link", link, "--scenario", scenario)
    with simulator(*words, ready="slcan adapter"), on_serial_port(link, request=0x7E4, response=0x7EC) as (client, _):
        assert value(client, 0xF190) == b"OSEV__ BMS"
        assert value(client, 0xF195) == b"7.1"
        resets, charged = number(client, 0x0305), number(client, 0x0300)
        client.change_session(3)
        client.ecu_reset(1)
        wait_for(lambda: _answers(client, 0xF186) == b"\x01", "the BMS to be back in its default session")
        assert number(client, 0x0305) == resets + 1
        assert number(client, 0x0300) >= charged


def _answers(client, identifier):
    """What a BMS that may be booting says, or nothing."""
    client.set_config("p2_timeout", 0.5)
    with contextlib.suppress(TimeoutException):
        return value(client, identifier)
    return None


def test_a_bms_that_comes_to_answer_the_vin_query_with_something_else_does_so_until_it_is_mended(link, tmp_path):
    door = tmp_path / "door"
    with simulator("--slcan-link", link, "--control", door, ready="slcan adapter"), on_serial_port(link) as (client, _):
        board = value(client, 0xF18C)
        assert value(client, 0xF190) == b"SIMPACKSEAL000001"
        assert run("packseal-sim", "inject", "--control", door, "vin-mislabelled").returncode == 0
        wait_for(lambda: value(client, 0xF190) != b"SIMPACKSEAL000001", "another answer")
        assert value(client, 0xF18C) == board
        assert run("packseal-sim", "inject", "--control", door, "--clear").returncode == 0
        wait_for(lambda: value(client, 0xF190) == b"SIMPACKSEAL000001", "the VIN again")


def test_diagnosis_works_on_udp_multicast_too():
    with simulator("--interface", "udp_multicast", "--channel", GROUP, ready="sending on"):
        bus = can.Bus(interface="udp_multicast", channel=GROUP)
        try:
            with asking(bus) as (client, _):
                assert value(client, 0xF190) == b"SIMPACKSEAL000001"
                assert len(value(client, 0x0211)) == 1 + 2 * CELLS
        finally:
            bus.shutdown()
