"""CCTV's edge-case signatures. Verifiers disagree about them, so the product has one and its verdicts are frozen here."""

import json

from evidence.errors import SignatureError
from evidence.keys import PublicKey, verify
from tests.shared import shared

EDGE_CASES, ACCEPTED = 914, 43


def accepted(case) -> bool:
    try:
        verify(PublicKey(bytes.fromhex(case["key"])), case["msg"].encode(), bytes.fromhex(case["sig"]))
    except SignatureError:
        return False
    return True


def test_exactly_43_of_the_914_edge_case_signatures_are_accepted():
    cases = json.loads(shared("vectors/ed25519/ed25519vectors.json").read_text())
    assert len(cases) == EDGE_CASES
    assert sum(accepted(case) for case in cases) == ACCEPTED


def test_no_accepted_edge_case_has_a_low_order_key_or_commitment():
    cases = json.loads(shared("vectors/ed25519/ed25519vectors.json").read_text())
    flags = {flag for case in cases if accepted(case) for flag in case["flags"] or []}
    assert not flags & {"low_order_A", "low_order_R", "non_canonical_A", "non_canonical_R"}
