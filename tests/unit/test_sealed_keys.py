"""Sealed key files: worth nothing without their wrapping key, bound to their pack, and never mixed up with plain ones."""

from __future__ import annotations

import base64
import os
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
from nacl.secret import SecretBox

from agent import wrapping_key
from agent.errors import ConfigError, StoreError
from agent.keystore import Keystore
from agent.sealed_key import seal, unseal
from tests.agent_world import REGISTRAR, ROOT

WRAPPING = bytes(range(32))
SEED = bytes(range(100, 132))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state" / "keys"


def store(folder, wrapping=WRAPPING):
    return Keystore(folder, REGISTRAR, "gw-1", lambda: wrapping)


def file_of(folder, pack="pack-1"):
    return folder / f"{pack}.gw-1.key"


def test_the_line_is_the_documented_one_as_the_library_s_own_box_opens_it():
    version, encoded = seal(SEED, WRAPPING, "pack-1", "gw-1").split()
    assert version == "packseal-key-v1"
    assert SecretBox(WRAPPING).decrypt(base64.b64decode(encoded)) == SEED + b"pack-1/gw-1"


def test_the_example_of_the_format_document_opens_with_the_key_that_is_given_there():
    text = (ROOT / "docs" / "formats.md").read_text().partition("## 14. Key file")[2]
    line = re.search(r"^packseal-key-v1 \S+$", text, re.MULTILINE).group()
    assert unseal(line.encode(), WRAPPING, "pack-0001", "gw-01", "the example") == SEED
    assert f"`{WRAPPING.hex()}`" in text
    assert f"`{SEED.hex()}`" in text


def test_a_new_key_is_sealed_and_its_seed_is_nowhere_in_the_folder(folder):
    made = store(folder).new("pack-1")
    kept = store(folder).load("pack-1")
    assert kept.public == made.public
    content = file_of(folder).read_bytes()
    seed = unseal(content, WRAPPING, "pack-1", "gw-1", "")
    assert seed not in base64.b64decode(content.split()[1])
    assert seed.hex().encode() not in content
    assert stat.S_IMODE(file_of(folder).stat().st_mode) == 0o600
    assert len(list(folder.iterdir())) == 1


def test_two_seals_of_one_seed_are_not_alike():
    assert seal(SEED, WRAPPING, "pack-1", "gw-1") != seal(SEED, WRAPPING, "pack-1", "gw-1")


@pytest.mark.parametrize(("pack", "gateway"), [("pack-2", "gw-1"), ("pack-1", "gw-2")])
def test_a_file_under_another_pack_s_or_gateway_s_name_is_refused(folder, pack, gateway):
    store(folder).new("pack-1")
    shutil.copy(file_of(folder), folder / f"{pack}.{gateway}.key")
    with pytest.raises(ConfigError, match=f"holds the key of pack-1/gw-1, not of {pack}/{gateway}"):
        Keystore(folder, REGISTRAR, gateway, lambda: WRAPPING).load(pack)


def test_every_changed_byte_and_every_cut_of_a_sealed_file_is_refused_in_one_line(folder):
    store(folder).new("pack-1")
    whole = file_of(folder).read_bytes()
    _, encoded = whole.split()
    raw = base64.b64decode(encoded)
    flipped = [raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in range(len(raw))]
    bad = [b"packseal-key-v1 " + base64.b64encode(each) + b"\n" for each in flipped]
    bad += [whole[:at] for at in range(len("packseal-key-"), len(whole) - 2)]
    bad += [b"packseal-key-v1 " + b"A" * 5000, b"packseal-key-v2 " + encoded, b"packseal-key-\xff\x00"]
    for content in bad:
        file_of(folder).write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            store(folder).load("pack-1")
        assert str(caught.value).startswith(f"{file_of(folder)}: sealed ")


def test_another_wrapping_key_opens_nothing(folder):
    store(folder).new("pack-1")
    with pytest.raises(ConfigError, match="sealed with another wrapping key, or damaged"):
        store(folder, bytes(32)).load("pack-1")


def test_a_sealed_key_without_a_wrapping_key_says_what_to_configure(folder):
    store(folder).new("pack-1")
    with pytest.raises(ConfigError, match=r"a sealed key; say in \[keys\] wrapping_key"):
        store(folder, None).load("pack-1")


def test_a_plain_key_beside_a_wrapping_key_is_refused_with_the_cure_and_shown_when_listed(folder):
    made = store(folder, None).new("pack-1")
    with pytest.raises(ConfigError, match=r"not sealed, though .* seal it with `packseal-agent keys seal`"):
        store(folder).load("pack-1")
    assert store(folder).show("pack-1", plain=True) == made
    assert not store(folder).sealed("pack-1")


def test_sealing_keeps_the_key_and_leaves_nothing_of_the_plain_file(folder):
    made = store(folder, None).new("pack-1")
    seed = file_of(folder).read_bytes().strip()
    assert store(folder).seal("pack-1")
    assert store(folder).sealed("pack-1")
    assert store(folder).load("pack-1").public == made.public
    assert seed not in file_of(folder).read_bytes()
    assert [path.name for path in folder.iterdir()] == [file_of(folder).name]
    assert not store(folder).seal("pack-1")


def test_sealing_without_a_wrapping_key_or_what_is_no_key_changes_nothing(folder):
    store(folder, None).new("pack-1")
    with pytest.raises(ConfigError, match="wrapping_key is none"):
        store(folder, None).seal("pack-1")
    file_of(folder).write_bytes(b"garbage")
    with pytest.raises(ConfigError, match="not a key file"):
        store(folder).seal("pack-1")
    assert file_of(folder).read_bytes() == b"garbage"


def test_the_wrapping_key_is_fetched_once_and_only_when_it_is_needed(folder):
    fetched = []
    made = Keystore(folder, REGISTRAR, "gw-1", lambda: fetched.append(1) or WRAPPING)
    assert made.list() == []
    assert fetched == []
    made.new("pack-1")
    made.load("pack-1")
    assert fetched == [1]


@pytest.fixture
def wrapping_file(tmp_path):
    path = tmp_path / "wrapping"
    path.touch(0o600)
    return path


@pytest.mark.parametrize("content", [WRAPPING, WRAPPING.hex().encode(), WRAPPING.hex().upper().encode() + b"\n"])
def test_a_wrapping_key_is_32_bytes_or_64_digits(wrapping_file, content):
    wrapping_file.write_bytes(content)
    assert wrapping_key.fetch(str(wrapping_file)) == WRAPPING


@pytest.mark.parametrize(
    "content", [b"", WRAPPING[:31], WRAPPING + b"\n", b"0" * 63, b"z" * 64, b"0" * 65, b"0" * 9999]
)
def test_a_wrapping_key_of_another_size_is_refused_by_name_and_never_shown(wrapping_file, content):
    wrapping_file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        wrapping_key.fetch(str(wrapping_file))
    assert str(caught.value).startswith(f"{wrapping_file}: a wrapping key is 32 bytes or 64 hexadecimal digits")
    assert not content or content.decode(errors="replace").strip() not in str(caught.value)


def test_a_wrapping_file_that_is_missing_or_open_to_others_says_the_cure(wrapping_file, tmp_path):
    with pytest.raises(ConfigError, match=r"no .*/none; make it: .*head -c 32"):
        wrapping_key.fetch(str(tmp_path / "none"))
    wrapping_file.chmod(0o640)
    with pytest.raises(ConfigError, match="readable by others; chmod 600"):
        wrapping_key.fetch(str(wrapping_file))
    wrapping_file.chmod(0o600)
    with pytest.raises(StoreError, match="Not a directory"):
        wrapping_key.fetch(str(wrapping_file / "below"))


def test_a_credential_of_the_service_manager_is_taken_from_the_folder_that_it_names(tmp_path, monkeypatch):
    (tmp_path / "packseal-wrapping-key").write_bytes(WRAPPING)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert wrapping_key.fetch("credential") == WRAPPING


def test_a_credential_that_nobody_handed_over_says_who_can_have_it(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for folder in (None, str(tmp_path)):
        if folder is None:
            monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
        else:
            monkeypatch.setenv("CREDENTIALS_DIRECTORY", folder)
        with pytest.raises(
            ConfigError, match=r"no credential packseal-wrapping-key .*install\.md, by hand run this as root"
        ):
            wrapping_key.fetch("credential")


def test_root_without_an_encrypted_credential_is_told_how_to_make_it(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(wrapping_key, "_ENCRYPTED", tmp_path / "none")
    with pytest.raises(ConfigError, match=r"no .*/none; make it with systemd-creds encrypt"):
        wrapping_key.fetch("credential")


def test_root_asks_systemd_creds_and_hears_its_last_word_when_it_fails(tmp_path, monkeypatch):
    programs, encrypted = tmp_path / "bin", tmp_path / "encrypted"
    programs.mkdir()
    encrypted.touch()
    creds = programs / "systemd-creds"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(wrapping_key, "_ENCRYPTED", encrypted)
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(ConfigError, match="systemd-creds could not run"):
        wrapping_key.fetch("credential")
    creds.write_text(
        f'#!/bin/sh\n[ "$*" = "decrypt --name=packseal-wrapping-key {encrypted} -" ] && printf {WRAPPING.hex()}\n'
    )
    creds.chmod(0o700)
    assert wrapping_key.fetch("credential") == WRAPPING
    creds.write_text("#!/bin/sh\necho first >&2; echo 'not for this host' >&2; exit 1\n")
    with pytest.raises(ConfigError, match="cannot be decrypted: not for this host"):
        wrapping_key.fetch("credential")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("deepest", ["keys", "agent", "packseal"])
def test_what_root_makes_in_a_service_s_folder_is_the_service_s(deepest):
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o755)
        state = Path(top) / "packseal" / "agent"
        given = {"keys": state / "keys", "agent": state, "packseal": state.parent}[deepest]
        given.mkdir(parents=True)
        os.chown(given, 4711, 4712)
        store(state / "keys", None).new("pack-1")
        store(state / "keys").seal("pack-1")
        store(state / "keys").new("pack-2")
        for path in (given, *given.rglob("*")):
            assert (path.stat().st_uid, path.stat().st_gid) == (4711, 4712), path
        assert (os.geteuid(), os.getegid()) == (0, os.getgid())
        assert subprocess.run(["id", "-u"], capture_output=True, check=True).stdout == b"0\n"
