"""After a real reboot the services are up by themselves, the chain is unbroken, and a stranger verifies it offline."""

import json
from collections import Counter
from pathlib import Path

import car_machine as car
import pytest

_BOOTS = """
import json, sqlite3
from evidence import statement
store = sqlite3.connect("file:/var/lib/packseal/agent/outbox.db?mode=ro", uri=True)
rows = [statement.read(body) for (body,) in store.execute("SELECT body FROM statements ORDER BY id")]
print(json.dumps([[row.kind, row.stamp.boot_id.hex(), row.entry.hex(), row.prev.hex() if row.prev else None] for row in rows]))
"""


def _rows():
    """(kind, boot id, entry, prev) of every statement in the outbox, read by the product's own parser."""
    return json.loads(car.say("/opt/packseal/bin/python", "-c", _BOOTS))


def test_the_services_are_up_by_themselves():
    car.wait_for(
        "both are active", lambda: {car.shown("ActiveState", unit) for unit in (car.AGENT, car.LEDGER)} == {"active"}
    )
    assert car.shown("NRestarts") == "0"
    assert "LISTEN-ONLY" in car.say("ip", "-details", "link", "show", "can0")


def test_the_chain_goes_on_in_a_new_boot_and_every_link_holds():
    with car.Bench():
        segments = car.kinds().count("segment")
        car.wait_for("a segment of this boot", lambda: car.kinds().count("segment") > segments)
    rows = _rows()
    this_boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
    boots = [boot for _, boot, _, _ in rows]
    assert boots[-1] == this_boot
    assert len(set(boots)) == 2
    assert [prev for *_, prev in rows[1:]] == [entry for *_, entry, _ in rows[:-1]]
    first = boots.index(this_boot)
    assert [kind for kind, *_ in rows[first - 1 : first + 2]] == ["close", "open", "gap"]


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


@pytest.mark.soak
def test_the_whole_log_is_sound():
    checked = car.say("packseal-ledger", "log", "check", "--config", "/etc/packseal/ledger.toml", "--json", timeout=200)
    assert json.loads(checked)["equivocations"] == 0
