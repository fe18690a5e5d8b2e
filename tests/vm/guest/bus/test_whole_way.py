"""The whole way on arm64: a pack on vcan, the agent, a broker, the ledger, and a stranger who verifies; then everything that
can happen to the bus, each signed as a gap with its reason, and not one frame unaccounted for.
"""

import pytest

from evidence.bodies import Close, Gap, Open, Segment

KERNEL, BUS_OFF, INTERFACE_DOWN = 1, 2, 3

pytestmark = pytest.mark.timeout(900)


def bodies(verdict, kind):
    return [each.statement.body for each in verdict.statements if isinstance(each.statement.body, kind)]


def test_the_bundle_verifies_and_tells_of_one_epoch_from_its_open_to_its_close(drive):
    verdict = drive.verdict
    assert isinstance(verdict.statements[0].statement.body, Open)
    assert isinstance(verdict.statements[-1].statement.body, Close)
    assert verdict.complete_size is not None


def test_every_frame_that_the_profile_maps_is_sealed_or_counted_as_lost(drive, figure):
    sealed = sum(each.frames for each in bodies(drive.verdict, Segment))
    lost = sum(each.count or 0 for each in bodies(drive.verdict, Gap))
    figure("whole_way_frames_sealed", sealed)
    figure("whole_way_frames_lost_and_signed", lost)
    assert len(drive.frames) > 500
    assert lost > 0
    assert sealed + lost == drive.sent


def test_what_the_kernel_dropped_is_one_gap_with_its_reason_and_count(drive):
    verdict = drive.verdict
    (gap,) = [each for each in bodies(verdict, Gap) if each.count]
    assert gap.reason == KERNEL
    assert f"{gap.count} frames dropped and signed for" in drive.log
    assert gap.end.boot_ms - gap.start.boot_ms > 0


def test_each_absence_of_the_interface_is_a_gap_with_its_reason(drive):
    verdict = drive.verdict
    reasons = [each.reason for each in bodies(verdict, Gap)]
    assert [each for each in reasons if each == INTERFACE_DOWN] == [INTERFACE_DOWN] * 2
    assert [each for each in reasons if each == BUS_OFF] == [BUS_OFF]


def test_no_moment_of_the_epoch_is_in_no_statement(drive):
    verdict = drive.verdict
    spans = []
    for each in verdict.statements:
        body, stamp = each.statement.body, each.statement.stamp
        if isinstance(body, Segment):
            spans.append((stamp.t0_ms, stamp.t1_ms))
        elif isinstance(body, Gap):
            spans.append((body.start.boot_ms, body.end.boot_ms))
    assert len(spans) > 5
    assert [start for start, _ in spans[1:]] == [end for _, end in spans[:-1]]
