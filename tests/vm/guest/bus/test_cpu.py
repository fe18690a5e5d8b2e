"""What a frame costs: the whole agent, sealing, storing and carrying, beside python-can with cantools that only decodes.

Both hear the same frames at the same time, at 1,000 a second, are given the same identifiers and decode the same messages. CPU is
that of the processes over the steady state, user and system. The agent has a broker and a ledger; segments are of 60 s.
"""

import pytest

pytestmark = pytest.mark.timeout(900)


def test_what_a_frame_costs_the_whole_agent_is_measured_beside_python_can_and_cantools(drive, figure):
    figure("cpu_per_frame_agent", round(drive.agent_us, 1), "us")
    figure("cpu_per_frame_python_can_cantools", round(drive.peer_us, 1), "us")
    figure("cpu_ratio", round(drive.peer_us / drive.agent_us, 1), "x")
    figure("python_can_cantools_heard", round(100 * drive.peer_heard, 1), "%")
    assert drive.agent_us > 0
    assert 0 < drive.peer_heard <= 1


def test_the_agent_is_resident_in_less_than_60_megabytes(drive, figure):
    resident, anonymous = drive.agent_mb
    figure("agent_rss", resident, "MB")
    figure("agent_rss_anonymous", anonymous, "MB")
    assert resident <= 60
