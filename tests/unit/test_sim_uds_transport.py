"""Diagnostics over ISO-TP: hand-written frames, and a tester made of can-isotp and udsoncan on an in-memory bus."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import replace

import isotp
import pytest
import udsoncan
from hypothesis import given
from hypothesis import strategies as st
from udsoncan.client import Client
from udsoncan.connections import BaseConnection
from udsoncan.exceptions import NegativeResponseException, TimeoutException

from firmware_sim.bus.frame import CanFrame
from firmware_sim.uds.addresses import Addresses
from firmware_sim.uds.endpoint import BURST, OBSERVE_US, Endpoint
from firmware_sim.uds.identifiers import BY_NUMBER
from firmware_sim.uds.isotp_transport import QUEUE
from firmware_sim.uds.server import FLASH_US
from packseal.program import ConfigurationError
from tests.diagnostics_world import CLOSED, REPORT

BIG = REPORT._replace(cell_volts=tuple(3.6 + n / 1_000 for n in range(96)))


class Unit:
    """An endpoint with a report that a test may change, and a clock that stands still until it is told otherwise."""

    def __init__(self, **how):
        self.report = BIG
        self.resets = 0
        self.now_us = 0
        self.endpoint = Endpoint(Addresses(), lambda: self.report, self._reset, **how)

    def _reset(self):
        self.resets += 1

    def hear(self, payload, identifier=0x602, **kind):
        self.endpoint.hear(CanFrame(identifier, bytes.fromhex(payload), **kind), self.now_us)

    def due(self):
        return [f"{frame.identifier:03X} {frame.payload.hex(' ').upper()}" for frame in self.endpoint.due(self.now_us)]

    def said(self):
        """All frames until it has nothing more to say, a millisecond apart."""
        frames = self.due()
        while self.endpoint.busy and (more := self.due()):
            frames += more
            self.now_us += 1_000
        return frames


def test_a_single_frame_is_answered_by_a_padded_single_frame():
    unit = Unit()
    unit.hear("02 3E 00 00 00 00 00 00")
    assert unit.due() == ["612 02 7E 00 00 00 00 00 00"]
    assert not unit.endpoint.busy
    assert unit.due() == []


def test_a_request_without_padding_is_heard_too():
    unit = Unit()
    unit.hear("03 22 12 34")
    assert unit.due() == ["612 03 7F 22 31 00 00 00 00"]


def test_a_vin_comes_in_three_frames_once_the_tester_lets_it():
    unit = Unit()
    unit.hear("03 22 F1 90 00 00 00 00")
    assert unit.due() == ["612 10 14 62 F1 90 53 49 4D"]
    assert unit.endpoint.busy
    assert unit.due() == []
    unit.hear("30 00 00")
    assert unit.due() == ["612 21 50 41 43 4B 53 45 41", "612 22 4C 30 30 30 30 30 31"]
    assert not unit.endpoint.busy


def test_a_tester_with_a_block_size_gets_no_more_than_it_asks_for():
    unit = Unit()
    unit.hear("03 22 02 11")
    assert unit.said() == ["612 10 C4 62 02 11 60 8C A0"]
    unit.hear("30 02 00")
    assert [line[:6] for line in unit.said()] == ["612 21", "612 22"]
    unit.hear("30 03 00")
    assert [line[:6] for line in unit.said()] == ["612 23", "612 24", "612 25"]


def test_a_long_answer_goes_out_at_the_pace_of_a_bus():
    unit = Unit()
    unit.hear("03 22 02 11")
    unit.due()
    unit.hear("30 00 00")
    assert len(unit.due()) == BURST
    assert len(unit.said()) == 29 - 1 - BURST


def test_a_tester_may_let_the_unit_wait_and_then_go_on():
    unit = Unit()
    unit.hear("03 22 F1 90")
    unit.due()
    unit.hear("31 00 00")
    assert (unit.due(), unit.endpoint.busy) == ([], True)
    unit.hear("30 00 00")
    assert [line[:6] for line in unit.said()] == ["612 21", "612 22"]


def test_a_tester_that_says_overflow_ends_the_answer():
    unit = Unit()
    unit.hear("03 22 F1 90")
    unit.due()
    unit.hear("32 00 00")
    assert (unit.due(), unit.endpoint.busy) == ([], False)


def test_a_tester_that_never_says_continue_is_given_up_and_the_next_question_answered():
    unit = Unit(timeout_ms=0)
    unit.hear("03 22 F1 90")
    assert len(unit.said()) == 1
    assert not unit.endpoint.busy
    unit.hear("02 3E 00")
    assert unit.said() == ["612 02 7E 00 00 00 00 00 00"]


def test_a_request_of_several_frames_is_put_together():
    unit = Unit()
    unit.hear("10 09 22 02 00 F1 91 02")
    assert unit.due() == ["612 30 00 00 00 00 00 00 00"]
    unit.hear("21 05 04 01 00 00 00 00")
    assert unit.due() == ["612 03 7F 22 33 00 00 00 00"]


def test_a_request_longer_than_the_units_memory_is_answered_with_overflow():
    unit = Unit()
    unit.hear("11 01 22 02 00 02 00 02")
    assert unit.due() == ["612 32 00 00 00 00 00 00 00"]
    assert not unit.endpoint.busy


def test_all_units_are_asked_on_their_own_identifier_and_only_in_single_frames():
    unit = Unit()
    unit.hear("02 3E 00", 0x7DF)
    assert unit.due() == ["612 02 7E 00 00 00 00 00 00"]
    unit.hear("02 27 01", 0x7DF)
    unit.hear("10 09 22 02 00 F1 91 02", 0x7DF)
    assert unit.due() == []


@pytest.mark.parametrize(
    ("identifier", "payload", "kind"),
    [
        (0x602, "", {}),
        (0x602, "00 03 22 F1 90", {}),
        (0x602, "05 3E 00", {}),
        (0x602, "10 05 22 F1 90 00 00 00", {}),
        (0x602, "10 09 22 F1", {}),
        (0x602, "21 00 00", {}),
        (0x602, "30 00 00", {}),
        (0x602, "F0 00 00", {}),
        (0x602, "02 3E 00", {"extended": True}),
        (0x602, "", {"remote": True, "requested": 8}),
        (0x603, "02 3E 00", {}),
        (0x612, "02 3E 00", {}),
        (0x7DF, "00", {}),
        (0x7DF, "02 3E", {}),
    ],
)
def test_a_frame_that_is_no_request_is_passed_over(identifier, payload, kind):
    unit = Unit()
    unit.hear(payload, identifier, **kind)
    assert unit.said() == []
    unit.hear("02 3E 00")
    assert unit.said() == ["612 02 7E 00 00 00 00 00 00"]


def test_while_it_answers_it_takes_no_other_question_but_is_kept_awake():
    unit = Unit()
    unit.hear("02 10 03")
    unit.said()
    unit.hear("03 22 02 11")
    unit.due()
    unit.now_us = 4_900_000
    unit.hear("02 3E 80", 0x7DF)
    unit.hear("02 3E 00")
    assert unit.endpoint.ignored == 1
    unit.hear("30 00 00")
    assert len(unit.said()) == 28
    unit.now_us = 9_000_000
    unit.hear("03 22 F1 86")
    assert unit.said() == ["612 04 62 F1 86 03 00 00 00"]


def test_a_bms_that_sleeps_is_deaf_and_has_forgotten_the_session_when_it_wakes():
    unit = Unit()
    unit.hear("02 10 03")
    unit.said()
    unit.report = BIG._replace(awake=False)
    unit.hear("02 3E 00")
    assert unit.said() == []
    unit.report = BIG
    unit.hear("03 22 F1 86")
    assert unit.said() == ["612 04 62 F1 86 01 00 00 00"]


def test_the_reset_comes_after_its_answer_has_left_once():
    unit = Unit()
    unit.hear("02 11 03")
    assert unit.resets == 0
    assert unit.due() == ["612 02 51 03 00 00 00 00 00"]
    unit.said()
    assert unit.resets == 1


def test_an_alert_between_two_requests_is_remembered():
    unit = Unit()
    unit.report = BIG._replace(alerts=frozenset({17}))
    unit.due()
    unit.report = BIG
    unit.now_us += OBSERVE_US
    unit.due()
    unit.hear("03 19 01 08")
    assert unit.said() == ["612 06 59 01 2B 01 00 01 00"]


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ({"resets": REPORT.resets + 1}, "612 07 59 02 2B 1A 11 00 28"),
        ({"charged_kwh": 0.0, "resets": 1}, "612 03 59 02 2B 00 00 00 00"),
        ({"identity": replace(REPORT.identity, board_serial="OTHER")}, "612 03 59 02 2B 00 00 00 00"),
    ],
)
def test_trouble_codes_are_gone_with_the_memory_that_held_them_and_outlive_a_plain_reset(change, codes):
    unit = Unit()
    unit.report = BIG._replace(alerts=frozenset({17}))
    unit.due()
    for report in (BIG._replace(awake=False, **change), BIG._replace(**change)):
        unit.now_us += OBSERVE_US
        unit.report = report
        unit.due()
    unit.hear("03 19 02 FF 00 00 00 00")
    assert unit.due() == [codes]


def test_a_flood_of_requests_costs_a_bounded_memory():
    unit = Unit()
    for _ in range(10_000):
        unit.hear("10 09 22 02 00 F1 91 02")
        unit.hear("03 22 F1 90")
        unit.hear("30 00 00")
    assert len(unit.said()) <= QUEUE + 4


@given(seed=st.integers(0, 2**32))
def test_no_traffic_ends_the_endpoint_or_keeps_it_from_answering_afterwards(seed):
    rnd, unit = random.Random(seed), Unit(timeout_ms=0)
    for _ in range(60):
        head = rnd.choice((b"", b"\x10", b"\x21", b"\x30", b"\x31", b"\x32", b"\x03\x22", b"\x02\x10"))
        frame = CanFrame(rnd.choice((0x602, 0x602, 0x7DF)), (head + rnd.randbytes(8))[: rnd.randrange(9)])
        unit.endpoint.hear(frame, unit.now_us)
        unit.now_us += rnd.choice((0, 1_000, 10_000_000))
        for answer in unit.endpoint.due(unit.now_us):
            assert (answer.identifier, answer.length) == (0x612, 8)
    unit.now_us += FLASH_US
    unit.said()
    unit.report = REPORT._replace(awake=False)
    unit.due()
    unit.report = REPORT
    unit.hear("02 3E 00")
    assert unit.said() == ["612 02 7E 00 00 00 00 00 00"]


@pytest.mark.parametrize(
    ("addresses", "named"),
    [({"request": 0x800}, "uds.request"), ({"functional": -1}, "uds.functional"), ({"response": 0x602}, "different")],
)
def test_addresses_that_cannot_be_are_a_configuration_error(addresses, named):
    with pytest.raises(ConfigurationError, match=named):
        Addresses(**addresses)


class InMemory(BaseConnection):
    """udsoncan over can-isotp, joined to the endpoint frame by frame; waiting moves the endpoint's clock."""

    def __init__(self, unit):
        super().__init__("in-memory")
        self.unit, self.frames, self.opened = unit, deque(), False
        address = isotp.Address(isotp.AddressingMode.Normal_11bits, txid=0x602, rxid=0x612)
        self.layer = isotp.TransportLayerLogic(lambda _: self._next(), self._send, address)

    def _next(self):
        if not self.frames:
            self.frames += self.unit.endpoint.due(self.unit.now_us)
        if not self.frames:
            return None
        frame = self.frames.popleft()
        return isotp.CanMessage(arbitration_id=frame.identifier, data=frame.payload, dlc=8)

    def _send(self, message):
        self.unit.endpoint.hear(CanFrame(message.arbitration_id, bytes(message.data)), self.unit.now_us)

    def open(self):
        self.opened = True
        return self

    def close(self):
        self.opened = False

    def is_open(self):
        return self.opened

    def empty_rxqueue(self):
        self.layer.reset()

    def specific_send(self, payload, timeout=None):
        self.layer.send(payload)
        self.layer.process()

    def specific_wait_frame(self, timeout=None):
        for _ in range(6_000):
            self.layer.process()
            if (received := self.layer.recv()) is not None:
                return bytes(received)
            self.unit.now_us += 1_000
        raise TimeoutException("nothing")


class AsWritten(udsoncan.DidCodec):
    """The bytes of an identifier, not interpreted."""

    def __init__(self, length):
        self.length = length

    def decode(self, payload):
        return bytes(payload)

    def encode(self, value):
        return value

    def __len__(self):
        return self.length


@pytest.fixture
def tester():
    unit = Unit()
    lengths = {number: len(each.encode(BIG)) for number, each in BY_NUMBER.items()}
    codecs = {number: AsWritten(length) for number, length in lengths.items()} | {0xF186: AsWritten(1)}
    config = {**udsoncan.configs.default_client_config, "data_identifiers": codecs, "use_server_timing": True}
    with Client(InMemory(unit), config=config) as client:
        client.unit = unit
        yield client


def test_udsoncan_reads_every_identifier_that_is_not_guarded(tester):
    tester.change_session(3)
    for number, each in BY_NUMBER.items():
        if not each.guarded:
            assert tester.read_data_by_identifier(number).service_data.values[number] == each.encode(BIG)


def test_udsoncan_waits_for_a_counter_that_is_announced(tester):
    began = tester.unit.now_us
    counter = tester.read_data_by_identifier(0x0300).service_data.values[0x0300]
    assert int.from_bytes(counter, "big") == 12_345_678
    assert tester.unit.now_us - began >= FLASH_US


def test_udsoncan_understands_sessions_codes_resets_and_refusals(tester):
    timing = tester.change_session(3).service_data
    assert (timing.p2_server_max, timing.p2_star_server_max) == (0.05, 5.0)
    tester.unit.report = BIG._replace(alerts=frozenset({17, 62}))
    found = tester.get_dtc_by_status_mask(0xFF).service_data
    assert [dtc.id for dtc in found.dtcs] == [0x1A1100, 0x1A3E00]
    assert all(dtc.status.test_failed and dtc.status.confirmed for dtc in found.dtcs)
    assert tester.get_number_of_dtc_by_status_mask(0x01).service_data.dtc_count == 2
    assert len(tester.get_supported_dtc().service_data.dtcs) > 10
    tester.unit.report = BIG
    tester.clear_dtc()
    assert tester.get_number_of_dtc_by_status_mask(0xFF).service_data.dtc_count == 0
    tester.tester_present()
    tester.unit.report = BIG._replace(contactors=CLOSED)
    with pytest.raises(NegativeResponseException) as refused:
        tester.ecu_reset(1)
    assert refused.value.response.code == udsoncan.Response.Code.ConditionsNotCorrect
    tester.unit.report = BIG
    tester.ecu_reset(1)
    tester.unit.endpoint.due(tester.unit.now_us)
    assert tester.unit.resets == 1
