"""Where chains stand after statements in any order: against a naive reading of the same links."""

from __future__ import annotations

import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import chain
from evidence.errors import ChainError
from evidence.merkle import Digest
from ledger.chains import Chains, follows, whole_chain
from ledger.rows import Link, link_of_statement
from tests.ledger_world import PROFILE, Gateway


def world_chain():
    gateway = Gateway()
    said = [gateway.open(), gateway.segment(), gateway.close(), gateway.open(), gateway.segment(), gateway.open()]
    return said, [link_of_statement(at, each) for at, each in enumerate(said)]


def replay(links):
    known: dict[Digest, Link] = {}
    chains = Chains(known.get)
    for at, link in enumerate(links):
        placed = link._replace(at=at)
        known[link.entry] = placed
        chains.add(placed)
    return chains


@pytest.mark.parametrize("order", list(itertools.permutations(range(6)))[::7])
def test_the_end_of_a_chain_does_not_depend_on_the_order_of_arrival(order):
    _, links = world_chain()
    chains = replay([links[place] for place in order])
    assert [tip.entry for _, tip in chains.tips()] == [links[-1].entry]
    assert chains.loose() == 0


@pytest.mark.parametrize("missing", range(6))
def test_a_missing_statement_keeps_everything_after_it_loose(missing):
    _, links = world_chain()
    chains = replay([link for place, link in enumerate(links) if place != missing])
    assert [tip.entry for _, tip in chains.tips()] == ([links[missing - 1].entry] if missing else [])
    assert chains.loose() == 5 - missing


def test_a_fork_has_two_ends():
    _, links = world_chain()
    other = links[3]._replace(entry=Digest(hashlib.sha256(b"other").digest()), epoch=77)
    assert len(list(replay([*links, other]).tips())) == 2
    assert whole_chain([*links, other]) == (links[:3], links[2].entry)


def test_two_first_opens_are_a_fork_at_the_start():
    _, links = world_chain()
    other = links[0]._replace(entry=Digest(hashlib.sha256(b"other").digest()), epoch=77)
    assert len(list(replay([*links, other]).tips())) == 2
    assert whole_chain([*links, other])[0] == []


def test_a_place_is_taken_whether_or_not_its_predecessors_are_there():
    _, links = world_chain()
    chains = replay([links[1]])
    kid, epoch = links[1].kid, links[1].epoch
    assert [chains.occupied(kid, epoch, seq) for seq in range(3)] == [False, True, False]
    assert not chains.occupied(kid, epoch + 99, 0)


def test_a_statement_that_names_another_keys_statement_stays_loose():
    _, links = world_chain()
    foreign = links[1]._replace(kid=b"8 bytes!", entry=Digest(bytes(32)))
    chains = replay([links[0], foreign])
    assert chains.loose() == 1
    assert [tip.entry for _, tip in chains.tips()] == [links[0].entry]


@pytest.mark.parametrize("order", list(itertools.permutations(range(6)))[::7])
def test_a_segment_of_another_profile_than_its_epochs_open_ends_the_chain_before_it(order):
    _, links = world_chain()
    links[4] = links[4]._replace(profile=Digest(bytes(32)))
    chains = replay([links[place] for place in order])
    assert [tip.entry for _, tip in chains.tips()] == [links[3].entry]
    assert (chains.loose(), chains.loose(links[0].kid), chains.loose(b"8 bytes!")) == (2, 2, 0)
    assert whole_chain(links) == (links[:4], None)


def test_every_epochs_segments_are_of_its_own_opens_profile():
    _, links = world_chain()
    links[3], links[4] = (each._replace(profile=Digest(bytes(32))) for each in links[3:5])
    assert whole_chain(links) == (links, None)
    assert replay(links).loose() == 0
    other = links[4]._replace(entry=Digest(hashlib.sha256(b"other").digest()), profile=links[1].profile)
    assert len(list(replay([*links, other]).tips())) == 1


@given(first=st.integers(0, 5), second=st.integers(-1, 5), changed=st.sampled_from(["none", "seq", "epoch", "kind"]))
def test_what_may_follow_is_what_the_verifier_lets_follow(first, second, changed):
    said, links = world_chain()
    gateway = Gateway(epoch=said[first].epoch, seq=said[first].seq, prev=said[second].entry if second >= 0 else None)
    shifted = {"seq": {"seq": gateway.seq + 1}, "epoch": {"epoch": gateway.epoch + 9}}.get(changed, {})
    kind = "close" if changed == "kind" else said[first].kind
    body = gateway.close().body if kind == "close" else said[first].body
    offered = Gateway().sign(kind, body, **{"epoch": gateway.epoch, "seq": said[first].seq, **shifted, "prev": (
        said[second].entry if second >= 0 else None
    )})  # fmt: skip
    before = said[second] if second >= 0 else None
    try:
        chain.check_link(before, offered)
        allowed = True
    except ChainError:
        allowed = False
    placed = link_of_statement(9, offered)
    assert follows(links[second] if second >= 0 else None, placed, PROFILE) == allowed
