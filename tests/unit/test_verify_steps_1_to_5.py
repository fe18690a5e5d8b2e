"""Form, checkpoint, inclusion, policy, register: bundles that fail at exactly that step."""

from dataclasses import replace

import cbor2
import pytest

from evidence import cbor, note, sign1
from evidence.acts import Heads, KeyBind, PackRegister, Party, Policy, Time
from evidence.bodies import Close
from evidence.checkpoint import Checkpoint
from evidence.envelope import Envelope
from evidence.keys import NamedKey
from evidence.sign1 import ED25519
from tests.bundle_cases import Cases, at, bare, honest, parts
from tests.evidence_world import (
    MAKER,
    ORIGIN,
    REGISTRAR,
    Offer,
    World,
    digest,
    full_world,
    key,
)

case = Cases()


# Step 1: form


@case(1, "a later version", "version")
def _():
    return parts(lambda value: value.update({1: 2}))


@case(1, "an unknown part", "keys")
def _():
    return parts(lambda value: value.update({8: []}))


@case(1, "a part left out", "keys")
def _():
    return parts(lambda value: value.pop(6))


@case(1, "no messages", "1 to")
def _():
    return parts(lambda value: value.update({3: []}))


@case(1, "trailing bytes", "not CBOR|not the deterministic")
def _():
    return honest()[2].encode() + b"\0"


@case(1, "nothing", "0 bytes")
def _():
    return b""


@case(1, "a message without a receipt", "unprotected header")
def _():
    return parts(lambda value: value[3].__setitem__(2, honest()[0].log[2]))


def unprotected(change):
    """The honest bundle with the unprotected header of its third message changed."""

    def doctor(value):
        message = sign1.parse(value[3][2])
        value[3][2] = replace(message, unprotected=change(message.unprotected)).encode()

    return parts(doctor)


@case(1, "two receipts on one message", "array of 1")
def _():
    return unprotected(lambda header: {394: header[394] * 2})


@case(1, "something unsigned beside a receipt", "unprotected header")
def _():
    return unprotected(lambda header: {**header, 395: 1})


@case(1, "a receipt whose proof is of another size", "signed tree size")
def _():
    _world, _vehicle, offer = honest()
    message = sign1.parse(offer.messages()[2])
    shown = sign1.parse(message.unprotected[394][0])
    size, index, path = cbor2.loads(shown.unprotected[396][-1][0])
    lying = replace(shown, unprotected={396: {-1: [cbor2.dumps([size + 1, index, path])]}})
    return unprotected(lambda header: {394: [lying.encode()]})


@case(1, "a salt of 15 bytes", "salt")
def _():
    return parts(lambda value: value[7][0].__setitem__(2, bytes(15)))


@case(1, "an unhashable algorithm", "alg")
def _():
    return parts(
        lambda value: value[3].__setitem__(
            2, cbor.encode_sign1([cbor.encode({1: [-19]}), {394: [b""]}, b"", bytes(64)])
        )
    )


# Step 2: checkpoint


@case(2, "another ledger's key", "no signature by")
def _():
    return honest()[2], NamedKey(ORIGIN, key("stranger").public)


@case(2, "another ledger's name", "not of")
def _():
    return honest()[2], NamedKey("other.example/log", honest()[0].ledger.public)


@case(2, "a foreign signature on the note", "nothing here verifies")
def _():
    _world, _, offer = honest()
    text = offer.note.partition("\n\n")[0] + "\n"
    foreign = note.sign(text, "witness.example/w", key("witness")).rpartition("\n\n")[2]
    return replace(offer, note=offer.note + foreign)


@case(2, "the ledger's signature twice", "nothing here verifies")
def _():
    offer = honest()[2]
    return replace(offer, note=offer.note + offer.note.rpartition("\n\n")[2])


@case(2, "a checkpoint with an extension line", "exactly the lines")
def _():
    world, _, offer = honest()
    return replace(offer, note=note.sign(offer.note.partition("\n\n")[0] + "\nmore\n", ORIGIN, world.ledger))


@case(2, "a checkpoint that the ledger has not signed", "does not verify")
def _():
    _world, _, offer = honest()
    text, _, lines = offer.note.partition("\n\n")
    return replace(offer, note=text.replace(f"\n{offer.size}\n", "\n7\n") + "\n\n" + lines)


@case(2, "a note that is no note", "not a signed note")
def _():
    return replace(honest()[2], note="\n")


# Step 3: inclusion


@case(3, "receipts of another pack", "another log, pack or size")
def _():
    return replace(honest()[2], subject=REGISTRAR.pack("p-2"))


@case(3, "receipts of another log", "another log, pack or size")
def _():
    return replace(honest()[2], issuer="other.example/log")


@case(3, "receipts of a smaller tree than the checkpoint", "another log, pack or size")
def _():
    world, _, offer = honest()
    return replace(offer, note=world.note(offer.size - 1))


@case(3, "receipts by another key", "names another key")
def _():
    return replace(honest()[2], signer=key("stranger"))


@case(3, "receipts under a checkpoint of another root", "leads to another root")
def _():
    world, _, offer = honest()
    return replace(offer, note=Checkpoint(ORIGIN, offer.size, digest("root")).sign(world.ledger))


@case(3, "a statement that was never logged", "leads to another root")
def _():
    _, vehicle, offer = honest()
    last = vehicle.chain[-1]
    said = vehicle.sign("close", Close(0), epoch=last.epoch, seq=last.seq, prev=last.prev)
    return replace(offer, replaced={at(offer.world, last.encoded): said.encoded})


@case(3, "two messages exchanged", "stands after")
def _():
    offer = honest()[2]
    offer.indexes[-3:-1] = reversed(offer.indexes[-3:-1])
    return offer


@case(3, "a message twice", "stands after")
def _():
    offer = honest()[2]
    offer.indexes.append(offer.indexes[-1])
    return offer


@case(3, "another pack named on the cover", "another log, pack or size")
def _():
    return parts(lambda value: value.update({2: REGISTRAR.pack("p-2")}))


# Step 4: policy


@case(4, "no policy", "not the policy at index 0")
def _():
    return honest()[2].without(0)


@case(4, "a policy of another origin", "another ledger or key")
def _():
    world = World(
        "w", policy=Policy("other.example/log", REGISTRAR.authority, key("w ledger").public, (key("r").public,))
    )
    return Offer(world, REGISTRAR.pack("p-1"), 1, [0], world.note(1), None)


@case(4, "a policy of another key", "another ledger or key")
def _():
    world = World("w", policy=Policy(ORIGIN, REGISTRAR.authority, key("x").public, (key("r").public,)))
    return Offer(world, REGISTRAR.pack("p-1"), 1, [0], world.note(1), None)


@case(4, "a log that begins with something else", "not the policy at index 0")
def _():
    world = World("w", first=World("w").log[1])
    return Offer(world, REGISTRAR.pack("p-1"), 2, [0, 1], world.note(2), None)


@case(4, "a policy that stands at index 1", "not the policy at index 0")
def _():
    world = World("w", first=b"anything")
    return Offer(world, REGISTRAR.pack("p-1"), 2, [1], world.note(2), None)


@case(4, "a policy that a stranger signed", "does not verify")
def _():
    world = World("w")
    frame = Envelope("policy", world.ledger.kid, ORIGIN, ORIGIN, ORIGIN, 1)
    payload = sign1.parse(world.log[0]).payload
    forged = World("w", first=sign1.sign(key("stranger"), frame.header(), payload).encode())
    return Offer(forged, REGISTRAR.pack("p-1"), 1, [0], forged.note(1), None)


# Step 5: register


@case(5, "the maker's admission left out", "is not a party")
def _():
    return honest()[2].without(2)


@case(5, "the registration left out", "is not registered")
def _():
    return honest()[2].without(4)


@case(5, "a binding left out", "strand has moved on|is not bound|stale")
def _():
    return honest()[2].without(6)


@case(5, "nothing but the policy", "is not registered by anything")
def _():
    world, vehicle = bare()
    return Offer(world, vehicle.uri, len(world.log), [0], world.note(len(world.log)), None)


@case(5, "an act about another pack", "of no use here")
def _():
    world, vehicle = bare()
    world.act(world.maker, MAKER, REGISTRAR.pack("p-2"), PackRegister(()))
    offer = world.offer(vehicle)
    offer.indexes.append(len(world.log) - 1)
    return offer


@case(5, "a party that no root key admitted", "admitted by a root key")
def _():
    world, vehicle = bare()
    world.act(key("s"), ORIGIN, REGISTRAR.party("s"), Party(key("s").public, ED25519, "s", ("maker",)))
    offer = world.offer(vehicle)
    offer.indexes.append(len(world.log) - 1)
    return offer


@case(5, "a key bound by a stranger", "is not a party")
def _():
    world, vehicle = bare()
    bound = KeyBind(vehicle.gateway, key("s").public, ED25519)
    world.act(key("s"), REGISTRAR.party("s"), vehicle.uri, bound, vehicle.strand)
    return world.offer(vehicle)


@case(5, "a stale key binding", "strand has moved on")
def _():
    world, vehicle = bare()
    bound = KeyBind(vehicle.gateway, key("s").public, ED25519)
    world.act(world.maker, MAKER, vehicle.uri, bound, digest("an older act"))
    return world.offer(vehicle)


@case(5, "a time that runs backwards", "is before")
def _():
    world, vehicle = bare()
    world.act(world.ledger, ORIGIN, ORIGIN, Time(1))
    return world.offer(vehicle)


@case(5, "heads of the future", "cannot cover")
def _():
    world, vehicle = full_world()
    world.act(world.ledger, ORIGIN, ORIGIN, Heads(2**40, digest("x"), 2))
    offer = world.offer(vehicle)
    offer.indexes.append(len(world.log) - 1)
    return offer


@case(5, "an act for another ledger", "this ledger is")
def _():
    world, vehicle = bare()
    frame = Envelope("time", world.ledger.kid, ORIGIN, ORIGIN, "other.example/log", 1)
    payload = cbor.encode({4: "time", 10: {1: 2**50}, 12: None})
    world.append(sign1.sign(world.ledger, frame.header(), payload).encode())
    return world.offer(vehicle)


@pytest.mark.parametrize("name", case.rows)
def test_a_doctored_bundle_is_rejected_at_its_step(name):
    case.check(name)


def test_every_step_has_a_bundle_that_fails_at_it():
    assert {step for step, _, _ in case.rows.values()} == {1, 2, 3, 4, 5}
