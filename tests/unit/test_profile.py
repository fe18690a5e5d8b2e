import hashlib

import pytest

from agent.errors import ConfigError
from agent.profile import MAX_SELECTOR_BITS, Bits, Field, Message, Profile, Signal, check
from evidence import cbor

BITS = Bits(0, 16, False, False)
FIELD = Field(0, 0, None, BITS, 10, -5, None, "Source")
MESSAGE = Message(0x123, False, "Status", 8, None, (FIELD,))
PROFILE = Profile("made", "A title", "none", (Signal("Voltage", "mV", "scalar", 1),), (MESSAGE,))


def changed(**values):
    parts = {"message": MESSAGE, "field": FIELD, "signals": PROFILE.signals, **values}
    message = parts["message"]
    fields = (parts["field"],) if message.fields == (FIELD,) else message.fields
    message = Message(message.id, message.extended, message.name, message.length, message.selector, fields)
    return Profile("made", "A title", "none", parts["signals"], (message,))


def test_tables_read_back_to_the_profile_and_their_digest_is_the_schemas():
    again = Profile.from_bytes(PROFILE.to_bytes())
    assert again == PROFILE
    assert again.digest == hashlib.sha256(PROFILE.schema).digest()


def test_the_schema_tells_a_stranger_where_every_bit_lies():
    schema = cbor.decode(PROFILE.schema)
    assert schema == {
        1: 1,
        2: "made",
        3: "A title",
        4: "none",
        5: [["Voltage", "mV", 0, 1]],
        6: [[0x123, 0, "Status", 8, None, [[0, 0, None, 0, 16, 0, 0, 10, -5, None, "Source"]]]],
    }


def test_tables_cut_anywhere_or_with_any_byte_changed_are_the_same_or_refused():
    tables = PROFILE.to_bytes()
    for length in range(len(tables)):
        with pytest.raises(ConfigError, match="damaged"):
            Profile.from_bytes(tables[:length])
    for position in range(len(tables)):
        damaged = bytearray(tables)
        damaged[position] ^= 0x15
        try:
            read = Profile.from_bytes(bytes(damaged))
        except ConfigError:
            continue
        assert read != PROFILE


@pytest.mark.parametrize(
    "profile",
    [
        changed(signals=()),
        changed(signals=(Signal("x" * 130, "Wh", "counter", 1),)),
        changed(signals=(Signal("a\x1b[2J", "Wh", "counter", 1),)),
        changed(signals=(Signal("Voltage", "mV", "scalar", 2),)),
        changed(signals=(Signal("Voltage", "mV", "array", 2),)),
        changed(field=Field(1, 0, None, BITS, 1, 0, None, "Source")),
        changed(field=Field(0, 1, None, BITS, 1, 0, None, "Source")),
        changed(field=Field(0, 0, None, Bits(56, 16, False, False), 1, 0, None, "Source")),
        changed(field=Field(0, 0, None, Bits(0, 64, False, False), 1, 0, None, "Source")),
        changed(field=Field(0, 0, None, Bits(0, 60, False, True), 1000, 0, None, "Source")),
        changed(field=Field(0, 0, 1, BITS, 1, 0, None, "Source")),
        changed(
            message=Message(0x123, False, "Status", 8, Bits(16, 4, False, False), (FIELD,)),
            field=Field(0, 0, 16, BITS, 1, 0, None, "Source"),
        ),
        changed(message=Message(0x123, False, "Status", 8, Bits(16, MAX_SELECTOR_BITS + 1, False, False), (FIELD,))),
    ],
)
def test_tables_that_the_decoder_could_not_trust_are_refused(profile):
    with pytest.raises(ConfigError, match="profile made"):
        check(profile)
    with pytest.raises(ConfigError):
        Profile.from_bytes(profile.to_bytes())


@pytest.mark.parametrize(
    ("bits", "needed"),
    [
        (Bits(0, 1, False, False), 1),
        (Bits(7, 2, False, False), 2),
        (Bits(56, 8, False, False), 8),
        (Bits(7, 8, True, False), 1),
        (Bits(0, 2, True, False), 2),
        (Bits(63, 8, True, False), 8),
    ],
)
def test_an_integer_needs_the_bytes_up_to_its_last(bits, needed):
    assert bits.bytes_needed == needed


def test_signals_are_found_by_name():
    assert PROFILE.index("Voltage") == 0
    with pytest.raises(KeyError):
        PROFILE.index("Current")
