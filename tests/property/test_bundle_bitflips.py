"""No part of a bundle is free: flipped bits, cut ends, and parts of two good bundles put together are all rejected."""

import itertools
import random

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import cbor, sign1
from evidence.errors import FormatError
from evidence.merkle import Digest
from evidence.verdict import Rejected
from evidence.verify import verify
from tests.doctoring import anything, doctored, ordered
from tests.evidence_world import Offer, Vehicle, World, disclosed, full_world, small_world

ALL_PARTS = {2: "pack", 3: "messages", 4: "checkpoint", 5: "heads leaf", 6: "documents", 7: "windows"}


def small_bundle() -> tuple[bytes, World]:
    """One statement of each of the needed kinds, a document, a disclosed window and the heads leaf."""
    world, vehicle = small_world("flips")
    offer = with_window(world.offer(vehicle), vehicle)
    offer.without(*[at for at in offer.indexes if b"packseal.time" in world.log[at]])
    return offer.encode(), world


def with_window(offer: Offer, vehicle: Vehicle) -> Offer:
    said = vehicle.chain[1]
    offer.windows = [disclosed(said, vehicle.documents[said.entry], 1)]
    return offer


def step_that_rejects(encoded: bytes, world: World) -> int:
    """The step at which it is rejected; 0 if it is not."""
    try:
        verify(encoded, world.name)
    except Rejected as rejected:
        return rejected.step
    return 0


def flipped(encoded: bytes, bits) -> dict[int, list[int]]:
    """Steps of rejection, with the bits whose flip is rejected there; 0 holds the bits that changed nothing."""
    _, world = small_bundle()
    assert step_that_rejects(encoded, world) == 0
    steps: dict[int, list[int]] = {}
    changed = bytearray(encoded)
    for bit in bits:
        changed[bit // 8] ^= 1 << bit % 8
        steps.setdefault(step_that_rejects(bytes(changed), world), []).append(bit)
        changed[bit // 8] ^= 1 << bit % 8
    return steps


def test_a_flipped_bit_in_every_third_byte_is_rejected():
    encoded, _ = small_bundle()
    chance = random.Random(20_260_101)
    steps = flipped(encoded, [8 * at + chance.randrange(8) for at in range(0, len(encoded), 3)])
    assert steps.get(0, []) == []
    assert {1, 2, 3, 9, 10} <= steps.keys()


@pytest.mark.soak
def test_every_single_flipped_bit_is_rejected():
    encoded, _ = small_bundle()
    assert flipped(encoded, range(8 * len(encoded))).get(0, []) == []


def test_a_bundle_that_is_truncated_at_any_byte_is_rejected_by_its_form():
    encoded, world = small_bundle()
    assert {step_that_rejects(encoded[:length], world) for length in range(len(encoded))} == {1}


def test_a_bundle_with_anything_after_it_is_rejected():
    encoded, world = small_bundle()
    assert {step_that_rejects(encoded + tail, world) for tail in (b"\0", b"\xf6", b"\n", encoded)} == {1}


def mixed(one: bytes, other: bytes, world: World, names: dict[int, str]) -> list[str]:
    """The exchanges of parts between two good bundles that are not rejected."""
    first, second = cbor2.loads(one), cbor2.loads(other)
    assert step_that_rejects(one, world) == 0
    differing = [part for part in names if first[part] != second[part]]
    assert differing == list(names)
    accepted = []
    for count in range(1, len(differing)):
        for taken in itertools.combinations(differing, count):
            mixture = {**first, **{part: second[part] for part in taken}}
            if step_that_rejects(cbor.encode(mixture), world) == 0:
                accepted.append(" and ".join(names[part] for part in taken))
    return accepted


def bundle_of(world: World, vehicle: Vehicle) -> bytes:
    return with_window(world.offer(vehicle), vehicle).encode()


def test_the_parts_of_two_ledgers_bundles_do_not_mix():
    one, other = (full_world(label) for label in ("one", "other"))
    names = {part: name for part, name in ALL_PARTS.items() if name != "pack"}
    assert mixed(bundle_of(*one), bundle_of(*other), one[0], names) == []


def test_the_parts_of_two_packs_bundles_do_not_mix():
    world, vehicle = full_world()
    second = next(each for each in world.vehicles.values() if each is not vehicle)
    names = {part: name for part, name in ALL_PARTS.items() if name != "checkpoint"}
    assert mixed(bundle_of(world, vehicle), bundle_of(world, second), world, names) == []


def test_the_parts_of_one_packs_earlier_and_later_bundles_mix_only_where_documents_are_left_out():
    world, vehicle = full_world()
    earlier = world.offer(vehicle).encode()
    world.segment(vehicle, 2)
    world.heads()
    later = world.offer(vehicle).encode()
    names = {part: name for part, name in ALL_PARTS.items() if name not in ("pack", "windows")}
    documents_left_out = ["documents"]
    assert mixed(later, earlier, world, names) == documents_left_out
    assert mixed(earlier, later, world, names) == ["messages and checkpoint and heads leaf"]


def test_a_message_and_its_receipt_do_not_part():
    world, vehicle = full_world()
    parts = cbor2.loads(world.offer(vehicle).encode())
    messages = [sign1.parse(message) for message in parts[3]]
    for at, (one, other) in enumerate(itertools.pairwise(messages)):
        swapped = sign1.Sign1(one.protected, one.header, other.unprotected, one.payload, one.signature).encode()
        mixture = {**parts, 3: [*parts[3][:at], swapped, *parts[3][at + 1 :]]}
        assert step_that_rejects(cbor.encode(mixture), world) == 3


SMALL, SMALL_WORLD = small_bundle()


@given(st.data())
def test_a_bundle_with_anything_else_in_it_is_rejected(data):
    value = ordered(doctored(cbor2.loads(SMALL), data))
    encoded = cbor.encode(value)
    allowed = {**cbor2.loads(SMALL)}
    if isinstance(value, dict):
        allowed |= {part: value[part] for part in (6, 7) if value.get(part) == []}  # both may be left out
    assert step_that_rejects(encoded, SMALL_WORLD) or value == allowed


@given(st.data())
def test_whatever_a_bound_key_signs_is_a_verdict_or_a_rejection(data):
    world, vehicle = small_world("signs anything")
    said = vehicle.chain[data.draw(st.integers(0, 1))]
    header, payload = said.message.header, cbor.decode(said.message.payload)
    if data.draw(st.booleans()):
        payload = ordered(doctored(payload, data))
    else:
        header = ordered(doctored(header, data))
    protected, content = cbor.encode(header), cbor.encode(payload)
    signature = vehicle.key.sign(sign1.to_be_signed(protected, content))
    world.append(cbor.encode_sign1([protected, {}, content, signature]))
    judged(world, vehicle)


@given(st.data())
def test_whatever_the_ledger_and_the_maker_sign_is_a_verdict_or_a_rejection(data):
    world, vehicle = small_world("signs anything")
    signer = {b"policy": world.ledger, b"party": world.root}
    at = data.draw(st.integers(0, len(world.log) - 1))
    message = sign1.parse(world.log[at])
    payload = ordered(doctored(cbor.decode(message.payload), data))
    kind = message.header[3].removeprefix("application/vnd.packseal.").removesuffix(".v1+cbor").encode()
    by = signer.get(kind, world.ledger if kind in (b"time", b"heads") else world.maker)
    world.append(sign1.sign(by, message.header, cbor.encode(payload)).encode())
    judged(world, vehicle)


def judged(world: World, vehicle: Vehicle) -> None:
    """Verify the bundle that ends in the last message of the log."""
    offer = world.offer(vehicle)
    offer.indexes = sorted({*offer.indexes, len(world.log) - 1})
    try:
        encoded = offer.encode()
    except FormatError:  # the fixture itself gives no receipt to what is no message
        return
    step_that_rejects(encoded, world)


@given(anything)
def test_any_value_at_all_is_rejected(value):
    assert step_that_rejects(cbor.encode(ordered(value)), SMALL_WORLD) == 1


@given(st.binary(max_size=400))
def test_any_bytes_at_all_are_rejected(encoded):
    assert step_that_rejects(encoded, SMALL_WORLD) == 1


def test_pins_are_compared_by_the_whole_key():
    world, vehicle = full_world()
    encoded = world.offer(vehicle).encode()
    near = bytearray(vehicle.key.public)
    near[31] ^= 1
    assert verify(encoded, world.name, [vehicle.key.public]).pinned
    with pytest.raises(Rejected):
        verify(encoded, world.name, [Digest(bytes(near))])
