"""A computer without a clock starts: it captures before anybody could know the time, and a plausible date deceives nobody."""

from pathlib import Path

import car_machine as car
import pytest
from statement_reading import said

pytestmark = pytest.mark.soak

NONE = 0
CHRISTMAS_EVE_MS = 1_798_135_200_000  # the time that was known before the reboot


def _of_this_boot():
    return [each for each in said() if each.boot_id == car.boot_id()]


def test_it_captures_although_nobody_has_told_it_the_time():
    assert not Path("/run/systemd/timesync/synchronized").exists()
    assert car.run("systemctl", "is-active", "time-sync.target").stdout.strip() == "inactive"
    first, gap, *_ = _of_this_boot()
    assert (first.kind, gap.kind) == ("open", "gap")
    chain = car.say("systemd-analyze", "critical-chain", "--no-pager", car.AGENT)
    assert not [name for name in ("time-sync", "time-set", "network-online") if name in chain], chain


def test_a_date_that_was_kept_from_the_last_time_looks_right_and_is_worth_nothing():
    statements = _of_this_boot()
    # systemd-timesyncd sets the clock to the last time that it knew, as fake-hwclock does.
    assert min(each.wall_ms for each in statements) > CHRISTMAS_EVE_MS
    assert {each.quality for each in statements} == {NONE}
