"""What waits in an inbox is bounded by count and by bytes, whoever reads it."""

from __future__ import annotations

import queue

from link import unread
from link.unread import Unread


def test_bytes_that_nobody_reads_are_bounded():
    inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
    waiting = Unread(inbox)
    for _ in range(unread.BYTES // (1 << 20)):
        assert waiting.has_room(1 << 20)
        waiting.put("message", 1 << 20)
    assert not waiting.has_room(1)
    assert waiting.has_room(0)
    inbox.get_nowait()
    assert waiting.has_room(1 << 20)
    assert not waiting.has_room((1 << 20) + 1)


def test_events_that_nobody_reads_are_bounded():
    inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
    waiting = Unread(inbox)
    for _ in range(unread.EVENTS):
        assert waiting.has_room(1)
        waiting.put("message", 1)
    assert not waiting.has_room(1)
    inbox.get_nowait()
    assert waiting.has_room(1)


def test_others_events_in_the_same_inbox_make_it_err_towards_unread_until_it_is_empty():
    inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
    waiting = Unread(inbox)
    waiting.put("message", unread.BYTES)
    inbox.get_nowait()
    inbox.put("another's")
    assert not waiting.has_room(1)
    inbox.get_nowait()
    assert waiting.has_room(1)
