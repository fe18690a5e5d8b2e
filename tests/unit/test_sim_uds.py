"""The diagnostic server, held to byte vectors written by hand from ISO 14229-1."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.bms.identity import Identity
from firmware_sim.uds.codes import Session
from firmware_sim.uds.identifiers import TABLE, packed
from firmware_sim.uds.server import FLASH_US, S3_US, Reply, Server
from firmware_sim.uds.trouble_codes import TroubleCodes
from tests.diagnostics_world import CLOSED, REPORT


@pytest.fixture
def server():
    return Server(TroubleCodes(frozenset({7, 17, 180})))


def ask(server, request, report=REPORT, now_us=0, **how):
    return server.ask(bytes.fromhex(request), report, now_us, **how).payload.hex(" ").upper()


def in_extended_session(server):
    assert ask(server, "1003").startswith("50 03")
    return server


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("10 01", "50 01 00 32 01 F4"),
        ("10 03", "50 03 00 32 01 F4"),
        ("10 83", ""),
        ("10 02", "7F 10 12"),
        ("10", "7F 10 13"),
        ("10 01 00", "7F 10 13"),
        ("3E 00", "7E 00"),
        ("3E 80", ""),
        ("3E 01", "7F 3E 12"),
        ("3E", "7F 3E 13"),
        ("11 03", "51 03"),
        ("11 83", ""),
        ("11 01", "7F 11 7E"),
        ("11 02", "7F 11 12"),
        ("27 01", "7F 27 11"),
        ("28 00 01", "7F 28 7F"),
        ("2E F1 90 41", "7F 2E 7F"),
        ("31 01 02 03", "7F 31 7F"),
        ("22", "7F 22 13"),
        ("22 F1", "7F 22 13"),
        ("22 F1 90 F1", "7F 22 13"),
        ("22 12 34", "7F 22 31"),
        ("22 04 00", "7F 22 33"),
        ("22 F1 90 04 01", "7F 22 33"),
        ("22 03 10", "7F 22 31"),
        ("14 FF FF FF", "54"),
        ("14 1A 11 00", "54"),
        ("14 00 00 01", "7F 14 31"),
        ("14 FF FF", "7F 14 13"),
        ("19 02 FF", "59 02 2B"),
        ("19 0A", "59 0A 2B 1A 07 00 00 1A 11 00 00 1A B4 00 00"),
        ("19 01 FF", "59 01 2B 01 00 00"),
        ("19 06", "7F 19 12"),
        ("19 02", "7F 19 13"),
        ("", ""),
        ("62 F1 90", ""),
        ("7F 22 31", ""),
    ],
)
def test_a_request_in_the_default_session_gets_the_answer_of_the_standard(server, request_, answer):
    assert ask(server, request_) == answer


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("11 01", "51 01"),
        ("28 03 01", "7F 28 22"),
        ("28 03 00", "7F 28 31"),
        ("28 04 01", "7F 28 12"),
        ("28 00", "7F 28 13"),
        ("2E F1 90 41", "7F 2E 31"),
        ("2E 04 00 41", "7F 2E 33"),
        ("2E F1 90", "7F 2E 13"),
        ("31 01 02 03", "7F 31 31"),
        ("31 04 02 03", "7F 31 12"),
        ("22 03 10", "62 03 10 50 41 43 4B 2D 37"),
        ("22 F1 86", "62 F1 86 03"),
    ],
)
def test_the_extended_session_opens_what_the_default_one_refuses(server, request_, answer):
    assert ask(in_extended_session(server), request_) == answer


@pytest.mark.parametrize(
    ("identifier", "answer"),
    [
        ("F186", "01"),
        ("F187", b"PS-BMS-0001".hex(" ")),
        ("F18A", b"PACKSEAL SIMULATOR".hex(" ")),
        ("F18C", b"BMS-42".hex(" ")),
        ("F190", b"SIMPACKSEAL000001".hex(" ")),
        ("F191", b"HW 2".hex(" ")),
        ("F195", b"1.2.3".hex(" ")),
        ("F197", b"HVBMS".hex(" ")),
        ("0200", "90 A1"),
        ("0201", "FF FE C1 A4"),
        ("0202", "FF FE C1 0E"),
        ("0203", "90 7E"),
        ("0204", "13 88 18 27 27 10 15 7C"),
        ("0205", "24 D7"),
        ("0206", "00 03 50 A2"),
        ("0207", "00 01 26 EC 00 00 9C BB 00 01 38 80"),
        ("0208", "0B B8 03 20 2E E0 09 C4"),
        ("0210", "96 25 02 98 59 03"),
        ("0211", "03 96 70 96 25 98 59"),
        ("0212", "02 00 D7 FF DF"),
        ("0213", "10 E1"),
        ("0214", "00 01 01"),
        ("0215", "00 00 07 19"),
        ("0216", "00"),
    ],
)
def test_every_identifier_has_the_scale_that_the_table_states(server, identifier, answer):
    assert ask(server, f"22 {identifier}") == f"62 {identifier[:2]} {identifier[2:]} {answer}".upper()


def test_several_identifiers_are_answered_in_the_order_asked_and_unknown_ones_left_out(server):
    assert ask(server, "22 0200 12 34 F191") == "62 02 00 90 A1 F1 91 48 57 20 32"


def test_more_identifiers_than_the_server_takes_are_a_wrong_length(server):
    assert ask(server, "22" + "0200" * 16).startswith("62 02 00")
    assert ask(server, "22" + "0200" * 17) == "7F 22 13"


def test_an_answer_that_does_not_fit_the_servers_memory_is_too_long(server):
    report = REPORT._replace(cell_volts=(3.7,) * 96)
    assert len(server.ask(bytes.fromhex("22" + "0211" * 5), report, 0).payload) == 1 + 5 * 195
    assert ask(server, "22" + "0211" * 6, report) == "7F 22 14"


def test_a_vin_field_that_holds_something_else_is_sent_as_it_is(server):
    other = REPORT._replace(identity=Identity(vin_answer=b"OSEV__ BMS\x00\xff"))
    assert ask(server, "22F190", other) == "62 F1 90 4F 53 45 56 5F 5F 20 42 4D 53 00 FF"


@pytest.mark.parametrize("request_", ["27 01", "3E 01", "22 12 34", "11 01", "28 00 01"])
def test_a_request_to_all_units_that_this_one_does_not_know_is_met_with_silence(server, request_):
    assert ask(server, request_).startswith("7F")
    assert ask(server, request_, functional=True) == ""


@pytest.mark.parametrize(("request_", "code"), [("22 F1", "13"), ("22 04 00", "33")])
def test_a_request_to_all_units_that_this_one_knows_is_refused_aloud(server, request_, code):
    assert ask(server, request_, functional=True) == f"7F 22 {code}"


@pytest.mark.parametrize("request_", ["11 03", "11 83"])
def test_a_reset_is_asked_of_the_firmware_with_its_answer_and_only_with_open_contactors(server, request_):
    request = bytes.fromhex(request_)
    assert server.ask(request, REPORT, 0).reset
    refused = server.ask(request, REPORT._replace(contactors=CLOSED), 0)
    assert (refused.payload.hex(), refused.reset) == ("7f1122", False)


def test_a_refused_request_after_a_reset_does_not_reset_again(server):
    server.ask(bytes.fromhex("1103"), REPORT, 0)
    assert not server.ask(bytes.fromhex("22F191"), REPORT, 0).reset


LIFETIME = {
    "0300": "00 BC 61 4E",
    "0301": "00 A7 DA B4",
    "0302": "01 F7 8A BD",
    "0303": "01 E8 48 00",
    "0304": "00 00 37 9D",
    "0305": "00 03",
    "0306": "00 00 0E 10",
}


@pytest.mark.parametrize(("identifier", "answer"), LIFETIME.items())
def test_a_lifetime_counter_is_announced_as_pending_and_comes_when_the_flash_has_given_it(server, identifier, answer):
    assert ask(server, f"22 {identifier}", now_us=1_000) == "7F 22 78"
    assert server.busy
    assert server.due(REPORT, 1_000 + FLASH_US - 1) == Reply()
    done = server.due(REPORT, 1_000 + FLASH_US).payload
    assert done.hex(" ").upper() == f"62 {identifier[:2]} {identifier[2:]} {answer}"
    assert server.due(REPORT, 1_000 + FLASH_US) == Reply()


def test_the_record_of_all_counters_is_the_counters_one_after_the_other(server):
    ask(server, "22 030F")
    order = ("0300", "0301", "0302", "0303", "0304", "0306", "0305")
    expected = bytes.fromhex("62030F" + "".join(LIFETIME[each] for each in order))
    assert server.due(REPORT, FLASH_US).payload == expected


def test_while_an_answer_is_pending_others_are_told_to_repeat_and_a_keep_alive_is_taken(server):
    ask(server, "22 0300")
    assert ask(server, "22 F190") == "7F 22 21"
    assert ask(server, "22 F190", functional=True) == ""
    assert ask(server, "3E 80", functional=True) == ""
    assert server.due(REPORT, FLASH_US).payload[:3] == bytes.fromhex("620300")


def test_a_request_that_will_be_refused_is_refused_at_once_even_if_it_names_a_slow_identifier(server):
    assert ask(server, "22 0300 0400") == "7F 22 33"
    assert not server.busy


def test_a_session_falls_back_after_five_silent_seconds_and_not_before(server):
    in_extended_session(server)
    assert ask(server, "3E00", now_us=S3_US) == "7E 00"
    assert server.session is Session.EXTENDED
    ask(server, "3E80", now_us=2 * S3_US)
    assert ask(server, "22F186", now_us=3 * S3_US) == "62 F1 86 03"
    assert ask(server, "22F186", now_us=4 * S3_US + 1) == "62 F1 86 01"


def test_a_pending_answer_keeps_the_session_until_five_seconds_after_it(server):
    in_extended_session(server)
    ask(server, "22 0300", now_us=S3_US)
    server.due(REPORT, S3_US + FLASH_US)
    assert ask(server, "22F186", now_us=2 * S3_US + FLASH_US) == "62 F1 86 03"


def test_a_boot_ends_the_session_and_what_was_pending(server):
    in_extended_session(server)
    ask(server, "22 0300")
    server.boot()
    assert server.due(REPORT, FLASH_US) == Reply()
    assert ask(server, "22F186") == "62 F1 86 01"


def test_an_alert_is_a_trouble_code_that_stays_when_it_has_gone(server):
    raised = REPORT._replace(alerts=frozenset({17, 99}))
    assert ask(server, "19 02 FF", raised) == "59 02 2B 1A 11 00 2B"
    assert ask(server, "19 02 01") == "59 02 2B"
    assert ask(server, "19 02 08") == "59 02 2B 1A 11 00 2A"
    assert ask(server, "19 01 08") == "59 01 2B 01 00 01"
    server.boot()
    assert ask(server, "19 02 FF") == "59 02 2B 1A 11 00 28"


def test_cleared_codes_are_gone_until_the_alert_is_seen_again(server):
    raised = REPORT._replace(alerts=frozenset({7, 17}))
    server.troubles.observe(raised.alerts)
    assert ask(server, "14 1A 07 00") == "54"
    assert ask(server, "19 02 FF") == "59 02 2B 1A 11 00 2A"
    assert ask(server, "14 FF FF FF") == "54"
    assert ask(server, "19 02 FF") == "59 02 2B"
    assert ask(server, "19 02 FF", raised) == "59 02 2B 1A 07 00 2B 1A 11 00 2B"


@given(request=st.binary(max_size=64), functional=st.booleans(), later_us=st.integers(0, 10**7))
def test_whatever_is_asked_the_answer_is_none_or_one_of_this_service_and_fits(request, functional, later_us):
    server = Server(TroubleCodes(frozenset({7})))
    server.ask(b"\x10\x03", REPORT, 0)
    payload = server.ask(request, REPORT, later_us, functional=functional).payload
    assert len(payload) <= 1_024
    if payload:
        answered = payload[1] if payload[0] == 0x7F else payload[0] - 0x40
        assert answered == request[0]


def test_values_that_do_not_fit_or_are_not_there_stay_within_their_field():
    assert packed("Hh", 70_000, -40_000) == bytes.fromhex("FFFF8000")
    assert packed("HBi", math.nan, None, -math.inf) == bytes.fromhex("FFFFFF80000000")
    assert packed("hh", 2.5, -2.5) == bytes.fromhex("0003FFFD")


def test_no_identifier_is_in_the_table_twice():
    numbers = [each.number for each in TABLE]
    assert len(set(numbers)) == len(numbers)


def test_the_firmware_is_told_when_a_tester_has_cleared_codes_and_not_when_it_was_refused():
    told = []
    server = Server(TroubleCodes(frozenset({163, 166})), lambda: told.append(1))
    assert server.ask(bytes.fromhex("14123456"), REPORT, 0).payload == bytes.fromhex("7F1431")
    assert told == []
    assert server.ask(bytes.fromhex("14FFFFFF"), REPORT, 0).payload == bytes.fromhex("54")
    assert told == [1]
