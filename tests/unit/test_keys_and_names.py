"""Keys, their identifiers and text forms; identifiers and URIs."""

import copy
import hashlib
import pickle

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from evidence import keys, names
from evidence.errors import FormatError, SignatureError
from evidence.keys import NamedKey, PublicKey, SigningKey
from tests.evidence_world import key

KEY = key("a key")
VKEY = NamedKey("ledger.example/packs", KEY.public)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_another_implementation_signs_the_same_and_accepts_ours(seed, message):
    ours, theirs = SigningKey(seed), Ed25519PrivateKey.from_private_bytes(seed)
    signature = ours.sign(message)
    assert signature == theirs.sign(message)
    Ed25519PublicKey.from_public_bytes(ours.public).verify(signature, message)
    keys.verify(ours.public, message, signature)


@given(st.binary(max_size=66), st.binary(max_size=34), st.binary(max_size=20))
def test_any_signature_under_any_key_verifies_or_is_a_signature_error(signature, public, message):
    with pytest.raises(SignatureError):
        keys.verify(PublicKey(public), message, signature)


@given(st.integers(0, 511))
def test_a_signature_with_one_flipped_bit_does_not_verify(bit):
    signature = bytearray(KEY.sign(b"message"))
    signature[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SignatureError):
        keys.verify(KEY.public, b"message", bytes(signature))


def test_the_key_identifier_starts_the_cose_key_thumbprint():
    thumbprint = hashlib.sha256(cbor2.dumps({1: 1, -1: 6, -2: bytes(KEY.public)})).digest()
    assert KEY.kid == thumbprint[:8]


def test_the_thumbprint_of_rfc_9679s_kind_has_the_required_members_in_order():
    encoded = bytes.fromhex("a3010120062158 20".replace(" ", "")) + KEY.public
    assert keys.key_id(KEY.public) == hashlib.sha256(encoded).digest()[:8]


def test_a_seed_is_32_bytes_and_never_shows():
    with pytest.raises(FormatError):
        SigningKey(b"short")
    seed = hashlib.sha256(b"a key").digest()
    assert seed.hex() not in repr(KEY)
    for serialise in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            serialise(KEY)


def test_a_verifier_key_is_read_as_it_is_written():
    assert NamedKey.parse(str(VKEY)) == VKEY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000",
        str(VKEY)[:-1],
        str(VKEY) + "=",
        " " + str(VKEY),
        str(VKEY) + "\n",
        str(VKEY).replace("packs", "other"),
        str(VKEY).replace("ledger.example/packs", ""),
        str(VKEY).replace("ledger.example/packs", "two words"),
        f"{VKEY.name}+{VKEY.note_id.hex().upper()}+{str(VKEY).rsplit('+', 1)[1]}"
        if VKEY.note_id.hex().isdigit()
        else "+",
        f"{VKEY.name}+{VKEY.note_id.hex()}+AQ==",
        f"{VKEY.name}+{VKEY.note_id.hex()}+" + keys.base64.b64encode(b"\x02" + KEY.public).decode(),
        f"{VKEY.name}+{VKEY.note_id.hex()}+not base64",
        f"{VKEY.name}+{VKEY.note_id.hex()}+ümlaut",
    ],
)
def test_what_is_no_verifier_key_is_a_format_error(text):
    with pytest.raises(FormatError):
        NamedKey.parse(text)


@given(st.binary(max_size=40))
def test_base64_has_one_spelling(value):
    text = keys.base64.b64encode(value).decode()
    assert keys.decode_base64(text, "text") == value
    for other in (text + "=", text.rstrip("=") if text.endswith("=") else text + "A", text + "\n"):
        with pytest.raises(FormatError):
            keys.decode_base64(other, "text")


def test_base64_with_stray_low_bits_is_refused():
    assert keys.decode_base64("AA==", "text") == b"\0"
    for other in ("AB==", "AP==", "A-==", "AA=\n="):
        with pytest.raises(FormatError):
            keys.decode_base64(other, "text")


@pytest.mark.parametrize("text", ["a", "0", "pack-1", "9-", "a" * 48])
def test_identifiers_are_1_to_48_of_lower_case_digits_and_hyphens(text):
    assert names.identifier(text) == text


@pytest.mark.parametrize("text", ["", "-a", "A", "a" * 49, "a_b", "a/b", "a b", "a\n", "ä", "٣", "a+", "#"])
def test_nothing_else_is_an_identifier(text):
    with pytest.raises(FormatError):
        names.identifier(text)


@pytest.mark.parametrize("text", ["a.example,2026", "0a,1999", "x-y.example,2000"])
def test_a_registrar_is_a_domain_and_a_year(text):
    registrar = names.Registrar(text)
    assert names.parse_uri(registrar.pack("p"), "pack") == (registrar, "p")
    assert names.parse_uri(registrar.gateway("g"), "gw") == (registrar, "g")
    assert names.parse_uri(registrar.party("m"), "party") == (registrar, "m")


@pytest.mark.parametrize("text", ["", "a.example", "a.example,26", "A.example,2026", ".a,2026", "a,3026", "a:b,2026"])
def test_nothing_else_is_a_registrar(text):
    with pytest.raises(FormatError):
        names.Registrar(text)


@pytest.mark.parametrize(
    "text",
    [
        "tag:packs.example,2026:pack/",
        "tag:packs.example,2026:pack/P",
        "tag:packs.example,2026:pack/a/b",
        "tag:packs.example,2026:pack/a\n",
        "tag:packs.example,2026:gw/a",
        "TAG:packs.example,2026:pack/a",
        "tag:packs.example:pack/a",
        "urn:packs.example,2026:pack/a",
    ],
)
def test_nothing_else_is_a_packs_uri(text):
    with pytest.raises(FormatError):
        names.parse_uri(text, "pack")


@pytest.mark.parametrize("text", ["", "two words", "a+b", "tab\t", "ledger.example/\x7f", "ä", "x" * 257])
def test_an_origin_is_printable_ascii_without_white_space_or_plus(text):
    assert names.origin("ledger.example/packs") == "ledger.example/packs"
    with pytest.raises(FormatError):
        names.origin(text)
