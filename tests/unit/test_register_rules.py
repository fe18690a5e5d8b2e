"""The register's rule book: every rule with an act or statement that breaks it and nothing else."""

import copy
import re
from dataclasses import replace
from pathlib import Path

import pytest

from evidence import acts, register, statement
from evidence.acts import GatewayBind, Heads, KeyBind, PackRegister, Party, Policy, Time
from evidence.bodies import Close, Open
from evidence.envelope import Envelope
from evidence.errors import FormatError, SignatureError
from evidence.keys import key_id
from evidence.register import Register, RuleError
from evidence.sign1 import ED25519, EDDSA
from tests.evidence_world import MAKER, ORIGIN, REGISTRAR, SCHEMA, World, digest, key

WORLD = World("rules")
PACK = WORLD.register("p-1")
LESSOR = REGISTRAR.party("lessor")
RIVAL = REGISTRAR.party("rival")
FRESH = REGISTRAR.pack("p-2")
KINDS = {Policy: "policy", Time: "time", Party: "party", PackRegister: "pack-register", Heads: "heads"}
KINDS |= {GatewayBind: "gateway-bind", KeyBind: "key-bind"}


def act(signer, issuer, subject, body, after=None, *, audience=ORIGIN, algorithm=ED25519):
    frame = Envelope(KINDS[type(body)], signer.kid, issuer, subject, audience, 1, algorithm=algorithm)
    return acts.sign(signer, frame, body, after)


def party(uri, who, roles):
    return act(WORLD.root, ORIGIN, uri, Party(key(who).public, ED25519, who, roles))


def replayed() -> Register:
    """The register after the world's log, with a lessor who is no maker and a rival who is one."""
    state = Register(ORIGIN, WORLD.ledger.public)
    for index, encoded in enumerate(WORLD.log):
        state.apply(acts.read(encoded), index)
    state.apply(party(LESSOR, "lessor", ("lessor",)), len(WORLD.log))
    state.apply(party(RIVAL, "rival", ("maker",)), len(WORLD.log) + 1)
    return state


STATE = replayed()
NEXT = len(WORLD.log) + 2
POLICY = Policy(ORIGIN, REGISTRAR.authority, WORLD.ledger.public, (WORLD.root.public,))
STRANGE = REGISTRAR.party("strange")
ELSEWHERE = "tag:elsewhere.example,2026:pack/p-9"


def by_maker(subject, body, after=None, **more):
    return act(WORLD.maker, MAKER, subject, body, after, **more)


def by_ledger(body, **more):
    return act(
        WORLD.ledger, more.pop("issuer", ORIGIN), more.pop("subject", ORIGIN), body, more.pop("after", None), **more
    )


def binding(gateway, label="new", signer=None, algorithm=ED25519):
    public = signer.public if signer else key(label).public
    return by_maker(PACK.uri, KeyBind(REGISTRAR.gateway(gateway), public, algorithm), PACK.strand)


ILLEGAL = {
    "an act for another ledger": ("wrong-ledger", by_ledger(Time(2**50), audience="other.example/log")),
    "a policy of another origin": ("second-policy", by_ledger(replace(POLICY, origin="other.example/log"))),
    "a second policy": ("second-policy", by_ledger(POLICY)),
    "a time by a party": ("wrong-issuer", act(WORLD.maker, MAKER, ORIGIN, Time(2**50))),
    "a time about a pack": ("wrong-issuer", by_ledger(Time(2**50), subject=PACK.uri)),
    "a time with a predecessor": ("wrong-form", by_ledger(Time(2**50), after=digest("x"))),
    "a time under the deprecated algorithm": ("wrong-form", by_ledger(Time(2**50), algorithm=EDDSA)),
    "a time before the last": ("time-backwards", by_ledger(Time(STATE.time_ms - 1))),
    "heads of the future": ("heads-ahead", by_ledger(Heads(NEXT + 1, digest("x"), 1))),
    "a party twice": ("party-known", party(MAKER, "again", ("maker",))),
    "a party admitted by itself": (
        "not-root",
        act(key("s"), ORIGIN, STRANGE, Party(key("s").public, ED25519, "s", ())),
    ),
    "a party in the maker's name": (
        "not-root",
        act(WORLD.root, MAKER, STRANGE, Party(key("s").public, ED25519, "s", ())),
    ),
    "a party with a predecessor": (
        "wrong-form",
        act(WORLD.root, ORIGIN, STRANGE, Party(key("s").public, ED25519, "s", ()), digest("x")),
    ),
    "a party with the key of another": ("key-used", party(STRANGE, "rival", ())),
    "a party with a pack's name": ("wrong-name", party(FRESH, "s", ())),
    "a party of another registrar": ("wrong-registrar", party("tag:else.example,2026:party/p", "s", ())),
    "a registration by a stranger": ("unknown-party", act(key("s"), STRANGE, FRESH, PackRegister(()))),
    "a registration by no maker": ("not-maker", act(key("lessor"), LESSOR, FRESH, PackRegister(()))),
    "a registration twice": ("pack-known", by_maker(PACK.uri, PackRegister(()))),
    "a registration with a predecessor": ("stale", by_maker(FRESH, PackRegister(()), digest("x"))),
    "a pack with a gateway's name": ("wrong-name", by_maker(REGISTRAR.gateway("g"), PackRegister(()))),
    "a pack of another registrar": ("wrong-registrar", by_maker(ELSEWHERE, PackRegister(()))),
    "a binding by a stranger": ("unknown-party", act(key("s"), STRANGE, PACK.uri, GatewayBind(REGISTRAR.gateway("g")))),
    "a binding of an unknown pack": ("unknown-pack", by_maker(FRESH, GatewayBind(REGISTRAR.gateway("g")))),
    "a binding by another maker": (
        "not-titleholder",
        act(key("rival"), RIVAL, PACK.uri, GatewayBind(REGISTRAR.gateway("g")), PACK.strand),
    ),
    "a binding that has not heard": ("stale", by_maker(PACK.uri, GatewayBind(REGISTRAR.gateway("g")), digest("x"))),
    "a binding that follows nothing": ("stale", by_maker(PACK.uri, GatewayBind(REGISTRAR.gateway("g")))),
    "a gateway twice": ("gateway-known", by_maker(PACK.uri, GatewayBind(PACK.gateway), PACK.strand)),
    "a gateway of another registrar": (
        "wrong-registrar",
        by_maker(PACK.uri, GatewayBind("tag:else.example,2026:gw/g"), PACK.strand),
    ),
    "a key of an unbound gateway": ("unknown-gateway", binding("gw-9")),
    "a key twice": ("key-used", binding("gw-1", signer=PACK.key)),
    "the maker's own key for a pack": ("key-used", binding("gw-1", signer=WORLD.maker)),
    "the ledger's key for a pack": ("key-used", binding("gw-1", signer=WORLD.ledger)),
    "a root key for a pack": ("key-used", binding("gw-1", signer=WORLD.root)),
}


def said(kind="open", signer=None, **more):
    vehicle = replace(PACK, **{name: more.pop(name) for name in ("uri", "gateway") if name in more})
    return vehicle.sign(kind, Open("0", 0, (), SCHEMA), epoch=1, seq=0, prev=None, key=signer or PACK.key, **more)


ILLEGAL_STATEMENTS = {
    "for another ledger": ("wrong-ledger", said(aud="other.example/log"), None),
    "of an unregistered pack": ("unknown-pack", said(signer=key("s"), uri=FRESH), None),
    "by an unbound key": ("unknown-key", said(signer=key("s")), None),
    "about another pack": ("wrong-binding", said(uri=FRESH), None),
    "from another gateway": ("wrong-binding", said(gateway=REGISTRAR.gateway("gw-9")), None),
    "from before its key was bound": ("before-binding", said(), STATE.keys[PACK.key.kid].index),
}


def seen(state):
    """All that the register knows, for comparing."""
    return copy.deepcopy((state.policy, state.time_ms, state.parties, state.packs, state.keys, state._used))


@pytest.mark.parametrize("name", ILLEGAL)
def test_an_illegal_act_is_refused_by_its_rule_and_changes_nothing(name):
    rule, offered = ILLEGAL[name]
    before = seen(STATE)
    with pytest.raises(RuleError) as refused:
        STATE.apply(offered, NEXT)
    assert refused.value.rule == rule
    assert seen(STATE) == before


@pytest.mark.parametrize("name", ILLEGAL_STATEMENTS)
def test_an_illegal_statement_is_refused_by_its_rule(name):
    rule, offered, index = ILLEGAL_STATEMENTS[name]
    with pytest.raises(RuleError) as refused:
        STATE.check_statement(offered, index)
    assert refused.value.rule == rule


def test_nothing_but_a_policy_begins_a_log():
    for offered in (by_ledger(Time(1)), party(LESSOR, "lessor", ()), by_maker(FRESH, PackRegister(()))):
        with pytest.raises(RuleError) as refused:
            Register(ORIGIN, WORLD.ledger.public).apply(offered, 0)
        assert refused.value.rule == "no-policy"


@pytest.mark.parametrize(
    ("policy", "index", "rule"),
    [
        (POLICY, 1, "second-policy"),
        (replace(POLICY, origin="other.example/log"), 0, "wrong-ledger"),
        (replace(POLICY, ledger_key=key("s").public), 0, "wrong-ledger"),
    ],
)
def test_the_policy_is_entry_0_and_of_this_ledger(policy, index, rule):
    with pytest.raises(RuleError) as refused:
        Register(ORIGIN, WORLD.ledger.public).apply(by_ledger(policy), index)
    assert refused.value.rule == rule


def test_every_rule_that_the_register_names_is_broken_here():
    named = set(re.findall(r'RuleError\(\s*"([a-z-]+)"', Path(register.__file__).read_text()))
    named |= set(re.findall(r'rule = "([a-z-]+)" if known else "([a-z-]+)"', Path(register.__file__).read_text())[0])
    broken = {rule for rule, _ in ILLEGAL.values()} | {rule for rule, _, _ in ILLEGAL_STATEMENTS.values()}
    assert broken | {"no-policy"} == named


@pytest.mark.parametrize("name", ["a time by a stranger", "a party", "a registration", "a binding", "a statement"])
def test_an_act_that_is_signed_by_another_key_is_a_signature_error(name):
    stranger = key("stranger")
    wrong = {
        "a time by a stranger": act(stranger, ORIGIN, ORIGIN, Time(2**50)),
        "a registration": act(stranger, MAKER, FRESH, PackRegister(())),
        "a binding": act(stranger, MAKER, PACK.uri, GatewayBind(REGISTRAR.gateway("g")), PACK.strand),
    }
    if name == "a party":
        frame = Envelope("party", WORLD.root.kid, ORIGIN, STRANGE, ORIGIN, 1)
        offered = acts.sign(stranger, frame, Party(key("s").public, ED25519, "s", ()))
    elif name == "a statement":
        honest, other = said(), said(signer=stranger)
        forged = replace(honest, message=replace(honest.message, signature=other.message.signature))
        with pytest.raises(SignatureError):
            STATE.check_statement(forged)
        return
    else:
        offered = wrong[name]
    before = seen(STATE)
    with pytest.raises(SignatureError):
        STATE.apply(offered, NEXT)
    assert seen(STATE) == before


def test_the_message_does_not_choose_the_algorithm_that_its_key_is_bound_to():
    state = replayed()
    old = key("old gateway")
    bound = by_maker(PACK.uri, KeyBind(PACK.gateway, old.public, EDDSA), PACK.strand)
    state.apply(bound, NEXT)
    frame = Envelope("close", old.kid, PACK.gateway, PACK.uri, ORIGIN, 1)
    for algorithm, accepted in ((EDDSA, True), (ED25519, False)):
        template = PACK.sign("close", Close(0), epoch=1, seq=0, prev=None)
        offered = sign_as(old, replace(frame, algorithm=algorithm), template)
        if accepted:
            assert state.check_statement(offered).algorithm == EDDSA
        else:
            with pytest.raises(SignatureError, match="bound to -8"):
                state.check_statement(offered)


def sign_as(signer, frame, template):
    return statement.sign(
        signer, frame, epoch=template.epoch, seq=template.seq, prev=None, stamp=template.stamp, body=template.body
    )


def test_the_register_knows_what_its_acts_said():
    state = replayed()
    assert state.packs[PACK.uri].titleholder == MAKER
    assert state.packs[PACK.uri].strand == PACK.strand
    assert dict(state.packs[PACK.uri].attributes)["chemistry"] == "LFP"
    bound = state.check_statement(said(), NEXT)
    assert (bound.pack, bound.gateway, bound.key, bound.binder) == (PACK.uri, PACK.gateway, PACK.key.public, MAKER)
    assert state.keys[key_id(PACK.key.public)] is bound
    assert state.time_ms == WORLD.clock_ms


def test_the_log_may_note_the_same_time_twice():
    state = replayed()
    state.apply(by_ledger(Time(state.time_ms)), NEXT)


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (POLICY, {4: []}),
        (POLICY, {4: [bytes(32)] * 2}),
        (POLICY, {4: [bytes([n]) * 32 for n in range(17)]}),
        (POLICY, {2: "no registrar"}),
        (POLICY, {1: "two words"}),
        (POLICY, {3: bytes(31)}),
        (Time(1), {1: -1}),
        (Party(key("s").public, ED25519, "s", ()), {4: ["maker", "lessor"]}),
        (Party(key("s").public, ED25519, "s", ()), {4: ["king"]}),
        (Party(key("s").public, ED25519, "s", ()), {4: ["maker", "maker"]}),
        (Party(key("s").public, ED25519, "s", ()), {2: -7}),
        (Party(key("s").public, ED25519, "s", ()), {3: ""}),
        (Party(key("s").public, ED25519, "s", ()), {3: "two\nlines"}),
        (PackRegister(()), {1: [["b", "x"], ["a", "x"]]}),
        (PackRegister(()), {1: [["a", "x"], ["a", "y"]]}),
        (PackRegister(()), {1: [["a"]]}),
        (PackRegister(()), {1: [[f"a{n:02}", "x"] for n in range(65)]}),
        (GatewayBind(PACK.gateway), {1: PACK.uri}),
        (KeyBind(PACK.gateway, key("s").public, ED25519), {2: bytes(33)}),
        (KeyBind(PACK.gateway, key("s").public, ED25519), {3: 0}),
        (Heads(1, digest("x"), 0), {1: 0}),
        (Heads(1, digest("x"), 0), {2: bytes(31)}),
        (Heads(1, digest("x"), 0), {3: -1}),
        (Heads(1, digest("x"), 0), {4: 0}),
    ],
    ids=str,
)
def test_a_body_that_is_not_of_its_form_is_a_format_error(body, wrong):
    value = acts._value(body)
    assert acts._BODIES[KINDS[type(body)]](value) == body
    with pytest.raises(FormatError):
        acts._BODIES[KINDS[type(body)]]({**value, **wrong})


def test_an_act_does_not_expire():
    frame = Envelope("time", WORLD.ledger.kid, ORIGIN, ORIGIN, ORIGIN, 1, expires=2)
    with pytest.raises(FormatError, match="does not expire"):
        acts.sign(WORLD.ledger, frame, Time(1))
