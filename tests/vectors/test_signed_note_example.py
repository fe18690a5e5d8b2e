"""The example of C2SP's signed-note.md."""

import json

import pytest

from evidence import note
from evidence.errors import SignatureError
from evidence.keys import NamedKey
from tests.shared import shared


def example():
    return json.loads(shared("vectors/c2sp/signed-note-example.json").read_text())


def test_the_published_note_verifies_under_the_published_key():
    vector = example()
    parsed = note.parse(vector["note"].encode())
    parsed.verify(NamedKey.parse(vector["vkey"]))
    assert parsed.text == "This is an example message.\n"


def test_the_published_key_is_written_as_it_is_read():
    vkey = example()["vkey"]
    assert str(NamedKey.parse(vkey)) == vkey


def test_the_published_note_with_another_text_does_not_verify():
    vector = example()
    parsed = note.parse(vector["note"].replace("example message", "example massage").encode())
    with pytest.raises(SignatureError):
        parsed.verify(NamedKey.parse(vector["vkey"]))
