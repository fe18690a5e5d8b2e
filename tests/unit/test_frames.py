import hashlib

import numpy as np

from agent.frames import ERROR, EXTENDED, FD, REMOTE, Frames, digest_update

ROWS = [
    (10, 0x123, 0, b"\x01\x02\x03"),
    (20, 0x1FFFFFFF, EXTENDED, b"\xff" * 8),
    (30, 0x7FF, REMOTE, b""),
    (40, 0x10, ERROR, b"\x00" * 8),
]
LONG = (50, 0x456, FD, bytes(range(64)))


def digest(*batches):
    hasher = hashlib.sha256()
    for batch in batches:
        digest_update(hasher, batch)
    return hasher.hexdigest()


def naive_digest(rows):
    hasher = hashlib.sha256()
    for _, number, flags, payload in rows:
        hasher.update(number.to_bytes(4, "big") + bytes([flags, len(payload)]) + payload)
    return hasher.hexdigest()


def test_rows_become_columns_with_zeros_behind_short_payloads():
    frames = Frames.from_rows(ROWS)
    assert len(frames) == 4
    assert frames.time_us.tolist() == [10, 20, 30, 40]
    assert frames.ids.tolist() == [0x123, 0x1FFFFFFF, 0x7FF, 0x10]
    assert frames.flags.tolist() == [0, EXTENDED, REMOTE, ERROR]
    assert frames.lengths.tolist() == [3, 8, 0, 8]
    assert frames.payload.shape == (4, 8)
    assert frames.payload[0].tolist() == [1, 2, 3, 0, 0, 0, 0, 0]


def test_one_long_frame_widens_the_payload_of_all():
    frames = Frames.from_rows([*ROWS, LONG])
    assert frames.payload.shape == (5, 64)
    assert bytes(frames.payload[4]) == bytes(range(64))


def test_no_frames_are_frames_too():
    assert len(Frames.empty()) == 0
    assert len(Frames.from_rows([])) == 0
    assert len(Frames.concat([])) == 0
    assert digest(Frames.empty()) == hashlib.sha256().hexdigest()


def test_frames_are_cut_by_slices_masks_and_positions():
    frames = Frames.from_rows(ROWS)
    assert frames[1:3].ids.tolist() == [0x1FFFFFFF, 0x7FF]
    assert frames[frames.flags == 0].ids.tolist() == [0x123]
    assert frames[np.array([3, 0])].time_us.tolist() == [40, 10]


def test_batches_of_different_widths_join():
    joined = Frames.concat([Frames.from_rows(ROWS), Frames.from_rows([LONG])])
    assert joined.payload.shape == (5, 64)
    assert digest(joined) == naive_digest([*ROWS, LONG])


def test_the_digest_is_that_of_the_frames_one_by_one():
    assert digest(Frames.from_rows(ROWS)) == naive_digest(ROWS)
    full = [(0, n, 0, bytes([n] * 8)) for n in range(100)]
    assert digest(Frames.from_rows(full)) == naive_digest(full)


def test_the_digest_does_not_depend_on_batches_or_times():
    frames = Frames.from_rows([*ROWS, LONG])
    later = Frames.from_rows([(time + 7, *rest) for time, *rest in [*ROWS, LONG]])
    assert digest(frames) == digest(frames[:1], frames[1:4], frames[4:]) == digest(later)


def test_the_digest_tells_frames_apart_that_differ_in_a_flag_alone():
    # 29 bits of identifier and four flags do not fit one 32-bit word; the flags have a byte of their own.
    digests = {digest(Frames.from_rows([(0, 0x10000000, flags, b"")])) for flags in range(16)}
    digests.add(digest(Frames.from_rows([(0, 0, EXTENDED | ERROR, b"")])))
    assert len(digests) == 17
