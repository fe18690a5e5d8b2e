"""What one message may do to the log: each rule of admission, by name, with real statements and real keys."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import acts, cbor, sign1, statement
from evidence.acts import GatewayBind, KeyBind, PackRegister, Party, Policy
from evidence.bodies import Close
from evidence.envelope import Envelope
from evidence.keys import SigningKey
from evidence.merkle import Digest
from evidence.register import Register
from evidence.sign1 import ED25519
from evidence.statement import Seen
from ledger.admission import PERMANENT, Admit, Arrival, Equivocation, Known, Refuse, decide
from ledger.chains import MAX_AHEAD, Chains
from ledger.errors import Erased
from ledger.rows import link_of_statement
from tests.ledger_world import ORIGIN, REGISTRAR, START_MS, Gateway

LEDGER, ROOT, MAKER = (SigningKey(bytes([n]) * 32) for n in (201, 202, 203))


@dataclass
class MemoryView:
    """A log in memory: the least that admission has to look at."""

    register: Register
    chains: Chains = field(default_factory=lambda: Chains(lambda _: None))
    places: dict = field(default_factory=dict)
    messages: list[bytes] = field(default_factory=list)

    @property
    def size(self):
        return len(self.messages)

    def slot(self, kid, epoch, seq):
        return self.places[kid, epoch, seq]

    def message_at(self, index):
        if not self.messages[index]:
            raise Erased("erased")
        return self.messages[index]

    def admit(self, said):
        index = len(self.messages)
        self.messages.append(said.encoded)
        self.places[said.envelope.kid, said.epoch, said.seq] = index, said.entry
        self.chains.add(link_of_statement(index, said))
        return index


def act(key, kind, issuer, subject, body, after=None):
    return acts.sign(key, Envelope(kind, key.kid, issuer, subject, ORIGIN, START_MS // 1000), body, after)


@pytest.fixture
def view():
    register = Register(ORIGIN, LEDGER.public)
    maker = REGISTRAR.party("maker")
    policy = Policy(ORIGIN, REGISTRAR.authority, LEDGER.public, (ROOT.public,))
    register.apply(act(LEDGER, "policy", ORIGIN, ORIGIN, policy), 0)
    register.apply(act(ROOT, "party", ORIGIN, maker, Party(MAKER.public, ED25519, "Maker", ("maker",))), 1)
    index = 2
    for gateway in (Gateway(), Gateway(pack="pack-2", name="gw-2", seed=2)):
        pack, name = REGISTRAR.pack(gateway.pack), REGISTRAR.gateway(gateway.name)
        after = None
        for kind, body in (
            ("pack-register", PackRegister(())),
            ("gateway-bind", GatewayBind(name)),
            ("key-bind", KeyBind(name, gateway.key.public, ED25519)),
        ):
            made = act(MAKER, kind, maker, pack, body, after)
            register.apply(made, index)
            after, index = made.entry, index + 1
    return MemoryView(register)


@pytest.fixture
def gateway():
    return Gateway()


def refusal(decision):
    assert isinstance(decision, Refuse), decision
    return decision.rule, decision.permanent


def test_a_well_formed_statement_of_a_bound_key_is_admitted(view, gateway):
    said = gateway.open()
    assert decide(gateway.arrival(said), view) == Admit(said)


def test_the_same_entry_again_is_known_by_its_index(view, gateway):
    said = gateway.open()
    index = view.admit(said)
    assert decide(gateway.arrival(said), view) == Known(said.entry, index)


def test_statements_are_admitted_in_any_order(view, gateway):
    said = [gateway.open(), *(gateway.segment() for _ in range(5)), gateway.close()]
    for each in reversed(said):
        assert isinstance(decide(gateway.arrival(each), view), Admit)
        view.admit(each)
    assert [tip.entry for _, tip in view.chains.tips()] == [said[-1].entry]


def test_two_payloads_in_one_place_are_equivocation_and_both_are_named(view, gateway):
    first = gateway.open()
    view.admit(first)
    second = gateway.sign("close", Close(1), epoch=first.epoch, seq=first.seq)
    assert decide(gateway.arrival(second), view) == Equivocation(second, first.entry)


def test_one_payload_in_two_envelopes_is_a_second_copy_and_no_equivocation(view, gateway):
    first = gateway.open()
    view.admit(first)
    header = dict(first.message.header)
    header[15] = {**header[15], 6: 1}
    again = sign1.sign(gateway.key, header, first.message.payload).encode()
    assert refusal(decide(gateway.arrival(again), view)) == ("place-taken", True)


def test_beside_an_erased_statement_another_entry_is_equivocation_and_nothing_breaks(view, gateway):
    first = gateway.open()
    view.messages[view.admit(first)] = b""
    second = gateway.sign("close", Close(1), epoch=first.epoch, seq=first.seq)
    assert decide(gateway.arrival(second), view) == Equivocation(second, first.entry)
    assert decide(gateway.arrival(first), view) == Known(first.entry, 0)


def test_a_statement_that_has_seen_more_of_the_log_than_there_is_waits_for_it(view, gateway):
    view.admit(gateway.open())
    for size, seq in ((1, 1), (2, 2)):
        said = gateway.sign("close", Close(0), seq=seq, seen=Seen(size, Digest(bytes(32))))
        decision = decide(gateway.arrival(said), view)
        if size <= view.size:
            assert decision == Admit(said)
        else:
            assert refusal(decision) == ("checkpoint-ahead", False)
            view.admit(gateway.segment())
            assert decide(gateway.arrival(said), view) == Admit(said)


def test_a_forged_statement_in_a_taken_place_is_no_equivocation(view, gateway):
    first = gateway.open()
    view.admit(first)
    forger = Gateway(seed=1)
    said = forger.sign("close", Close(1), epoch=first.epoch, seq=first.seq)
    forged = said.encoded[:-1] + bytes([said.encoded[-1] ^ 1])
    assert refusal(decide(gateway.arrival(forged), view)) == ("bad-signature", True)


def test_a_place_too_far_ahead_is_refused_for_now(view, gateway):
    at_the_edge = gateway.sign("close", Close(0), seq=MAX_AHEAD)
    beyond = gateway.sign("close", Close(0), seq=MAX_AHEAD + 1)
    assert isinstance(decide(gateway.arrival(at_the_edge), view), Admit)
    assert refusal(decide(gateway.arrival(beyond), view)) == ("too-far-ahead", False)
    view.admit(gateway.open())
    assert isinstance(decide(gateway.arrival(beyond), view), Admit)


@pytest.mark.parametrize(
    ("changes", "rule", "permanent"),
    [
        ({"audience": "other.example/log"}, "wrong-ledger", True),
        ({"issuer": REGISTRAR.gateway("gw-2")}, "wrong-topic", False),
        ({"subject": REGISTRAR.pack("pack-2")}, "wrong-topic", False),
    ],
)
def test_a_statement_for_another_ledger_or_topic_is_refused(view, gateway, changes, rule, permanent):
    said = gateway.sign("close", Close(0), **changes)
    assert refusal(decide(gateway.arrival(said), view)) == (rule, permanent)


def test_a_statement_replayed_on_another_gateways_topic_gets_no_permanent_refusal(view, gateway):
    said = gateway.open()
    stolen = Arrival(said.encoded, "gw-2", "pack-2")
    assert refusal(decide(stolen, view)) == ("wrong-topic", False)


def test_a_key_speaks_for_its_own_pack_and_gateway_only(view):
    other = Gateway(pack="pack-2", name="gw-2", seed=1)
    assert refusal(decide(other.arrival(other.open()), view)) == ("wrong-binding", True)


def test_an_unregistered_pack_or_key_may_be_registered_later(view):
    unknown_pack = Gateway(pack="pack-9", name="gw-9", seed=9)
    unknown_key = Gateway(seed=9)
    assert refusal(decide(unknown_pack.arrival(unknown_pack.open()), view)) == ("unknown-pack", False)
    assert refusal(decide(unknown_key.arrival(unknown_key.open()), view)) == ("unknown-key", False)


def test_bytes_that_are_no_statement_are_named_by_their_hash(view, gateway):
    decision = decide(gateway.arrival(b"\xff" * 100), view)
    assert refusal(decision) == ("malformed", True)
    assert decision.entry == hashlib.sha256(b"\xff" * 100).digest()
    assert decision.subject is None


def test_an_oversized_payload_is_refused_before_it_is_parsed(view, gateway):
    assert refusal(decide(gateway.arrival(bytes(statement.MAX_BYTES + 1)), view)) == ("too-large", True)


def test_an_act_on_an_anchor_topic_is_no_statement(view, gateway):
    offered = act(MAKER, "pack-register", REGISTRAR.party("maker"), REGISTRAR.pack("pack-3"), PackRegister(()))
    assert refusal(decide(gateway.arrival(offered.encoded), view)) == ("malformed", True)


@pytest.mark.parametrize("position", range(0, 500, 7))
def test_a_flipped_bit_is_never_admitted(view, gateway, position):
    encoded = bytearray(gateway.open().encoded)
    encoded[position % len(encoded)] ^= 1
    assert isinstance(decide(gateway.arrival(bytes(encoded)), view), Refuse)


def test_an_unprotected_header_is_refused(view, gateway):
    said = gateway.open()
    dressed = sign1.Sign1(said.message.protected, {}, {99: 1}, said.message.payload, said.message.signature).encode()
    assert refusal(decide(gateway.arrival(dressed), view)) == ("malformed", True)


def test_only_what_no_later_act_can_mend_is_permanent():
    assert not PERMANENT & {
        "unknown-pack",
        "unknown-key",
        "wrong-topic",
        "too-far-ahead",
        "no-policy",
        "checkpoint-ahead",
    }


@given(payload=st.binary(max_size=600))
def test_any_bytes_are_decided_without_an_exception(payload):
    view = MemoryView(Register(ORIGIN, LEDGER.public))
    assert isinstance(decide(Arrival(payload, "gw-1", "pack-1"), view), Refuse)


@given(value=st.recursive(st.integers(0, 2**64 - 1) | st.binary() | st.text() | st.none(), st.lists, max_leaves=20))
def test_any_cose_message_is_decided_without_an_exception(value):
    try:
        payload = cbor.encode_sign1([cbor.encode({1: -19}), {}, cbor.encode(value), bytes(64)])
    except Exception:  # noqa: BLE001 - what cannot be encoded cannot be sent
        return
    assert isinstance(decide(Arrival(payload, "gw-1", "pack-1"), MemoryView(Register(ORIGIN, LEDGER.public))), Refuse)
