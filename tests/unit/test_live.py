"""The live line reads well in plain mosquitto_sub, and names the statement that will prove it."""

import json

from agent.live import LiveLine
from agent.segmenter import Segmenter
from tests.agent_world import PROFILE, digest, frames


def line(batch, proven_by=(7, 3, None)):
    made = Segmenter(PROFILE, 0, 1000, 5)
    made.push(batch)
    (window,) = made.finish(1_000_000).windows
    return LiveLine(PROFILE).write(window, 1234, proven_by)


def test_a_window_is_one_line_of_integers_with_units_in_the_names():
    written = line(frames(0, 500_000), (7, 3, digest("prev")))
    assert b"\n" not in written
    assert json.loads(written) == {
        "time_ms": 1234,
        "frames": 2,
        "Voltage_mV": 400,
        "Closed": 1,
        "Cells_mV": {"min": 3, "at": 0, "max": 4, "max_at": 1},
        "Total_Wh": 7,
        "proven_by": "7/3",
        "after": digest("prev").hex()[:8],
    }


def test_a_window_in_which_nothing_was_heard_says_only_that():
    written = json.loads(line(frames(identifier=0x7FF)))
    assert set(written) == {"time_ms", "frames", "proven_by", "after"}
    assert (written["frames"], written["after"]) == (0, None)
