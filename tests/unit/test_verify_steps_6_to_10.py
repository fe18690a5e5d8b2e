"""Signatures, pins, chain, documents, completeness: bundles that fail at exactly that step, validly signed."""

from dataclasses import replace

import cbor2
import pytest

from evidence import bundle, cbor, merkle, segment, sign1, window
from evidence.acts import GatewayBind, Heads, KeyBind
from evidence.bodies import Clock, Open
from evidence.bundle import DisclosedWindow
from evidence.envelope import Envelope
from evidence.heads import ChainTip, PackHead
from evidence.sign1 import ED25519
from evidence.statement import Seen
from evidence.verify import verify
from evidence.window import SaltKey
from tests.bundle_cases import Cases, after, at, bare, honest, logged, opened
from tests.evidence_world import (
    MAKER,
    ORIGIN,
    REGISTRAR,
    SCHEMA,
    START_S,
    Offer,
    Vehicle,
    World,
    digest,
    full_world,
    key,
    sealed,
    some_windows,
)

OPEN_AGAIN = Open("0", 1, (), SCHEMA)
CLOCK = Clock(1, 0, 1000 * START_S, 2)
case = Cases()


# Step 6: signatures


@case(6, "a statement by a key that nobody bound", "no key of this kid")
def _():
    world, vehicle = bare()
    return logged(opened(vehicle, key=key("s")), world, vehicle)


@case(6, "the key binding left out", "no key of this kid")
def _():
    offer = honest()[2].without(8, *range(20, 99))
    offer.heads = None
    return replace(offer, documents=[], windows=[])


@case(6, "a statement that claims the bound key's identifier", "does not verify")
def _():
    world, vehicle = bare()
    message = opened(vehicle).message
    forged = sign1.sign(key("s"), message.header, message.payload)
    return logged(forged.encode(), world, vehicle)


@case(6, "a statement about another pack", "is about")
def _():
    world, vehicle = bare()
    return logged(opened(replace(vehicle, uri=REGISTRAR.pack("p-2"))), world, vehicle)


@case(6, "a statement from another gateway", "bound to")
def _():
    world, vehicle = bare()
    return logged(opened(replace(vehicle, gateway=REGISTRAR.gateway("gw-2"))), world, vehicle)


@case(6, "a statement for another ledger", "this ledger is")
def _():
    world, vehicle = bare()
    return logged(opened(vehicle, aud="other.example/log"), world, vehicle)


@case(6, "a statement from before its key was bound", "older than the binding")
def _():
    world = World("early")
    early = Vehicle(REGISTRAR.pack("p-1"), REGISTRAR.gateway("gw-1"), key("early p-1 gw-1"))
    index = world.append(opened(early).encoded)
    vehicle = world.register("p-1")
    offer = world.offer(vehicle)
    offer.indexes = sorted({*offer.indexes, index})
    return offer


@case(6, "a message that is neither act nor statement", "not a kind of statement")
def _():
    world, vehicle = bare()
    frame = Envelope("refusal", world.ledger.kid, ORIGIN, vehicle.uri, ORIGIN, 1)
    return logged(sign1.sign(world.ledger, frame.header(), cbor.encode({1: 0})).encode(), world, vehicle)


@case(6, "an act with a statement's payload", "keys")
def _():
    world, vehicle = bare()
    frame = Envelope("open", vehicle.key.kid, vehicle.gateway, vehicle.uri, ORIGIN, 1)
    return logged(
        sign1.sign(vehicle.key, frame.header(), cbor.encode({4: "open", 10: {}, 12: None})).encode(), world, vehicle
    )


# Step 7: pack keys


@case(7, "a pinned key that is not the pack's", "not a pinned pack key")
def _():
    world, _, offer = honest()
    return offer, world.name, key("stranger").public


@case(7, "a second key that was bound in silence", "not a pinned pack key")
def _():
    world, vehicle = full_world()
    return with_second_gateway(world, vehicle), world.name, vehicle.key.public


def second_gateway(world: World, vehicle: Vehicle) -> Vehicle:
    """Bind a second gateway with its key to the pack."""
    second = replace(vehicle, gateway=REGISTRAR.gateway("gw-9"), key=key("second"), chain=[], documents={})
    for body in (GatewayBind(second.gateway), KeyBind(second.gateway, second.key.public, ED25519)):
        vehicle.strand = world.act(world.maker, MAKER, vehicle.uri, body, vehicle.strand).entry
    return second


def with_second_gateway(world: World, vehicle: Vehicle) -> Offer:
    second = second_gateway(world, vehicle)
    world.open(second)
    offer = world.offer(vehicle)
    offer.indexes.append(len(world.log) - 1)
    return offer


# Step 8: chain


@case(8, "a statement left out", "not reachable")
def _():
    world, vehicle, offer = honest()
    return replace(offer.without(at(world, vehicle.chain[2].encoded)), documents=[], windows=[])


@case(8, "the first open left out", "not reachable")
def _():
    world, vehicle, offer = honest()
    return offer.without(at(world, vehicle.chain[0].encoded))


@case(8, "a whole epoch left out", "not reachable")
def _():
    world, vehicle, offer = honest()
    return replace(offer.without(*(at(world, each.encoded) for each in vehicle.chain[:5])), documents=[], windows=[])


@case(8, "a fork of a restored store", "fork after")
def _():
    world, vehicle = full_world()
    return logged(after(vehicle, "open", Open("0", 2, (), SCHEMA), 99, 0, prev=vehicle.chain[4].entry), world, vehicle)


@case(8, "an equivocation", "fork after")
def _():
    world, vehicle = full_world()
    last = vehicle.chain[-1]
    return logged(after(vehicle, "clock", CLOCK, seq=last.seq, prev=last.prev), world, vehicle)


@case(8, "a seq left out", "follows seq")
def _():
    world, vehicle = full_world()
    return logged(after(vehicle, "clock", CLOCK, seq=vehicle.chain[-1].seq + 2), world, vehicle)


@case(8, "a statement after a close", "follows the epoch's close")
def _():
    world, vehicle = full_world()
    world.close(vehicle)
    return logged(after(vehicle, "clock", CLOCK), world, vehicle)


@case(8, "an epoch opened again after another", "opened a second time")
def _():
    world, vehicle = full_world()
    return logged(after(vehicle, "open", OPEN_AGAIN, vehicle.chain[0].epoch, 0), world, vehicle)


@case(8, "an epoch that begins without an open", "without an open")
def _():
    world, vehicle = full_world()
    return logged(after(vehicle, "clock", CLOCK, 99, 0), world, vehicle)


@case(8, "a second open in one epoch", "already open")
def _():
    world, vehicle = full_world()
    return logged(after(vehicle, "open", Open("0", 0, (), SCHEMA)), world, vehicle)


@case(8, "a segment of another profile than its open", "another profile")
def _():
    world, vehicle = full_world()
    _, body = sealed("x", some_windows(1), profile=b"another schema")
    return logged(after(vehicle, "segment", body), world, vehicle)


@case(8, "a statement that had seen a log beyond itself", "already reached beyond")
def _():
    world, vehicle = full_world()
    return logged(after(vehicle, "clock", CLOCK, seen=Seen(2**40, digest("x"))), world, vehicle)


# Step 9: documents


@case(9, "a document that no segment names", "named by no segment")
def _():
    offer = honest()[2]
    offer.documents.append(sealed("x", some_windows(1))[0])
    return offer


@case(9, "two documents exchanged", "named by no segment|out of order")
def _():
    offer = honest()[2]
    offer.documents[:2] = reversed(offer.documents[:2])
    return offer


@case(9, "a document twice", "named by no segment|out of order")
def _():
    offer = honest()[2]
    offer.documents.insert(0, offer.documents[0])
    return offer


@case(9, "something that is no document", "named by no segment")
def _():
    return replace(honest()[2], documents=[b"junk"])


def lying_segment(change) -> Offer:
    world, vehicle = full_world()
    document, body = sealed("lie", some_windows(3))
    said = after(vehicle, "segment", change(body))
    offer = logged(said, world, vehicle)
    offer.documents.append(document)
    return offer


def misplaced_segment(windows) -> Offer:
    """The honest bundle, and after it a segment whose document is the signed one but not of the signed span."""
    world, vehicle = full_world()
    document, body = sealed("misplaced", windows)
    offer = logged(after(vehicle, "segment", body), world, vehicle)
    offer.documents.append(document)
    return offer


@case(9, "windows from before their statement's span", "before its statement's span")
def _():
    return misplaced_segment(some_windows(3, 0))


@case(9, "windows from after their statement's span", "after its statement's span")
def _():
    return misplaced_segment(some_windows(3, 900_000))


@case(9, "windows that overlap", "overlap")
def _():
    first, second = some_windows(2, 900_000)
    return misplaced_segment((first, replace(second, start_ms=900_500)))


@case(9, "a window longer than windows are said to be", "longer than its statement says")
def _():
    (only,) = some_windows(1, 15_000)
    return misplaced_segment((replace(only, duration_ms=1_001),))


@case(9, "a signed root that is not the document's", "not the ones that were signed")
def _():
    return lying_segment(lambda body: replace(body, root=digest("x")))


@case(9, "a signed count that is not the document's", "disagree on profile or counts")
def _():
    return lying_segment(lambda body: replace(body, frames=body.frames + 1))


@case(9, "a signed document that is none", "not zlib")
def _():
    world, vehicle = full_world()
    _, body = sealed("lie", some_windows(3))
    offer = logged(after(vehicle, "segment", replace(body, document=segment.digest(b"junk"))), world, vehicle)
    offer.documents.append(b"junk")
    return offer


def windows(change) -> Offer:
    _world, vehicle, offer = honest()
    offer.windows = change(offer.windows, vehicle)
    return offer


@case(9, "a window of no segment", "of no segment here")
def _():
    return windows(lambda shown, vehicle: [replace(shown[0], entry=vehicle.chain[0].entry)])


@case(9, "two windows exchanged", "out of order")
def _():
    return windows(lambda shown, vehicle: shown[::-1])


@case(9, "a window twice", "out of order")
def _():
    return windows(lambda shown, vehicle: [shown[0], shown[0]])


@case(9, "a window under another index", "another root|too short|too long")
def _():
    return windows(lambda shown, vehicle: [replace(shown[0], index=1)])


@case(9, "a window of another segment", "another root|too short|too long")
def _():
    return windows(lambda shown, vehicle: [replace(shown[0], entry=vehicle.chain[3].entry)])


@case(9, "a window with another's salt", "another root")
def _():
    return windows(lambda shown, vehicle: [replace(shown[0], salt=shown[1].salt)])


@case(9, "a window that was touched up", "another root")
def _():
    fair = window.encode(replace(some_windows(1)[0], frames=999))
    return windows(lambda shown, vehicle: [replace(shown[0], window=fair)])


@case(9, "a signed window that is no window", "not CBOR|window")
def _():
    world, vehicle = full_world()
    _, body = sealed("lie", some_windows(1))
    salt_key = SaltKey(bytes(32))
    root = window.tree(salt_key, [b"junk"]).root()
    said = after(vehicle, "segment", replace(body, root=root))
    offer = logged(said, world, vehicle)
    offer.windows = [DisclosedWindow(said.entry, 0, window.salt(salt_key, 0), b"junk", ())]
    return offer


# Step 10: completeness


@case(10, "the last statement left out", "heads name is missing")
def _():
    world, vehicle, offer = honest()
    offer.without(at(world, vehicle.chain[-1].encoded)).documents.pop()
    return offer


@case(10, "the last epoch left out", "heads name is missing")
def _():
    world, vehicle, offer = honest()
    offer.without(*(at(world, each.encoded) for each in vehicle.chain[5:])).documents.pop()
    return offer


@case(10, "all statements left out", "heads name is missing")
def _():
    world, vehicle, offer = honest()
    offer.without(*(at(world, each.encoded) for each in vehicle.chain))
    return replace(offer, documents=[], windows=[])


@case(10, "the last act left out", "act about the pack that the log's heads name is missing")
def _():
    world, vehicle = full_world()
    last = world.act(world.maker, MAKER, vehicle.uri, GatewayBind(REGISTRAR.gateway("gw-9")), vehicle.strand)
    vehicle.strand = last.entry
    world.heads()
    return world.offer(vehicle).without(at(world, last.encoded))


@case(10, "a whole chain left out", "heads name is missing")
def _():
    world, vehicle = full_world()
    second = second_gateway(world, vehicle)
    said = world.open(second)
    tips = [
        ChainTip(each.key.kid, each.chain[-1].epoch, each.chain[-1].seq, each.chain[-1].entry)
        for each in (vehicle, second)
    ]
    world.heads(**{"p-1": tips})
    assert verify(offer_of_both(world, vehicle, said).encode(), world.name).complete_size is not None
    return world.offer(vehicle)


def offer_of_both(world: World, vehicle: Vehicle, said) -> Offer:
    offer = world.offer(vehicle)
    offer.indexes = sorted([*offer.indexes, at(world, said.encoded)])
    return offer


@case(10, "heads that name no end of a chain", "name no end of the chain")
def _():
    world, vehicle = full_world()
    world.heads(**{"p-1": []})
    return world.offer(vehicle)


@case(10, "heads that misname a statement", "misname")
def _():
    world, vehicle = full_world()
    last = vehicle.chain[-1]
    world.heads(**{"p-1": [ChainTip(vehicle.key.kid, last.epoch, last.seq + 1, last.entry)]})
    return world.offer(vehicle)


@case(10, "the leaf of another pack", "act about the pack")
def _():
    world, _vehicle, offer = honest()
    other = world.vehicles[REGISTRAR.pack("p-2")]
    return replace(offer, heads=world.leaf(other, max(world.leaves)))


@case(10, "a leaf that is not in the heads", "another root")
def _():
    _world, _vehicle, offer = honest()
    touched = cbor.encode({**cbor2.loads(offer.heads.leaf), 3: []})
    return replace(offer, heads=replace(offer.heads, leaf=touched))


@case(10, "a leaf under another index", "another root|no leaf")
def _():
    offer = honest()[2]
    return replace(offer, heads=replace(offer.heads, index=1))


@case(10, "a leaf of older heads than the newest shown", "another root")
def _():
    world, vehicle = full_world()
    older = max(world.leaves)
    world.segment(vehicle, 1)
    world.heads()
    return replace(world.offer(vehicle), heads=world.leaf(vehicle, older))


@case(10, "heads without the pack's leaf", "not its pack's leaf")
def _():
    return replace(honest()[2], heads=None)


@case(10, "a leaf without the heads", "not the heads")
def _():
    offer = honest()[2]
    return offer.without(offer.indexes[-2])


@case(10, "heads that name a statement from after what they cover", "misname")
def _():
    world, vehicle = full_world()
    last = vehicle.chain[-1]
    head = PackHead(vehicle.uri, vehicle.strand, (ChainTip(vehicle.key.kid, last.epoch, last.seq, last.entry),))
    return under_heads(world, vehicle, head, at(world, last.encoded))


@case(10, "heads that name our strand under another pack", "act about the pack")
def _():
    world, vehicle = full_world()
    last = vehicle.chain[-1]
    tips = (ChainTip(vehicle.key.kid, last.epoch, last.seq, last.entry),)
    return under_heads(world, vehicle, PackHead(REGISTRAR.pack("p-9"), vehicle.strand, tips), len(world.log))


@case(10, "heads that name an act from after what they cover", "act about the pack")
def _():
    world, vehicle = full_world()
    covered = len(world.log)
    second_gateway(world, vehicle)
    last = vehicle.chain[-1]
    tips = (ChainTip(vehicle.key.kid, last.epoch, last.seq, last.entry),)
    return under_heads(world, vehicle, PackHead(vehicle.uri, vehicle.strand, tips), covered)


def under_heads(world: World, vehicle: Vehicle, head: PackHead, covered: int) -> Offer:
    """A bundle under heads that the ledger signed with this one leaf."""
    world.act(world.ledger, ORIGIN, ORIGIN, Heads(covered, merkle.leaf_hash(head.encode()), 1))
    offer = world.offer(vehicle)
    offer.indexes = sorted({*offer.indexes, len(world.log) - 1})
    return replace(offer, heads=bundle.HeadsLeaf(head.encode(), 0, ()))


@case(10, "a leaf that is none", "pack head|not CBOR")
def _():
    world, vehicle = full_world()
    root = merkle.leaf_hash(b"junk")
    world.act(world.ledger, ORIGIN, ORIGIN, Heads(1, root, 1))
    offer = world.offer(vehicle)
    offer.indexes.append(len(world.log) - 1)
    return replace(offer, heads=bundle.HeadsLeaf(b"junk", 0, ()))


@pytest.mark.parametrize("name", case.rows)
def test_a_doctored_bundle_is_rejected_at_its_step(name):
    case.check(name)


def test_every_step_has_a_bundle_that_fails_at_it():
    assert {step for step, _, _ in case.rows.values()} == {6, 7, 8, 9, 10}
