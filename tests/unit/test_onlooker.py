"""What an onlooker says of a message: ok only of what it has verified, and never a sign that a terminal obeys."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.seal import Sealer
from evidence.chain import ChainHead
from evidence.keys import NamedKey
from link import topics
from link.topics import Leaf, Topic
from packseal.onlooker import FALSE, TRUE, UNCHECKED, Onlooker
from packseal.tail import _json, _text
from tests.agent_world import GATEWAY, PACK, REGISTRAR, Captured, Ledger, bad_proofs, binding, digest, key, reading

ANCHOR, SEGMENT = topics.anchor(GATEWAY, PACK), topics.segment(GATEWAY, PACK)
PROOF, REFUSAL, STORED = topics.proof(GATEWAY, PACK), topics.refusal(GATEWAY, PACK), topics.stored(GATEWAY, PACK)
LIVE = topics.live(GATEWAY, PACK)
PACK_KEY = NamedKey(REGISTRAR.pack(PACK), key(f"key of {PACK}").public)


@pytest.fixture(scope="module")
def sealed():
    captured, first = Captured.opened()
    return [*first, *captured.segments(2)]


@pytest.fixture(scope="module")
def ledger(sealed):
    made = Ledger()
    for each in sealed:
        made.admit(each.statement.encoded)
    return made


@pytest.fixture
def informed(ledger):
    return Onlooker(ledger.name, [PACK_KEY])


@pytest.fixture
def stranger():
    return Onlooker(None, [])


def test_statements_are_ok_under_the_pack_s_key_and_unchecked_without_it(informed, stranger, sealed):
    for each in sealed:
        line = informed.look(ANCHOR, each.statement.encoded)
        assert (line.where, line.leaf, line.mark) == (PACK, "anchor", TRUE)
        assert stranger.look(ANCHOR, each.statement.encoded).mark == UNCHECKED
    assert "5 frames in 5 windows" in line.text
    assert line.facts["entry"] == sealed[-1].statement.entry.hex()


def test_a_statement_changed_by_a_bit_is_bad_or_of_another_key(informed, sealed):
    encoded = sealed[1].statement.encoded
    for at in range(0, len(encoded), 7):
        line = informed.look(ANCHOR, encoded[:at] + bytes([encoded[at] ^ 1]) + encoded[at + 1 :])
        assert line.mark != TRUE


def test_a_true_statement_on_another_s_topic_is_bad(informed, sealed):
    encoded = sealed[1].statement.encoded
    for topic in (topics.anchor("gw-2", PACK), topics.anchor(GATEWAY, "pack-2")):
        assert informed.look(topic, encoded).mark == FALSE


def test_a_key_that_is_given_for_another_pack_does_not_make_a_statement_true(ledger, sealed):
    onlooker = Onlooker(ledger.name, [NamedKey(REGISTRAR.pack("pack-2"), key(f"key of {PACK}").public)])
    assert onlooker.look(ANCHOR, sealed[1].statement.encoded).mark == FALSE


def test_a_document_is_worth_what_the_statement_that_names_it_is_worth(ledger, sealed):
    statement, document = sealed[1].statement.encoded, sealed[1].document
    for packs, worth in (([PACK_KEY], TRUE), ([], UNCHECKED)):
        onlooker = Onlooker(ledger.name, packs)
        assert onlooker.look(SEGMENT, document).mark == UNCHECKED  # its statement has not passed yet
        onlooker.look(ANCHOR, statement)
        assert onlooker.look(SEGMENT, document).mark == worth


def test_a_forged_statement_cannot_make_a_true_document_look_bad(ledger, sealed):
    onlooker = Onlooker(ledger.name, [PACK_KEY])
    onlooker.look(ANCHOR, sealed[1].statement.encoded)
    body = replace(sealed[1].statement.body, frames=999)
    forger = Sealer(key("forger"), binding(), ChainHead(1, 1, digest("x")))
    forged = forger.say("segment", body, reading(0), reading(0).moment(0), ())
    assert onlooker.look(ANCHOR, forged.statement.encoded).mark == UNCHECKED
    assert onlooker.look(SEGMENT, sealed[1].document).mark == TRUE


def test_proofs_are_ok_under_the_ledger_s_key_only(informed, stranger, ledger):
    entry = ledger.entries[0]
    line = informed.look(PROOF, ledger.proof(entry))
    assert (line.mark, line.facts["size"]) == (TRUE, 3)
    assert stranger.look(PROOF, ledger.proof(entry)).mark == UNCHECKED
    for what, payload in bad_proofs(ledger, entry).items():
        assert informed.look(PROOF, payload).mark == FALSE, what


def test_answers_are_ok_about_the_pack_of_their_topic_only(informed, ledger):
    refusal, stored = ledger.refusal(digest("x"), permanent=True), ledger.stored(digest("x"))
    assert informed.look(REFUSAL, refusal).mark == TRUE
    assert informed.look(STORED, stored).mark == TRUE
    assert informed.look(topics.refusal(GATEWAY, "pack-2"), refusal).mark == FALSE
    assert informed.look(topics.stored(GATEWAY, "pack-2"), stored).mark == FALSE
    assert informed.look(REFUSAL, Ledger(key("stranger")).refusal(digest("x"), permanent=True)).mark == FALSE


def test_live_values_read_in_the_units_that_people_use(stranger):
    line = stranger.look(
        LIVE, b'{"time_ms":1,"Voltage_mV":355100,"Cells_mV":{"min":3600,"at":0,"max":3700,"max_at":1}}'
    )
    assert (line.mark, line.text) == (UNCHECKED, "Voltage 355.1 V, Cells 3.600 to 3.700 V")


ESCAPES = ["\x1b[2J", "\x1b]0;owned\x07", "\x9b31m", "\r\n", "\x00", "\u202e", "\u2028", "\ud800"]


@pytest.mark.parametrize("escape", ESCAPES)
def test_an_escape_sequence_in_a_payload_or_topic_is_shown_and_never_obeyed(stranger, escape):
    raw = json.dumps({"a": escape, escape: 1, "b": [escape]}, ensure_ascii=False).encode(errors="surrogatepass")
    for payload in (raw, json.dumps({"a": escape, escape: {"x": escape}}).encode(), escape.encode(errors="replace")):
        line = stranger.look(LIVE, payload)
        assert f"{line.where} {line.leaf} {line.mark} {line.text}".isprintable()
    line = stranger.look(f"packseal/v1/gw/{escape}/health", b"{}")
    assert (line.mark, f"{line.where} {line.text}".isprintable()) == (FALSE, True)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"null",
        b"1" * 60_000,
        b'{"a":' * 5000,
        b'{"a":' * 500 + b"1" + b"}" * 500,
        b"[" * 599 + b"]" * 599,
        b'{"a_mV":1' + b"0" * 400 + b"}",
        b'{"a_mV":{"min":1e999,"max":-1e999}}',
        b'{"a_mV":{"min":true,"max":null}}',
        b'{"a_mV":NaN}',
        b"\xff\xfe",
        b"{" + b" " * 70_000 + b"}",
        b'{"a":"\\ud800"}',
    ],
)
def test_json_of_any_shape_gives_a_line_and_a_row(stranger, payload):
    line = stranger.look(LIVE, payload)
    assert "\n" not in _text(line)
    assert json.loads(_json(LIVE, line))["leaf"] == "live"


TOPICS = [str(Topic(leaf, "gw-1", "pack-1" if leaf in topics.PACK_LEAVES else None)) for leaf in Leaf]
TOPICS += [topics.ledger_state("main"), "packseal/v1", "", "x", "packseal/v1/gw/A/health"]


@given(st.sampled_from(TOPICS), st.binary(max_size=300))
def test_random_bytes_on_every_topic_give_a_line_that_claims_nothing(topic, payload):
    for onlooker in (Onlooker(None, []), Onlooker(Ledger().name, [PACK_KEY])):
        line = onlooker.look(topic, payload)
        assert line.mark != TRUE
        assert line.text.isprintable()


@given(st.text(max_size=100), st.binary(max_size=20))
def test_any_topic_gives_a_line(topic, payload):
    assert Onlooker(None, []).look(topic, payload).where.isprintable()


def test_what_is_remembered_is_bounded(ledger):
    onlooker = Onlooker(ledger.name, [])
    captured, _ = Captured.opened()
    for each in captured.segments(1100):
        onlooker.look(ANCHOR, each.statement.encoded)
    assert len(onlooker._segments) == 1024


def test_mutated_documents_and_proofs_never_break_it(informed, sealed, ledger):
    chance = random.Random(5)
    informed.look(ANCHOR, sealed[1].statement.encoded)
    for topic, honest in ((SEGMENT, sealed[1].document), (PROOF, ledger.proof(ledger.entries[0]))):
        for _ in range(300):
            doctored = bytearray(honest)
            for _ in range(chance.randint(1, 4)):
                doctored[chance.randrange(len(doctored))] = chance.randrange(256)
            line = informed.look(topic, bytes(doctored)[: chance.randint(1, len(doctored))])
            assert line.mark != TRUE or bytes(doctored) == honest
