"""The gate: any bytes give a value of the profile whose one encoding they are, or FormatError."""

import math
import struct
import time
import tracemalloc

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import cbor
from evidence.errors import FormatError

integers = st.integers(-(2**64), 2**64 - 1)
leaves = st.none() | integers | st.binary(max_size=40) | st.text(max_size=20)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(integers, inner, max_size=6), max_leaves=25
)
looser = st.recursive(
    leaves | st.booleans() | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3) | integers, inner, max_size=4),
    max_leaves=12,
)


def ordered(value):
    """The value with its maps' keys in the order 0, 1, ..., -1, -2, ..."""
    if isinstance(value, list):
        return [ordered(item) for item in value]
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (key < 0, abs(key)))
        return {key: ordered(value[key]) for key in keys}
    return value


def naive(value) -> bytes:
    """RFC 8949 section 4.2.1 for the profile, written from the RFC and independent of cbor2."""
    if value is None:
        return b"\xf6"
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(naive(item) for item in value)
    pairs = sorted((naive(key), naive(item)) for key, item in value.items())
    return head(5, len(pairs)) + b"".join(key + item for key, item in pairs)


def head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes([major << 5 | argument])
    for form, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << 8 * width:
            return bytes([major << 5 | form]) + argument.to_bytes(width, "big")
    raise AssertionError(argument)


@given(values)
def test_a_value_is_encoded_as_the_rfc_says_and_read_back(value):
    encoded = cbor.encode(ordered(value))
    assert encoded == naive(value)
    assert cbor.decode(encoded) == value


@given(st.dictionaries(st.integers(0, 2**64 - 1), leaves, max_size=12))
def test_for_maps_of_unsigned_keys_cbor2s_canonical_form_agrees(value):
    assert cbor.encode(ordered(value)) == cbor2.dumps(value, canonical=True)


@given(st.binary(max_size=300))
def test_any_bytes_are_the_encoding_of_their_value_or_a_format_error(encoded):
    try:
        value = cbor.decode(encoded)
    except FormatError:
        return
    assert naive(value) == encoded


@given(looser, st.binary(max_size=3))
def test_any_cbor_is_the_encoding_of_its_value_or_a_format_error(value, tail):
    encoded = cbor2.dumps(value) + tail
    try:
        read = cbor.decode(encoded)
    except FormatError:
        return
    assert naive(read) == encoded


@given(values, st.data())
def test_a_changed_byte_changes_the_value_or_is_a_format_error(value, data):
    encoded = bytearray(naive(value))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        read = cbor.decode(bytes(encoded))
    except FormatError:
        return
    assert naive(read) == bytes(encoded) != naive(value)


ALIASES = {
    "true as a key": "a1f507",
    "1.0 as a key": "a1f93c0007",
    "true as a value": "a101f5",
    "false": "f4",
    "a half float": "f93c00",
    "a double": "fb3ff0000000000000",
    "a bignum that fits": "c24101",
    "a bignum that does not": "c249010000000000000000",
    "a negative bignum": "c34101",
    "a bignum as a key": "a1c2410107",
    "a regular expression": "d8236161",
    "a regular expression as a key": "a1d823616107",
    "a date": "c074323032362d30312d30315430303a30303a30305a",
    "an epoch time": "c101",
    "a rational": "d81e820102",
    "a decimal fraction": "c4820102",
    "a set": "d9010281 01",
    "self-described CBOR": "d9d9f701",
    "tag 18 within": "81d28440a0f640",
    "an unknown tag": "d9ffff01",
    "an array as a key": "a1810107",
    "a map as a key": "a1a0 07",
    "nil as a key": "a1f607",
    "a text as a key": "a1616107",
    "bytes as a key": "a1416107",
    "duplicate keys": "a201070107",
    "keys out of order": "a202070107",
    "negative keys before others": "a220070107",
    "negative keys out of order": "a221072007",
    "a head longer than needed": "1817" + "",
    "a head of two bytes for 24": "190018",
    "a head of eight bytes for 1": "1b0000000000000001",
    "a long head of a string": "580161",
    "a long head of an array": "980101",
    "a long head of a map": "b8010101",
    "a long head of a key": "a1180107",
    "trailing bytes": "0101",
    "an indefinite array": "9f01ff",
    "an indefinite map": "bf0101ff",
    "an indefinite string": "5f4161ff",
    "an indefinite text": "7f6161ff",
    "undefined": "f7",
    "a simple value": "e0",
    "a simple value of two bytes": "f8ff",
    "a break": "ff",
    "a reserved head": "1c",
    "invalid UTF-8": "61ff",
    "a surrogate": "63eda080",
    "nothing": "",
    "half a string": "4261",
    "half an array": "8201",
    "a string of 2^62 bytes": "5b4000000000000000",
    "an array of 2^62 items": "9b4000000000000000",
    "a map of 2^62 pairs": "bb4000000000000000",
    "a text of 2^64 bytes": "7bffffffffffffffff",
    "a shared value": "82d81c80d81d00",
    "a value within itself": "d81c81d81d00",
    "a string reference": "d9010082436161 61d81900",
}


@pytest.mark.parametrize("name", ALIASES)
def test_an_alias_or_a_malformed_item_is_refused(name):
    with pytest.raises(FormatError):
        cbor.decode(bytes.fromhex(ALIASES[name]))


@pytest.mark.parametrize("name", ["true as a key", "1.0 as a key", "a bignum as a key", "an array as a key"])
def test_an_alias_is_refused_in_a_large_value_too(name):
    filler = naive(b"x" * 5000)
    with pytest.raises(FormatError):
        cbor.decode(b"\x82" + filler + bytes.fromhex(ALIASES[name]))


@pytest.mark.parametrize("opening", ["81", "a101", "d81c81", "9f", "bf01"])
@pytest.mark.parametrize("levels", [17, 400, 20_000])
def test_deep_nesting_is_refused(opening, levels):
    with pytest.raises(FormatError):
        cbor.decode(bytes.fromhex(opening) * levels + b"\x00")


def test_nesting_to_the_stated_depth_is_read():
    assert cbor.decode(b"\x81" * cbor.MAX_DEPTH + b"\x00")


def test_more_bytes_or_items_than_allowed_are_refused():
    with pytest.raises(FormatError, match="allowed are 1 to 10"):
        cbor.decode(naive(b"x" * 10), max_bytes=10)
    with pytest.raises(FormatError, match="too many items"):
        cbor.decode(naive([0] * 11), max_items=10)
    with pytest.raises(FormatError, match="too many items"):
        cbor.decode(naive([[0] * 5, {1: 0}]), max_items=7)


@pytest.mark.parametrize(
    "value", [True, 1.0, math.nan, (1,), {"a": 1}, {True: 1}, {2: 0, 1: 0}, 2**64, "\ud800", bytearray(1)]
)
def test_our_own_encoder_refuses_what_the_gate_refuses(value):
    with pytest.raises(FormatError):
        cbor.encode(value)


def test_integers_reach_to_64_bits_and_no_further():
    for edge in (2**64 - 1, -(2**64), 0, -1, 23, 24, 255, 256, 65535, 65536):
        assert cbor.decode(naive(edge)) == edge


def test_shared_references_cannot_make_60_kilobytes_stand_for_300_megabytes():
    long = naive(b"a" * 30_000)
    bombs = (
        b"\xd9\x01\x00\x99\x27\x11" + long + b"\xd8\x19\x00" * 10_000,
        b"\x99\x27\x11\xd8\x1c" + long + b"\xd8\x1d\x00" * 10_000,
        b"\x99\x02\x8b\xd8\x1c" + naive(b"a" * 2000) + b"\xd8\x1d\x00" * 650,
    )
    for bomb in bombs:
        tracemalloc.start()
        with pytest.raises(FormatError):
            cbor.decode(bomb)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 300_000


def test_keys_that_all_hash_alike_are_refused_before_a_dict_is_made_of_them():
    count = 20_000
    step = 2**61 - 1  # CPython hashes integers modulo this prime
    keys = b"".join(b"\xc2\x50" + (step * number * 8).to_bytes(16, "big") + b"\x00" for number in range(count))
    before = time.process_time()
    with pytest.raises(FormatError):
        cbor.decode(b"\xba" + struct.pack(">I", count) + keys, max_bytes=2**20)
    assert time.process_time() - before < 0.5


def test_a_large_map_of_our_own_keys_is_refused_too():
    with pytest.raises(FormatError, match="more than 64 keys"):
        cbor.decode(naive(dict.fromkeys(range(65), b"x" * 100)), max_bytes=2**20)


@given(st.lists(values, min_size=1, max_size=4))
def test_large_values_are_read_as_small_ones_are(parts):
    value = [b"x" * 5000, *parts]
    assert cbor.decode(naive(value)) == value


@given(st.binary(max_size=60))
def test_any_bytes_after_a_large_string_are_a_value_or_a_format_error(tail):
    encoded = b"\x82" + naive(b"x" * 5000) + tail
    try:
        value = cbor.decode(encoded)
    except FormatError:
        return
    assert naive(value) == encoded
