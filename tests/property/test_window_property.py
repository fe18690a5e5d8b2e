"""The vectorised windower against a naive one that looks at one sample at a time."""

from hypothesis import given
from hypothesis import strategies as st

from agent.decode import Decoder
from agent.frames import Frames
from agent.window import Windower
from evidence.window import MAX_TRANSITIONS, Window
from tests.profiles import made_profile, signal

PROFILE = made_profile(
    """
BO_ 1 Values: 8 BMS
 SG_ Value : 0|16@1- (1,0) [0|0] "" BMS
 SG_ State : 16|2@1+ (1,0) [0|0] "" BMS
 SG_ Huge : 24|40@1- (16384,0) [0|0] "" BMS

BO_ 2 Cells: 8 BMS
 SG_ Page M : 0|8@1+ (1,0) [0|0] "" BMS
 SG_ Cell0 m0 : 16|4@1+ (1,0) [0|0] "" BMS
 SG_ Cell1 m0 : 20|4@1+ (1,0) [0|0] "" BMS
 SG_ Cell2 m1 : 16|4@1+ (1,0) [0|0] "" BMS
 SG_ Cell3 m1 : 20|4@1+ (1,0) [0|0] "" BMS
""",
    signal("Value", "Values", "Value")
    + signal("State", "Values", "State", "state", kind="state")
    + signal("Huge", "Values", "Huge", kind="counter")
    + signal("Cells", "Cells", "Cell{0..3}", kind="array", absent=15),
)
DECODER = Decoder(PROFILE)
WINDOW_MS = 10


def samples_of(number, payload):
    """(signal, element, value) of a frame, by hand."""
    word = int.from_bytes(payload, "little")
    if number == 1:
        yield 0, 0, int.from_bytes(payload[:2], "little", signed=True)
        yield 1, 0, word >> 16 & 3
        yield 2, 0, int.from_bytes(payload[3:8], "little", signed=True) * 16384
    if number == 2 and payload[0] < 2:
        for place in (0, 1):
            value = word >> (16 + 4 * place) & 15
            if value != 15:
                yield 3, 2 * payload[0] + place, value


class Naive:
    """Every window from every sample, with nothing carried but what the definition says."""

    def __init__(self):
        self.known = None
        self.seen = []
        self.frames = 0

    def add(self, now_us, begin_us, number, payload):
        self.frames += 1
        for signal_index, element, value in samples_of(number, payload):
            self.seen.append((signal_index, element, value, min(round((now_us - begin_us) / 1000), WINDOW_MS - 1)))

    def close(self, begin_us, duration_ms):
        records = [self.ordered(0), self.state(), self.ordered(2), self.array()]
        window = Window(begin_us // 1000, duration_ms, self.frames, 0, tuple(records))
        self.seen, self.frames = [], 0
        return window

    def ordered(self, index):
        values = [value for signal_index, _, value, _ in self.seen if signal_index == index]
        if not values:
            return None
        return len(values), min(values), max(values), (2 * sum(values) + len(values)) // (2 * len(values)), values[-1]

    def state(self):
        values = [(value, offset) for signal_index, _, value, offset in self.seen if signal_index == 1]
        if not values:
            return None
        first = previous = values[0][0] if self.known is None else self.known
        transitions = []
        for value, offset in values:
            if value != previous:
                transitions.append((offset, value))
                previous = value
        self.known = previous
        kept = tuple(transitions[:MAX_TRANSITIONS])
        return len(values), first, previous, kept, len(transitions) - len(kept)

    def array(self):
        values = [(element, value) for signal_index, element, value, _ in self.seen if signal_index == 3]
        if not values:
            return None
        numbers = [value for _, value in values]
        low, high = min(numbers), max(numbers)
        last = [None] * 4
        for element, value in values:
            last[element] = value
        mean = (2 * sum(numbers) + len(numbers)) // (2 * len(numbers))
        low_at = next(element for element, value in values if value == low)
        high_at = next(element for element, value in values if value == high)
        return len(values), low, high, mean, low_at, high_at, tuple(last)


def naive_windows(rows):
    windows, windower, begin_us, now_us = [], Naive(), None, None
    for time_us, number, _, payload in rows:
        if begin_us is None:
            begin_us = now_us = time_us // 1000 * 1000
        now_us = max(now_us, time_us)
        while now_us >= begin_us + WINDOW_MS * 1000:
            windows.append(windower.close(begin_us, WINDOW_MS))
            begin_us += WINDOW_MS * 1000
        windower.add(now_us, begin_us, number, payload)
    if begin_us is not None:
        windows.append(windower.close(begin_us, min((now_us - begin_us + 500) // 1000 + 1, WINDOW_MS)))
    return windows


STEPS = st.sampled_from([0, 100, 500, 700, 1000, 3000, 9999, 10_000, 35_000, -2000])
PAYLOADS = st.tuples(st.just(1), st.binary(min_size=8, max_size=8)) | st.tuples(
    st.just(2),
    st.builds(lambda page, cells: bytes([page, 0, cells]) + bytes(5), st.integers(0, 2), st.integers(0, 255)),
)
FRAMES = st.tuples(STEPS, PAYLOADS | st.just((9, b"")))


@given(st.lists(FRAMES, max_size=120), st.lists(st.integers(1, 60), max_size=10), st.integers(0, 50_000))
def test_windows_equal_the_naive_ones_however_the_frames_are_cut(steps, cuts, start_us):
    rows, now_us = [], start_us
    for step, (number, payload) in steps:
        now_us = max(0, now_us + step)
        rows.append((now_us, number, 0, payload))
    windower = Windower(PROFILE, WINDOW_MS)
    windows, rest = [], rows
    for cut in [*cuts, len(rows)]:
        frames, rest = Frames.from_rows(rest[:cut]), rest[cut:]
        windows += windower.push(frames, DECODER.decode(frames))
    windows += windower.finish()
    assert windows == naive_windows(rows)


def test_a_long_batch_equals_the_naive_windows():
    import random

    source = random.Random(5)
    rows, now_us = [], 0
    for _ in range(5000):
        now_us += source.choice([10, 100, 400])
        number = source.choice([1, 1, 2, 9])
        payload = bytes([source.randrange(3)]) + source.randbytes(7) if number == 2 else source.randbytes(8)
        rows.append((now_us, number, 0, b"" if number == 9 else payload))
    frames = Frames.from_rows(rows)
    windower = Windower(PROFILE, WINDOW_MS)
    assert windower.push(frames, DECODER.decode(frames)) + windower.finish() == naive_windows(rows)
