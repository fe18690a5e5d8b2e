import pytest

from agent.decode import Decoder
from agent.frames import Frames
from agent.window import Windower
from evidence import window as wire
from tests.profiles import made_profile, signal

PROFILE = made_profile(
    """
BO_ 1 Values: 8 BMS
 SG_ Value : 0|16@1- (1,0) [0|0] "" BMS
 SG_ State : 16|8@1+ (1,0) [0|0] "" BMS
 SG_ Huge : 24|40@1- (16384,0) [0|0] "" BMS

BO_ 2 Cells: 8 BMS
 SG_ Page M : 0|8@1+ (1,0) [0|0] "" BMS
 SG_ Cell0 m0 : 16|16@1+ (1,0) [0|0] "" BMS
 SG_ Cell1 m0 : 32|16@1+ (1,0) [0|0] "" BMS
 SG_ Cell2 m1 : 16|16@1+ (1,0) [0|0] "" BMS
""",
    signal("Value", "Values", "Value")
    + signal("State", "Values", "State", "state", kind="state")
    + signal("Huge", "Values", "Huge", kind="counter")
    + signal("Cells", "Cells", "Cell{0..2}", kind="array"),
)
VALUE, STATE, HUGE, CELLS = range(4)
DECODER = Decoder(PROFILE)


def at(ms, value=0, state=0, huge=0):
    payload = value.to_bytes(2, "little", signed=True) + bytes([state]) + huge.to_bytes(5, "little", signed=True)
    return int(ms * 1000), 1, 0, payload


def cells(ms, page, one, two=0):
    return int(ms * 1000), 2, 0, bytes([page, 0]) + one.to_bytes(2, "little") + two.to_bytes(2, "little") + bytes(2)


def other(ms):
    return int(ms * 1000), 0x700, 0, b""


def push(windower, *rows, malformed=0):
    frames = Frames.from_rows(rows)
    return windower.push(frames, DECODER.decode(frames), malformed)


def test_windows_are_given_when_a_later_frame_completes_them():
    windower = Windower(PROFILE, start_us=0)
    assert push(windower, at(0, 5), at(500, -3), at(999, 2)) == []
    (window,) = push(windower, at(1000, 9))
    assert (window.start_ms, window.duration_ms, window.frames, window.malformed) == (0, 1000, 3, 0)
    assert window.records[VALUE] == (3, -3, 5, 1, 2)
    assert window.records[CELLS] is None


@pytest.mark.parametrize(
    ("values", "mean"), [((1, 2), 2), ((-1, -2), -1), ((0, 1), 1), ((0, -1), 0), ((1, 1, 2), 1), ((-3,), -3)]
)
def test_the_mean_is_rounded_half_up(values, mean):
    windower = Windower(PROFILE, start_us=0)
    push(windower, *(at(n, value) for n, value in enumerate(values)))
    (window,) = windower.finish()
    assert window.records[VALUE][3] == mean


def test_sums_beyond_64_bits_are_exact():
    windower = Windower(PROFILE, start_us=0)
    top = 2**39 - 1
    push(windower, *(at(n / 100, huge=top if n % 2 else top - 7) for n in range(50_000)))
    (window,) = windower.finish()
    assert window.records[HUGE] == (50_000, (top - 7) << 14, top << 14, ((2 * top - 7) << 14) // 2, top << 14)


def test_windows_tile_and_silence_is_a_window_too():
    windower = Windower(PROFILE, start_us=0)
    windows = push(windower, at(100), other(3500))
    assert [(w.start_ms, w.duration_ms, w.frames) for w in windows] == [(0, 1000, 1), (1000, 1000, 0), (2000, 1000, 0)]
    assert windows[1].records == (None,) * 4
    (last,) = windower.finish()
    assert (last.start_ms, last.duration_ms, last.frames) == (3000, 501, 1)


def test_the_last_window_has_its_true_span():
    windower = Windower(PROFILE, start_us=0)
    push(windower, at(0), at(842.2))
    (window,) = windower.finish()
    assert window.duration_ms == 843


def test_a_single_frame_spans_a_millisecond():
    windower = Windower(PROFILE)
    push(windower, at(5000.3))
    (window,) = windower.finish()
    assert (window.start_ms, window.duration_ms) == (5000, 1)


def test_the_last_window_reaches_past_its_last_transition():
    windower = Windower(PROFILE, start_us=0)
    push(windower, at(0, state=0), at(841.7, state=1))
    (window,) = windower.finish()
    assert window.records[STATE][3] == ((842, 1),)
    assert window.duration_ms == 843


def test_finishing_at_a_given_end_closes_what_lies_before_it():
    windower = Windower(PROFILE, start_us=0)
    push(windower, at(100))
    windows = windower.finish(2_300_000)
    assert [(w.start_ms, w.duration_ms, w.frames) for w in windows] == [(0, 1000, 1), (1000, 1000, 0), (2000, 300, 0)]


def test_finishing_exactly_at_a_boundary_leaves_no_empty_window():
    windower = Windower(PROFILE, start_us=0)
    push(windower, at(100))
    assert len(windower.finish(1_000_000)) == 1


def test_time_passing_closes_windows_without_frames():
    windower = Windower(PROFILE, start_us=0)
    assert windower.advance(999_999) == []
    assert [w.frames for w in windower.advance(2_500_000)] == [0, 0]
    assert push(windower, at(1500, 7)) == []  # read late: it joins the window that is open
    (window,) = windower.finish()
    assert (window.start_ms, window.frames, window.records[VALUE][0]) == (2000, 1, 1)
    assert windower.late == 1


def test_nothing_is_advanced_before_the_capture_has_begun():
    assert Windower(PROFILE).advance(10**12) == []
    assert Windower(PROFILE).finish() == []


def test_times_that_run_backwards_join_the_newest_and_are_counted():
    windower = Windower(PROFILE, start_us=0)
    windows = push(windower, at(1100, 1), at(900, 2), at(1200, 3), at(-5, 4))
    assert [w.frames for w in windows] == [0]
    (window,) = windower.finish()
    assert (window.frames, window.records[VALUE]) == (4, (4, 1, 4, 3, 4))
    assert windower.late == 2


def test_windows_start_at_whole_milliseconds_of_the_first_frame():
    windower = Windower(PROFILE)
    (window,) = push(windower, at(5000.7), at(6000.0))
    assert (window.start_ms, window.frames) == (5000, 1)


def test_a_state_keeps_its_transitions_with_their_times():
    windower = Windower(PROFILE, start_us=0)
    push(windower, at(100, state=0), at(786.9, state=1))
    push(windower, at(900, state=3))
    (first,) = push(windower, at(1500, state=3))
    (second,) = windower.finish()
    assert first.records[STATE] == (3, 0, 3, ((787, 1), (900, 3)), 0)
    assert second.records[STATE] == (1, 3, 3, (), 0)


def test_a_transition_has_its_nearest_millisecond_within_its_window():
    windower = Windower(PROFILE, start_us=0)
    push(windower, at(0, state=0), at(75.7, state=1), at(780.5, state=0), at(999.9, state=2))
    (window,) = windower.finish()
    assert window.records[STATE][3] == ((76, 1), (780, 0), (999, 2))
    assert window.duration_ms == 1000


def test_the_first_sight_of_a_state_is_no_transition_but_a_change_across_windows_is():
    windower = Windower(PROFILE, start_us=0)
    push(windower, at(100, state=1))
    windows = push(windower, at(2300, state=0))
    windows += windower.finish()
    assert windows[0].records[STATE] == (1, 1, 1, (), 0)
    assert windows[1].records[STATE] is None
    assert windows[2].records[STATE] == (1, 1, 0, ((300, 0),), 0)


def test_a_chattering_state_keeps_the_first_transitions_and_counts_the_others():
    whole, pieces = Windower(PROFILE, start_us=0), Windower(PROFILE, start_us=0)
    rows = [at(n, state=n % 2) for n in range(200)]
    push(whole, *rows)
    for row in rows:
        push(pieces, row)
    (window,) = whole.finish()
    n, first, last, transitions, dropped = window.records[STATE]
    assert (n, first, last, len(transitions), dropped) == (200, 0, 1, wire.MAX_TRANSITIONS, 199 - wire.MAX_TRANSITIONS)
    assert transitions[0] == (1, 1)
    assert pieces.finish() == [window]


def test_an_array_says_which_elements_were_extreme_and_what_each_said_last():
    windower = Windower(PROFILE, start_us=0)
    push(windower, cells(1, 0, 300, 100), cells(2, 0, 310, 100))
    (window,) = windower.finish()
    assert window.records[CELLS] == (4, 100, 310, 203, 1, 0, (310, 100, None))


def test_equal_extremes_belong_to_the_element_that_had_them_first():
    windower = Windower(PROFILE, start_us=0)
    push(windower, cells(1, 1, 5))
    push(windower, cells(2, 0, 5, 5))
    (window,) = windower.finish()
    assert window.records[CELLS] == (3, 5, 5, 5, 2, 2, (5, 5, 5))


def test_malformed_messages_count_in_the_open_window():
    windower = Windower(PROFILE, start_us=0)
    push(windower, at(100), malformed=2)
    (window,) = push(windower, at(1100), malformed=1)
    assert window.malformed == 2
    assert push(windower, malformed=4) == []
    (last,) = windower.finish()
    assert last.malformed == 5


def test_a_capture_of_nothing_but_malformed_messages_has_a_window_that_says_so():
    windower = Windower(PROFILE)
    push(windower, malformed=3)
    (window,) = windower.finish()
    assert (window.frames, window.malformed, window.duration_ms) == (0, 3, 1)


def test_after_finishing_a_windower_starts_anew_and_remembers_states():
    windower = Windower(PROFILE, start_us=0)
    push(windower, at(100, state=1))
    windower.finish()
    push(windower, at(77_000, state=0))
    (window,) = windower.finish()
    assert window.start_ms == 77_000
    assert window.records[STATE] == (1, 1, 0, ((0, 0),), 0)


def test_windows_travel_as_they_are():
    windower = Windower(PROFILE, start_us=0)
    push(windower, at(0, -5, 1, -(2**39)), at(10, 5, 2, 2**39 - 1), cells(20, 1, 7))
    (window,) = windower.finish()
    assert wire.read(wire.encode(window)) == window
