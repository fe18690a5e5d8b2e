"""Presence: which of two states is the newer, and what is no state at all."""

import itertools
import json

import pytest

from link import presence
from link.errors import PresenceError
from link.presence import Presence


def test_births_decide_and_within_one_birth_the_end_comes_after_the_start():
    ordered = [Presence("online", 1), Presence("lost", 1), Presence("online", 2), Presence("offline", 2)]
    for (a, old), (b, new) in itertools.product(enumerate(ordered), repeat=2):
        assert new.supersedes(old) == (b >= a)
    assert ordered[0].supersedes(None)


def test_a_late_will_of_an_earlier_birth_changes_nothing_in_any_order():
    states = [Presence("online", 1), Presence("lost", 1), Presence("online", 2)]
    for order in itertools.permutations(states):
        known = None
        for state in order:
            known = state if state.supersedes(known) else known
        assert known == Presence("online", 2)


def test_a_state_is_one_line_of_json_that_may_carry_more():
    payload = Presence("online", 7).payload(version="0.1.0", packs=2)
    assert json.loads(payload) == {"state": "online", "birth": 7, "version": "0.1.0", "packs": 2}
    assert b"\n" not in payload
    assert presence.parse(payload) == Presence("online", 7)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b'"online"',
        b"{}",
        b'{"state":"online"}',
        b'{"birth":1}',
        b'{"state":"asleep","birth":1}',
        b'{"state":["online"],"birth":1}',
        b'{"state":"online","birth":true}',
        b'{"state":"online","birth":1.0}',
        b'{"state":"online","birth":-1}',
        b'{"state":"online","birth":"1"}',
        b'{"state":"online","birth":9007199254740992}',
        b'{"state":"online","birth":' + b"1" * 5000 + b"}",
        b"\xff\xfe",
        b"[" * 16000,
        b" " * 20000,
    ],
)
def test_anything_else_is_a_presence_error(payload):
    with pytest.raises(PresenceError):
        presence.parse(payload)
