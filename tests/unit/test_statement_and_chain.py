"""Statements and the chain they make: what a gateway may say and in which order."""

from dataclasses import replace

import pytest

from evidence import cbor, chain, sign1, statement
from evidence.bodies import Clock, Close, Open
from evidence.chain import ChainHead
from evidence.errors import ChainError, FormatError, SignatureError
from tests.evidence_world import SCHEMA, digest, full_world, key, small_world

WORLD, VEHICLE = full_world("chain")
OPENED = Open("0.1.0", 0, (), SCHEMA)
CLOCK = Clock(1, 0, 1_790_000_000_000, 2)


def said(kind, body, epoch, seq, prev):
    return VEHICLE.sign(kind, body, epoch=epoch, seq=seq, prev=prev)


FIRST = said("open", OPENED, 7, 0, None)
SECOND = said("clock", CLOCK, 7, 1, FIRST.entry)
LAST = said("close", Close(0), 7, 2, SECOND.entry)


def test_a_statement_says_what_was_signed():
    assert (FIRST.kind, FIRST.epoch, FIRST.seq, FIRST.prev) == ("open", 7, 0, None)
    assert FIRST.body == OPENED
    assert FIRST.envelope.subject == VEHICLE.uri
    assert statement.read(FIRST.encoded) == FIRST
    FIRST.message.verify(VEHICLE.key.public)


def test_a_statement_is_not_of_another_key():
    with pytest.raises(SignatureError):
        FIRST.message.verify(key("stranger").public)


def test_an_entry_is_the_digest_of_the_whole_message():
    assert FIRST.entry == statement.entry_of(FIRST.encoded)
    assert FIRST.entry != statement.entry_of(FIRST.message.payload)


def resigned(of, payload=None, header=None, unprotected=None):
    """The message with parts exchanged and a signature that fits."""
    head = {**of.message.header, **(header or {})}
    body = cbor.encode({**cbor.decode(of.message.payload), **(payload or {})})
    message = sign1.sign(VEHICLE.key, head, body)
    return replace(message, unprotected=unprotected or {}).encode()


@pytest.mark.parametrize(
    "wrong",
    [
        {"payload": {4: "close"}},
        {"payload": {1: 2**53}},
        {"payload": {1: -1}},
        {"payload": {2: 2**53}},
        {"payload": {3: b"short"}},
        {"payload": {5: b"short"}},
        {"payload": {6: 10, 7: 9}},
        {"payload": {9: 4}},
        {"payload": {10: {1: 0}}},
        {"payload": {11: [0, b"r" * 32]}},
        {"payload": {11: [1, b"r" * 31]}},
        {"payload": {12: None}},
        {"header": {2: [15]}},
        {"header": {3: "application/vnd.packseal.clock.v1+cbor"}},
        {"header": {3: "application/vnd.packseal.time.v1+cbor"}},
        {"header": {3: "application/vnd.packseal.open.v2+cbor"}},
        {"header": {4: b"seven b"}},
        {"header": {5: b"iv"}},
        {"header": {15: {1: "a", 2: "b", 3: "c"}}},
        {"header": {15: {1: "a", 2: "b", 3: "c", 4: 9, 6: 1}}},
        {"header": {15: {1: "a\x1b[2J", 2: "b", 3: "c", 6: 1}}},
        {"unprotected": {394: [b"receipt"]}},
    ],
    ids=str,
)
def test_a_statement_of_any_other_form_is_refused(wrong):
    with pytest.raises(FormatError):
        statement.read(resigned(FIRST, **wrong))


@pytest.mark.parametrize("alg", [-7, -18, 0, None, "EdDSA", [-19], {1: -19}, b"\x01"], ids=str)
def test_an_algorithm_that_is_not_ed25519_is_a_format_error_whatever_its_type(alg):
    header = {**FIRST.message.header, 1: alg}
    with pytest.raises(FormatError):
        sign1.parse(cbor.encode_sign1([cbor.encode(header), {}, b"", bytes(64)]))


@pytest.mark.parametrize("critical", [[15], [3], [], 0], ids=str)
def test_a_critical_header_parameter_is_refused_whatever_it_names(critical):
    header = {**FIRST.message.header, 2: critical}
    protected = cbor.encode(dict(sorted(header.items())))
    with pytest.raises(FormatError, match="critical"):
        sign1.parse(cbor.encode_sign1([protected, {}, b"", bytes(64)]))


def test_a_header_parameter_must_not_be_both_protected_and_unprotected():
    with pytest.raises(FormatError, match="both"):
        sign1.parse(replace(FIRST.message, unprotected={4: b"12345678"}).encode())


def test_an_oversized_statement_is_refused():
    with pytest.raises(FormatError, match="allowed are"):
        said("open", replace(OPENED, schema=bytes(statement.MAX_BYTES)), 7, 0, None)


def test_a_whole_chain_is_sorted_along_its_links_whatever_the_order_it_comes_in():
    assert chain.in_order([LAST, FIRST, SECOND]) == [FIRST, SECOND, LAST]
    assert chain.in_order(reversed(VEHICLE.chain)) == VEHICLE.chain
    assert chain.in_order([]) == []


ILLEGAL_SUCCESSORS = {
    "another predecessor": (FIRST, said("clock", CLOCK, 7, 1, digest("x")), "does not name its predecessor"),
    "no predecessor": (FIRST, said("clock", CLOCK, 7, 1, None), "does not name its predecessor"),
    "itself again": (SECOND, SECOND, "does not name its predecessor"),
    "a seq left out": (FIRST, said("clock", CLOCK, 7, 2, FIRST.entry), "follows seq 0"),
    "the same seq": (SECOND, said("clock", CLOCK, 7, 1, SECOND.entry), "follows seq 1"),
    "an earlier seq": (SECOND, said("clock", CLOCK, 7, 0, SECOND.entry), "follows seq 1"),
    "a second open in the epoch": (SECOND, said("open", OPENED, 7, 2, SECOND.entry), "already open"),
    "anything after a close": (LAST, said("clock", CLOCK, 7, 3, LAST.entry), "follows the epoch's close"),
    "a new epoch without an open": (LAST, said("clock", CLOCK, 8, 0, LAST.entry), "without an open"),
    "a new epoch that starts at 1": (LAST, said("open", OPENED, 8, 1, LAST.entry), "without an open"),
    "a start that is no open": (None, said("clock", CLOCK, 7, 0, None), "without an open"),
    "a start at seq 1": (None, said("open", OPENED, 7, 1, None), "without an open"),
    "a start that names a predecessor": (None, said("open", OPENED, 7, 0, digest("x")), "its predecessor"),
}


@pytest.mark.parametrize("name", ILLEGAL_SUCCESSORS)
def test_an_illegal_successor_is_named(name):
    before, after, complaint = ILLEGAL_SUCCESSORS[name]
    with pytest.raises(ChainError, match=complaint):
        chain.check_link(before, after)


def test_legal_successors_are_the_next_seq_and_an_open_of_another_epoch():
    chain.check_link(None, FIRST)
    chain.check_link(FIRST, SECOND)
    chain.check_link(SECOND, LAST)
    chain.check_link(LAST, said("open", OPENED, 8, 0, LAST.entry))
    chain.check_link(SECOND, said("open", OPENED, 8, 0, SECOND.entry))  # the process was killed


def test_two_opens_on_one_predecessor_are_a_fork():
    forks = [said("open", OPENED, epoch, 0, LAST.entry) for epoch in (8, 9)]
    with pytest.raises(ChainError, match="fork after"):
        chain.in_order([FIRST, SECOND, LAST, *forks])
    with pytest.raises(ChainError, match="fork after the start"):
        chain.in_order([FIRST, said("open", OPENED, 8, 0, None)])


@pytest.mark.parametrize("missing", range(len(VEHICLE.chain) - 1))
def test_a_hole_leaves_statements_that_nothing_leads_to(missing):
    rest = [each for at, each in enumerate(VEHICLE.chain) if at != missing]
    with pytest.raises(ChainError, match="not reachable"):
        chain.in_order(rest)


def test_the_head_of_a_chain_moves_with_the_next_statement_only():
    head = ChainHead(7, 0, None).after(FIRST)
    assert head == ChainHead(7, 1, FIRST.entry)
    with pytest.raises(ChainError):
        head.after(LAST)
    assert head.after(SECOND) == ChainHead(7, 2, SECOND.entry)


def test_the_checkpoint_that_a_gateway_has_seen_is_in_its_statement():
    with_seen = [each for each in VEHICLE.chain if each.seen is not None]
    assert len(with_seen) == 2
    assert with_seen[1].seen == WORLD.seen(8)
    assert [each.seen for each in small_world()[1].chain] == [None, None]
