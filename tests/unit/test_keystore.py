"""Key files: made once, ours alone, never printed, and worth nothing to anybody who may not read them."""

import resource
import stat

import pytest

from agent.errors import ConfigError, StoreError
from agent.keystore import Keystore
from evidence.keys import NamedKey
from tests.agent_world import REGISTRAR


@pytest.fixture
def store(tmp_path):
    return Keystore(tmp_path / "state" / "keys", REGISTRAR, "gw-1")


def path_of(tmp_path, pack="pack-1"):
    return tmp_path / "state" / "keys" / f"{pack}.gw-1.key"


def test_a_new_key_is_a_file_of_its_owner_s_in_folders_of_its_owner_s(store, tmp_path):
    store.new("pack-1")
    assert stat.S_IMODE(path_of(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state" / "keys").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert [path.name for path in path_of(tmp_path).parent.iterdir()] == ["pack-1.gw-1.key"]


def test_the_public_half_is_named_by_the_pack_and_the_same_each_time(store):
    made = store.new("pack-1")
    assert made.name == REGISTRAR.pack("pack-1")
    assert store.show("pack-1") == made == NamedKey.parse(str(made))
    assert store.load("pack-1").public == made.public


def test_two_packs_have_two_keys(store):
    assert store.new("pack-1").public != store.new("pack-2").public
    assert [each.pack for each in store.list()] == ["pack-1", "pack-2"]


def test_a_key_is_never_overwritten(store, tmp_path):
    store.new("pack-1")
    before = path_of(tmp_path).read_bytes()
    with pytest.raises(ConfigError, match="exists already"):
        store.new("pack-1")
    assert path_of(tmp_path).read_bytes() == before
    assert len(list(path_of(tmp_path).parent.iterdir())) == 1


def test_the_keys_of_another_gateway_are_not_listed(store, tmp_path):
    store.new("pack-1")
    assert Keystore(tmp_path / "state" / "keys", REGISTRAR, "gw-2").list() == []
    assert Keystore(tmp_path / "nowhere", REGISTRAR, "gw-1").list() == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_may_read_is_refused(store, tmp_path, mode):
    store.new("pack-1")
    path_of(tmp_path).chmod(mode)
    with pytest.raises(ConfigError, match="readable by others") as caught:
        store.load("pack-1")
    assert str(path_of(tmp_path)) in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"00" * 31, b"00" * 33, b"zz" * 32, b"\xff" * 32, b"0" * 5000, b"\0" * 64]
)
def test_a_damaged_key_file_is_said_without_what_is_in_it(store, tmp_path, content):
    store.new("pack-1")
    path_of(tmp_path).write_bytes(content)
    with pytest.raises(ConfigError, match=r"not a key file; restore it from a backup or make a new key$"):
        store.load("pack-1")


def test_a_missing_key_says_how_to_make_it(store):
    with pytest.raises(ConfigError, match="no key for this pack; make one with `packseal-agent keys new pack-1`"):
        store.load("pack-1")


@pytest.mark.parametrize("pack", ["", "Pack", "../pack", "a/b", "a.b", "-a", "a" * 49, "a\n"])
def test_a_pack_that_is_no_identifier_never_becomes_a_path(store, tmp_path, pack):
    for call in (store.new, store.load):
        with pytest.raises(ConfigError, match="is not 1 to 48 of a-z"):
            call(pack)
    assert not (tmp_path / "state").exists()


def test_a_folder_that_cannot_be_made_is_the_disk_s_fault(tmp_path):
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StoreError, match="state"):
        Keystore(tmp_path / "state" / "keys", REGISTRAR, "gw-1").new("pack-1")


def test_a_key_cut_short_by_a_crash_before_its_name_does_not_stand_in_the_way(store, tmp_path):
    path_of(tmp_path).parent.mkdir(parents=True)
    (path_of(tmp_path).parent / ".pack-1.gw-1.key.0011aabb").write_text("00")
    store.new("pack-1")
    assert [each.pack for each in store.list()] == ["pack-1"]


def test_a_disk_that_takes_no_more_leaves_no_half_key_behind(store, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(StoreError, match="File too large"):
            store.new("pack-1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(path_of(tmp_path).parent.iterdir()) == []


def test_no_text_of_a_key_shows_its_seed(store, tmp_path):
    store.new("pack-1")
    seed = path_of(tmp_path).read_text().strip()
    key = store.load("pack-1")
    shown = f"{key!r} {key} {store.show('pack-1')} {store.show('pack-1')!r} {store.list()!r}"
    assert seed not in shown
    assert bytes.fromhex(seed).hex().upper() not in shown.upper()
