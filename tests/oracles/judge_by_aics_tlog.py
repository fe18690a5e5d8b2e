"""Runs in the oracle's own environment: judges what it reads from standard input and says so as JSON."""

import base64
import json
import sys

from aics_tlog.checkpoint import verify_checkpoint
from aics_tlog.note import parse_note, parse_vkey
from aics_tlog.tree import verify_consistency, verify_inclusion


def decoded(text):
    return base64.b64decode(text)


def judged(question):
    """The verdict on one question, as a list that JSON can carry."""
    if question["what"] == "checkpoint":
        key = parse_vkey(question["vkey"])
        try:
            seen = verify_checkpoint(parse_note(question["note"]), key, expected_origin=question["origin"])
        except ValueError as problem:
            return [False, str(problem)]
        return [seen.ok, seen.origin, seen.size, base64.b64encode(seen.root or b"").decode()]
    path = [decoded(each) for each in question["path"]]
    if question["what"] == "inclusion":
        leaf, root = decoded(question["leaf"]), decoded(question["root"])
        return [verify_inclusion(leaf, question["index"], question["size"], path, root)]
    roots = decoded(question["old_root"]), decoded(question["new_root"])
    return [verify_consistency(question["old"], question["size"], *roots, path)]


json.dump([judged(question) for question in json.load(sys.stdin)], sys.stdout)
