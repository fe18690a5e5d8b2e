"""The key order of RFC 8949 section 4.2.1, as the published example has it and as cbor2's `canonical` does not."""

import json

import cbor2
import pytest

from evidence import cbor
from evidence.errors import FormatError
from tests.shared import shared


def probe():
    return json.loads(shared("vectors/cbor/cbor-key-order-probe.json").read_text())


def test_our_order_of_integer_keys_is_that_of_the_published_example():
    published = [bytes.fromhex(encoded) for encoded in probe()["sorted_key_encodings_hex"]]
    keys = [cbor2.loads(encoded) for encoded in published]
    integers = [key for key in keys if type(key) is int]
    encoded = cbor.encode(dict.fromkeys(integers))
    assert list(cbor2.loads(encoded)) == integers == [10, 100, -1]


def test_the_length_first_order_of_cbor2s_canonical_form_is_refused():
    lengths_first = cbor2.dumps({10: 1, 100: 5, -1: 3}, canonical=True)
    assert list(cbor2.loads(lengths_first)) == [10, -1, 100]
    with pytest.raises(FormatError, match="not strictly ascending"):
        cbor.decode(lengths_first)


def test_both_encodings_of_the_mixed_map_are_refused_for_their_keys():
    vector = probe()
    for name in ("rfc8949_4_2_1_hex", "cbor2_canonical_true_hex_5.9.0_and_6.3.0"):
        with pytest.raises(FormatError, match="not an integer"):
            cbor.decode(bytes.fromhex(vector[name]))
