"""What the machine has lived through until now, as a stranger sees it who has nothing but a bundle and two keys."""

import json
from collections import Counter

import car_machine as car


def test_a_bundle_of_both_boots_verifies_offline():
    car.wait_for("all proven", car.all_proven)
    kept = Counter(car.kinds())
    found = car.verdict()
    assert found["verified"]
    assert found["pack_keys_pinned"]
    assert found["loose_statements"] == 0
    assert {"open", "segment", "gap", "close"} <= kept.keys()
    assert Counter(found["statements"]) >= kept  # the agent goes on
    assert found["frames"] > 100
    assert any(gap["reason"] == "restart" and not gap["same_boot"] for gap in found["gaps"])
    print(json.dumps(found["statements"]))
