"""packseal-verify at the command line: the verdict for a person and for a program, and one line for everything else."""

import json
from dataclasses import replace

import pytest

from evidence.keys import NamedKey
from evidence.verify import verify as verdict_of
from packseal.verify import _time, as_text
from tests.evidence_world import full_world, key
from tests.programs import call, failed, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with an honest bundle, the ledger's key and the pack's."""
    made = tmp_path_factory.mktemp("verify")
    world, vehicle = full_world()
    (made / "pack.bundle").write_bytes(world.offer(vehicle).encode())
    (made / "ledger.vkey").write_text(f"# the ledger\n\n{world.name}\n")
    (made / "packs.vkey").write_text(f"p-1  {NamedKey(vehicle.uri, vehicle.key.public)}\n")
    (made / "other.vkey").write_text(f"{NamedKey(vehicle.uri, key('other').public)}\n")
    (made / "two.vkey").write_text(f"{world.name}\n{world.name}\n")
    return made


def verify(folder, *words, bundle="pack.bundle", ledger="ledger.vkey", program=call):
    return program("packseal-verify", bundle, "--ledger-key", ledger, *words, cwd=folder)


def test_an_honest_bundle_is_verified_in_words_and_in_json(folder):
    told = verify(folder, "--pack-key", "packs.vkey", program=run)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.endswith("\nVERIFIED\n")
    assert "pinned by you" in told.stdout
    done = verify(folder, "--json")
    row = json.loads(done.stdout)
    assert (done.returncode, row["verified"], row["pack_keys_pinned"]) == (0, True, False)
    assert sum(row["statements"].values()) == len(row["statements"]) + 3
    assert {key["bound_by"] for key in row["keys"]} >= {"the verifier", "the policy"}


def test_the_key_may_be_given_as_text(folder):
    text = (folder / "ledger.vkey").read_text().split()[-1]
    assert verify(folder, ledger=text).returncode == 0


def test_statements_under_a_key_that_was_not_pinned_are_rejected(folder):
    assert "REJECTED at step 7 (pack keys)" in failed(verify(folder, "--pack-key", "other.vkey"), 65)


@pytest.mark.parametrize(
    ("change", "step"),
    [
        (lambda whole: whole[: len(whole) // 3], 1),
        (lambda whole: b"", 1),
        (lambda whole: whole + b"x", 1),
        (lambda whole: b"\x1b[2J" * 100, 1),
        (lambda whole: whole.replace(b"ledger.example/packs\n", b"ledger.exam\x1ble/packs\n", 1), 2),
    ],
)
def test_a_doctored_bundle_is_rejected_in_one_line_that_names_the_step(folder, change, step):
    (folder / "doctored.bundle").write_bytes(change((folder / "pack.bundle").read_bytes()))
    assert f"doctored.bundle: REJECTED at step {step} (" in failed(
        verify(folder, bundle="doctored.bundle", program=run), 65
    )
    done = verify(folder, "--json", bundle="doctored.bundle")
    row = json.loads(done.stdout)
    assert (done.returncode, row["verified"], row["step"], done.stderr) == (65, False, step, "")


@pytest.mark.parametrize("name", ["missing.bundle", "."])
def test_a_bundle_that_cannot_be_read_is_74(folder, name):
    assert failed(verify(folder, bundle=name), 74).startswith(f"{name}: ")


@pytest.mark.parametrize(
    "ledger",
    ["", " ", "x", "missing.vkey", "a+b+c", "ledger.example/packs+00000000+AQ==", "+", "++", "a+" + "x" * 5000, ".",
     "pack.bundle", "two.vkey", "ledger.example/packs+\x1b[2J+AQ", "packs\u202e.vkey"],
)  # fmt: skip
def test_a_wrong_ledger_key_is_wrong_usage_whatever_it_is(folder, ledger):
    failed(verify(folder, ledger=ledger), 64)
    if ledger != "two.vkey":
        failed(verify(folder, "--pack-key", ledger), 64)


@pytest.mark.parametrize(
    "words", [(), ("x",), ("--ledger-key",), ("a", "b", "--ledger-key", "x"), ("--leger-key", "x", "y")]
)
def test_a_wrong_command_line_is_64_and_points_to_the_help(words):
    assert failed(call("packseal-verify", *words), 64).endswith("see packseal-verify --help")


def test_the_right_key_of_another_ledger_rejects_at_the_checkpoint(folder):
    other = NamedKey("ledger.example/packs", key("another ledger").public)
    assert "step 2 (checkpoint)" in failed(verify(folder, ledger=str(other)), 65)


def test_help_and_version_work_and_the_help_has_an_example():
    assert "example:\n  packseal-verify" in run("packseal-verify", "--help").stdout
    assert run("packseal-verify", "--version").stdout.startswith("packseal-verify ")


def test_no_attribute_can_pass_for_a_line_of_the_verdict():
    world, vehicle = full_world("spoof")
    verdict = verdict_of(world.offer(vehicle).encode(), world.name)
    names = (("titleholder", "me"), ("VERIFIED", "\u202eDEIFIREV"), ("note", "a\x1b[2Jb"))
    text = as_text(replace(verdict, attributes=names))
    assert sum(line.startswith("titleholder") for line in text.splitlines()) == 1
    assert sum(line.startswith("VERIFIED") for line in text.splitlines()) == 1
    assert all(line.isprintable() for line in text.splitlines())


@pytest.mark.parametrize("unix_ms", [0, 2**62, 2**63 - 1, 253_402_300_800_000])
def test_any_time_of_a_log_can_be_told(unix_ms):
    assert _time(unix_ms).endswith("by the log's time")
