"""Key files: made once, kept from others, never shown."""

from __future__ import annotations

import stat

import pytest

from evidence.keys import NamedKey
from ledger import keyfiles
from ledger.errors import KeyFileError


def test_a_key_is_made_once_and_taken_from_then_on(tmp_path):
    first = keyfiles.create(tmp_path, "ledger", "ledger.example/packs")
    assert keyfiles.create(tmp_path, "ledger", "ledger.example/packs").public == first.public
    assert keyfiles.load(tmp_path, "ledger").public == first.public


def test_the_seed_is_for_its_owner_alone_and_the_public_half_for_anybody(tmp_path):
    key = keyfiles.create(tmp_path, "ledger", "ledger.example/packs")
    path = keyfiles.key_path(tmp_path, "ledger")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert NamedKey.parse(path.with_suffix(".pub").read_text().strip()) == NamedKey("ledger.example/packs", key.public)
    assert path.read_text().strip() not in path.with_suffix(".pub").read_text()


def test_a_lost_public_half_is_written_again(tmp_path):
    keyfiles.create(tmp_path, "ledger", "ledger.example/packs")
    public = keyfiles.key_path(tmp_path, "ledger").with_suffix(".pub")
    before = public.read_text()
    public.unlink()
    keyfiles.create(tmp_path, "ledger", "ledger.example/packs")
    assert public.read_text() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_that_others_may_read_is_refused(tmp_path, mode):
    keyfiles.create(tmp_path, "ledger", "ledger.example/packs")
    keyfiles.key_path(tmp_path, "ledger").chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        keyfiles.load(tmp_path, "ledger")


@pytest.mark.parametrize("content", [b"", b"zz", b"00" * 31, b"00" * 33, b"\xff" * 64])
def test_a_file_that_is_no_key_is_named_and_not_quoted(tmp_path, content):
    path = keyfiles.key_path(tmp_path, "ledger")
    path.parent.mkdir()
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError) as caught:
        keyfiles.load(tmp_path, "ledger")
    assert str(path) in str(caught.value)
    assert "0000" not in str(caught.value)


def test_a_missing_key_is_named(tmp_path):
    with pytest.raises(KeyFileError, match=r"party-acme\.key"):
        keyfiles.load(tmp_path, "party-acme")


def test_a_lost_key_is_asked_for_and_never_replaced_by_a_new_one(tmp_path):
    made = keyfiles.create(tmp_path, "ledger", "ledger.example/packs")
    path = keyfiles.key_path(tmp_path, "ledger")
    kept = path.read_text()
    path.unlink()
    with pytest.raises(KeyFileError, match="restore it from a backup"):
        keyfiles.create(tmp_path, "ledger", "ledger.example/packs")
    assert not path.exists()
    path.write_text(kept)
    path.chmod(0o600)
    assert keyfiles.load(tmp_path, "ledger").public == made.public


def test_a_key_that_is_not_that_of_its_public_file_is_refused(tmp_path):
    keyfiles.create(tmp_path, "ledger", "ledger.example/packs")
    path = keyfiles.key_path(tmp_path, "ledger")
    path.write_text("11" * 32 + "\n")
    with pytest.raises(KeyFileError, match=r"not the key of ledger\.pub"):
        keyfiles.load(tmp_path, "ledger")
