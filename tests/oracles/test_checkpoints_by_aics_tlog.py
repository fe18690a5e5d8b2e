"""Our checkpoints and paths under PyPI's aics-tlog, which shares no code with us."""

import base64
import json
import subprocess
from pathlib import Path

import pytest

from evidence import merkle
from evidence.keys import NamedKey
from tests.evidence_world import ORIGIN, full_world, key
from tests.oracles.environment import python_with

HERE = Path(__file__).parent
WORLD, VEHICLE = full_world("oracle")
SIZES = range(1, len(WORLD.log) + 1)


@pytest.fixture(scope="module")
def verdicts():
    """Asks the oracle many questions in one run."""
    python = python_with(HERE / "aics-tlog.lock")

    def ask(questions):
        done = subprocess.run(
            [str(python), "-I", str(HERE / "judge_by_aics_tlog.py")],
            input=json.dumps(questions),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return json.loads(done.stdout)

    return ask


def text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def checkpoint(note, vkey=None, origin=ORIGIN):
    return {"what": "checkpoint", "vkey": str(vkey or WORLD.name), "note": note, "origin": origin}


def test_our_checkpoints_of_every_size_verify_there_with_our_size_and_root(verdicts):
    answers = verdicts([checkpoint(WORLD.note(size)) for size in SIZES])
    assert answers == [[True, ORIGIN, size, text(WORLD.tree.root(size))] for size in SIZES]


def test_a_checkpoint_that_we_refuse_is_refused_there_too(verdicts):
    note = WORLD.note(5)
    stranger = NamedKey(ORIGIN, key("stranger").public)
    questions = [
        checkpoint(note.replace("\n5\n", "\n6\n")),
        checkpoint(note, stranger),
        checkpoint(note, origin="other"),
    ]
    assert [answer[0] for answer in verdicts(questions)] == [False] * 3


def test_our_inclusion_paths_verify_there_and_those_of_other_leaves_do_not(verdicts):
    questions = []
    for size in SIZES:
        for index in range(size):
            path, root = WORLD.tree.inclusion(index, size), WORLD.tree.root(size)
            right = {"what": "inclusion", "leaf": text(WORLD.tree.node(0, index)), "index": index, "size": size}
            right |= {"path": [text(each) for each in path], "root": text(root)}
            questions += [right, {**right, "leaf": text(merkle.leaf_hash(b"another"))}]
    assert verdicts(questions) == [[True], [False]] * (len(questions) // 2)


def test_our_consistency_paths_verify_there(verdicts):
    questions = []
    for size in SIZES:
        for old in range(1, size + 1):
            path = [text(each) for each in WORLD.tree.consistency(old, size)]
            roots = {"old_root": text(WORLD.tree.root(old)), "new_root": text(WORLD.tree.root(size))}
            questions.append({"what": "consistency", "old": old, "size": size, "path": path, **roots})
    assert verdicts(questions) == [[True]] * len(questions)
