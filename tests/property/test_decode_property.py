"""The decoder against cantools, on messages that hypothesis makes up."""

from itertools import pairwise

import cantools.database
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.decode import Decoder
from agent.frames import FD, Frames
from tests.profiles import DBC_HEAD, made_profile, signal


@st.composite
def bits(draw, first_byte, end_byte):
    """Position, order and sign of a signal within these bytes; longer ones than 62 bits are refused at compiling."""
    size = 8 * (end_byte - first_byte)
    length = draw(st.integers(1, min(62, size)))
    signed = draw(st.booleans())
    first = 8 * first_byte + draw(st.integers(0, size - length))
    big = draw(st.booleans())
    start = 8 * (first // 8) + 7 - first % 8 if big else first
    return f"{start}|{length}@{0 if big else 1}{'-' if signed else '+'}"


@st.composite
def messages(draw):
    """(DBC text, size, page or None of each signal, muxed). Signals that share bytes are on different pages: cantools
    decodes overlapping ones at wrong places."""
    size = draw(st.sampled_from([1, 2, 4, 8, 8, 8, 12, 64]))
    muxed = draw(st.booleans()) and size > 1
    edges = {1 if muxed else 0, size} | draw(st.sets(st.integers(1, size), max_size=5))
    lines, pages = [], {}
    if muxed:
        lines.append(' SG_ Page M : 0|8@1+ (1,0) [0|0] "" BMS')
    for first, end in pairwise(sorted(edges)):
        for page in sorted(draw(st.sets(st.integers(0, 3), max_size=3))) if muxed and draw(st.booleans()) else [None]:
            name = f"S{len(pages)}"
            pages[name] = page
            kind = "" if page is None else f"m{page} "
            lines.append(f' SG_ {name} {kind}: {draw(bits(first, end))} (1,0) [0|0] "" BMS')
    assume(pages)
    return f"BO_ 291 Made: {size} BMS\n" + "\n".join(lines) + "\n", size, pages, muxed


@settings(max_examples=150)
@given(messages(), st.data())
def test_every_raw_value_equals_cantools(message, data):
    text, size, pages, muxed = message
    profile = made_profile(text, "".join(signal(name, "Made", name) for name in pages))
    oracle = cantools.database.load_string(DBC_HEAD + text, "dbc", strict=False)
    payloads = data.draw(st.lists(st.binary(min_size=0, max_size=size), min_size=1, max_size=12))
    # cantools wants to know every selector value that comes; ours gives nothing for those that it does not know.
    known = sorted({page for page in pages.values() if page is not None})
    if muxed:
        payloads = [bytes([known[p[0] % len(known)]]) + p[1:] if known and p else p for p in payloads]
    frames = Frames.from_rows([(n, 0x123, FD if len(p) > 8 else 0, p) for n, p in enumerate(payloads)])
    decoder = Decoder(profile)
    for samples in (decoder.decode(frames), decoder.decode_raw(frames)):
        ours = [{} for _ in payloads]
        for index, column in samples.columns.items():
            for row, value in zip(column.rows.tolist(), column.values.tolist(), strict=True):
                ours[row][profile.signals[index].name] = value
        for payload, values in zip(payloads, ours, strict=True):
            if muxed and not payload:
                assert values == {}  # without its selector a frame says nothing; cantools refuses it
                continue
            theirs = oracle.decode_message(0x123, payload, decode_choices=False, scaling=False, allow_truncated=True)
            theirs.pop("Page", None)
            assert values == theirs


@given(st.lists(st.tuples(st.integers(0, 0x7FF), st.integers(0, 15), st.binary(max_size=64)), max_size=30))
def test_any_frames_are_decoded_or_counted(rows):
    profile = made_profile(
        'BO_ 5 A: 8 BMS\n SG_ X : 0|16@1+ (1,0) [0|0] "" BMS\n\nBO_ 6 B: 64 BMS\n SG_ Y : 400|16@0- (1,0) [0|0] "" BMS\n',
        signal("X", "A", "X") + signal("Y", "B", "Y"),
    )
    frames = Frames.from_rows([(n, number % 8, flags, payload) for n, (number, flags, payload) in enumerate(rows)])
    samples = Decoder(profile).decode(frames)
    taken = sum(len(column.rows) for column in samples.columns.values())
    assert taken + samples.short + samples.unmapped == len(frames)
