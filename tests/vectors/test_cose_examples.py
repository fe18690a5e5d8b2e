"""The COSE working group's examples: one that is Ed25519 and must come out byte for byte, others that must be refused."""

import json

import cbor2
import pytest

from evidence import sign1
from evidence.errors import FormatError, SignatureError
from evidence.keys import PublicKey, SigningKey
from tests.shared import shared

OF_ANOTHER_FORM = {
    "sign-fail-01": "tag 998 instead of 18",
    "sign-fail-02": "the payload changed, and ES256",
    "sign-fail-03": "alg -999",
    "sign-fail-04": "alg is a text",
    "sign-fail-06": "ES256 with an added parameter",
    "sign-fail-07": "ES256 with a removed parameter",
    "sign-pass-01": "alg stands unprotected",
    "sign-pass-02": "ES256 with external data",
    "sign-pass-03": "no tag",
}


def example(name):
    return json.loads(shared(f"vectors/cose/{name}.json").read_text())


def eddsa():
    vector = example("eddsa-sig-01")
    key = vector["input"]["sign0"]["key"]
    return vector, bytes.fromhex(vector["output"]["cbor"]), bytes.fromhex(key["d_hex"]), bytes.fromhex(key["x_hex"])


def test_eddsa_sig_01_is_re_encoded_byte_for_byte():
    _, encoded, _, _ = eddsa()
    assert sign1.parse(encoded).encode() == encoded


def test_eddsa_sig_01_has_our_bytes_to_be_signed():
    vector, encoded, _, _ = eddsa()
    message = sign1.parse(encoded)
    expected = bytes.fromhex(vector["intermediates"]["ToBeSign_hex"])
    assert sign1.to_be_signed(message.protected, message.payload) == expected


def test_eddsa_sig_01_is_signed_again_from_its_seed_byte_for_byte():
    vector, encoded, seed, public = eddsa()
    key = SigningKey(seed)
    again = sign1.sign(key, {1: sign1.EDDSA, 3: 0}, vector["input"]["plaintext"].encode())
    received = sign1.parse(encoded)
    assert key.public == public
    assert (again.protected, again.payload, again.signature) == (
        received.protected,
        received.payload,
        received.signature,
    )
    whole = sign1.Sign1(again.protected, again.header, {4: b"11"}, again.payload, again.signature)
    assert whole.encode() == encoded


def test_eddsa_sig_01_verifies_for_a_key_bound_to_minus_8_and_not_for_one_bound_to_minus_19():
    _, encoded, _, public = eddsa()
    message = sign1.parse(encoded)
    message.verify(PublicKey(public), sign1.EDDSA)
    with pytest.raises(SignatureError, match="bound to -19"):
        message.verify(PublicKey(public), sign1.ED25519)


@pytest.mark.parametrize("name", OF_ANOTHER_FORM)
def test_an_example_of_another_form_is_refused_by_the_parser(name):
    with pytest.raises(FormatError):
        sign1.parse(bytes.fromhex(example(name)["output"]["cbor"]))


@pytest.mark.parametrize("name", ["sign-fail-01", "sign-fail-02", "sign-fail-03", "sign-pass-03"])
def test_our_bytes_to_be_signed_are_those_of_the_es256_examples(name):
    vector = example(name)
    # The examples that fail were doctored after signing, so what was signed is rebuilt from their input.
    rebuilt = sign1.to_be_signed(cbor2.dumps({1: -7}), vector["input"]["plaintext"].encode())
    assert rebuilt == bytes.fromhex(vector["intermediates"]["ToBeSign_hex"])
