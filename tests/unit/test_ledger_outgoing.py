"""Answers that wait for the broker: who goes first, and what a flood of refusals may not do."""

from __future__ import annotations

import pytest

from ledger import outgoing as module
from ledger.outgoing import Answer, Outgoing
from link.topics import Leaf


def refusal(number: int, topic: str = "packseal/v1/gw/gw-1/pack/pack-1/refusal") -> Answer:
    return Answer(Leaf.REFUSAL, topic, b"%d" % number)


def drain(waiting: Outgoing) -> list[bytes]:
    sent = []
    while (answer := waiting.first()) is not None:
        waiting.sent()
        sent.append(answer.payload)
    return sent


def test_proofs_and_receipts_go_before_refusals_each_in_order():
    waiting = Outgoing(lambda: 0.0)
    for number, leaf in enumerate([Leaf.REFUSAL, Leaf.PROOF, Leaf.REFUSAL, Leaf.STORED, Leaf.PROOF]):
        waiting.put(Answer(leaf, "topic", b"%d" % number))
    assert drain(waiting) == [b"1", b"3", b"4", b"0", b"2"]


def test_what_a_broken_connection_did_not_deliver_goes_first_again():
    waiting = Outgoing(lambda: 0.0)
    waiting.put(Answer(Leaf.PROOF, "topic", b"2"))
    waiting.put(refusal(4))
    waiting.put_back([Answer(Leaf.PROOF, "topic", b"0"), refusal(3), Answer(Leaf.PROOF, "topic", b"1")])
    assert drain(waiting) == [b"0", b"1", b"2", b"3", b"4"]


def test_refusals_of_one_gateway_and_pack_are_so_many_a_second_and_others_have_their_own():
    now = [0.0]
    waiting = Outgoing(lambda: now[0])
    for number in range(module.REFUSALS_A_SECOND + 7):
        waiting.put(refusal(number))
    waiting.put(refusal(1000, "packseal/v1/gw/gw-1/pack/pack-2/refusal"))
    assert waiting.dropped == 7
    assert len(drain(waiting)) == module.REFUSALS_A_SECOND + 1
    now[0] += 1
    waiting.put(refusal(0))
    assert (len(drain(waiting)), waiting.dropped) == (1, 7)


@pytest.mark.parametrize(("leaf", "limit"), [(Leaf.REFUSAL, module.WAITING_REFUSALS), (Leaf.PROOF, module.WAITING)])
def test_what_waits_is_bounded_and_the_oldest_is_dropped(leaf, limit):
    waiting = Outgoing(lambda: 0.0)
    for number in range(limit + 3):
        waiting.put(Answer(leaf, f"topic {number}", b"%d" % number))
    assert waiting.dropped == 3
    assert waiting.first().payload == b"3"
    assert len(drain(waiting)) == limit
