"""What an honest bundle proves, and as of where."""

from dataclasses import replace

import pytest

from evidence import heads
from evidence.acts import GatewayBind, Heads
from evidence.bodies import Close
from evidence.verdict import Rejected
from evidence.verify import verify
from packseal.verify import as_text
from tests.bundle_cases import at, bare, honest
from tests.evidence_world import MAKER, ORIGIN, REGISTRAR, full_world, some_windows


@pytest.mark.parametrize("name", ["honest", "no documents", "no windows", "no heads", "no times", "no statements"])
def test_an_honest_bundle_verifies_whatever_it_leaves_out_that_it_may(name):
    world, vehicle, offer = honest()
    if name == "no documents":
        offer.documents = []
    if name == "no windows":
        offer.windows = []
    if name == "no heads":
        offer.without(offer.indexes[-2]).heads = None
    if name == "no times":
        offer.without(*[each for each in offer.indexes if b"packseal.time" in world.log[each]])
    if name == "no statements":
        world, vehicle = bare()
        offer = world.offer(vehicle)
    verdict = verify(offer.encode(), world.name, [vehicle.key.public])
    assert verdict.pack == vehicle.uri
    assert verdict.titleholder == MAKER
    assert verdict.size == len(world.log)
    assert [each.statement for each in verdict.statements] == vehicle.chain


def test_the_verdict_says_what_is_proven_by_which_keys_and_as_of_where():
    world, vehicle, offer = honest()
    verdict = verify(offer.encode(), world.name)
    covered = max(world.leaves)
    assert (verdict.complete_size, verdict.complete_time_ms) == (covered, world.clock_ms - 60_000)
    assert verdict.heard_time_ms == world.clock_ms - 120_000
    assert not verdict.pinned
    assert [each.speaks_for for each in verdict.keys] == [
        ORIGIN,
        f"root key of {ORIGIN}",
        MAKER,
        f"{vehicle.uri} at {vehicle.gateway}",
    ]
    assert (verdict.keys[3].bound_by, verdict.keys[3].public) == (MAKER, vehicle.key.public)
    assert verdict.windows[0].window == some_windows(3, 10_000)[0]
    assert verdict.window_count == 9
    assert verdict.frames == sum(each.frames for count in (3, 5, 1) for each in some_windows(count))
    assert [each.document is not None for each in verdict.statements].count(True) == 3


def test_without_heads_completeness_is_unknown():
    world, _vehicle, offer = honest()
    heads_at = offer.indexes[-2]
    offer.heads = None
    verdict = verify(offer.without(heads_at).encode(), world.name)
    assert (verdict.complete_size, verdict.complete_time_ms) == (None, None)


def test_the_time_of_completeness_is_that_of_the_covered_size_not_of_the_heads():
    world, vehicle = full_world()
    covered = world.heads()
    time_then = world.clock_ms
    world.time()
    world.time()
    tree, ordered = world.leaves[covered], world.leaves[covered]
    late = world.act(world.ledger, ORIGIN, ORIGIN, Heads(covered, world_root(tree), len(ordered)))
    verdict = verify(world.offer(vehicle).encode(), world.name)
    assert at(world, late.encoded) > covered + 2
    assert (verdict.complete_size, verdict.complete_time_ms) == (covered, time_then)


def world_root(leaves):
    return heads.tree(leaves)[0].root()


def test_a_complete_bundle_may_tell_more_than_the_heads_cover():
    world, vehicle = full_world()
    covered = max(world.leaves)
    world.segment(vehicle, 2)
    world.act(world.maker, MAKER, vehicle.uri, GatewayBind(REGISTRAR.gateway("gw-9")), vehicle.strand)
    verdict = verify(world.offer(vehicle).encode(), world.name)
    assert verdict.complete_size == covered
    assert len(verdict.statements) == len(vehicle.chain)


def test_what_is_not_bytes_is_rejected_like_any_other_form():
    for wrong in (None, "text", bytearray(b"\xa0"), 7):
        with pytest.raises(Rejected):
            verify(wrong, full_world()[0].name)


def test_a_closed_chain_counts_for_completeness_too():
    world, vehicle = full_world()
    world.say(vehicle, "close", Close(1))
    covered = world.heads()
    assert verify(world.offer(vehicle).encode(), world.name).complete_size == covered


def test_a_hole_in_the_log_shows_as_a_count_of_loose_statements():
    world, vehicle = full_world("loose")
    leaves = [replace(leaf, loose=7) if leaf.pack == vehicle.uri else leaf for leaf in world.leaves[max(world.leaves)]]
    tree, ordered = heads.tree(leaves)
    covered = len(world.log)
    world.act(world.ledger, ORIGIN, ORIGIN, Heads(covered, tree.root(), len(ordered)))
    world.leaves[covered] = ordered
    verdict = verify(world.offer(vehicle).encode(), world.name)
    assert (verdict.complete_size, verdict.loose) == (covered, 7)
    assert "NO: 7 later statements" in as_text(verdict)
