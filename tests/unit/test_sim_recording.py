import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.bus.frame import CanFrame
from firmware_sim.errors import RecordingError
from firmware_sim.outputs.candump_log import log_line
from firmware_sim.play.playback import Playback
from firmware_sim.play.recording import MAX_BEFORE_FIRST, Recording, parse_candump
from tests.shared import shared

GVRET = "Time Stamp,ID,Extended,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8\n"
EVER = 1 << 60


def written(folder, text, name="log"):
    path = folder / name
    path.write_text(text)
    return path


def test_the_real_recording_holds_24263_frames_of_101_ids_on_bus_0_in_10_842_seconds():
    (path,) = shared("canlogs/kona_pcan").glob("*.csv")
    recording = Recording(path)
    frames = Playback(recording, bus=0).until(EVER, 1 << 30)
    assert len(frames) == 24_263
    assert len({frame.frame.identifier for frame in frames}) == 101
    assert frames[-1].time_us == pytest.approx(10_842_000, abs=1_000)
    assert recording.malformed == 0


def test_candump_and_gvret_give_the_same_frames(tmp_path):
    candump = written(tmp_path, "(1436509052.249713) can1 044#2A36\n(1436509052.250713) can1 18DAF110#\n", "a.log")
    gvret = written(tmp_path, GVRET + "10,00000044,false,1,2,2A,36,\n1010,18DAF110,true,1,0,\n", "a.csv")
    assert [f.frame for f in Recording(candump)] == [f.frame for f in Recording(gvret)]
    assert [f.bus for f in Recording(candump)] == [1, 1]
    assert Playback(Recording(candump)).until(EVER, 9) == Playback(Recording(gvret)).until(EVER, 9)


@pytest.mark.parametrize(
    "frame",
    [CanFrame(0x123, bytes(range(8))), CanFrame(5, b"\xff", extended=True), CanFrame(7, b"", False, True, 3)],
)
def test_what_the_candump_writer_writes_the_reader_reads(frame):
    recorded = parse_candump(log_line(1_700_000_000_123_456, "vcan3", frame).strip())
    assert (recorded.time_us, recorded.bus, recorded.frame) == (1_700_000_000_123_456, 3, frame)


@pytest.mark.parametrize("header", ["", GVRET])
@pytest.mark.parametrize("line", ["(1.0) junk\n", "\n"])
def test_a_file_that_does_not_come_to_a_frame_is_given_up_before_its_end(tmp_path, header, line):
    path = written(tmp_path, (header or "(1.0) junk\n") + line * (2 * MAX_BEFORE_FIRST))
    recording = Recording(path)
    with pytest.raises(RecordingError, match=f"no frame in its first {MAX_BEFORE_FIRST} lines"):
        Playback(recording)
    assert recording.malformed <= MAX_BEFORE_FIRST


def test_behind_the_first_frame_any_number_of_corrupt_lines_is_skipped(tmp_path):
    good = "(1.000000) can0 123#00\n"
    path = written(tmp_path, good + "(1.0) junk\n" * (2 * MAX_BEFORE_FIRST) + good)
    assert len(Playback(Recording(path)).until(EVER, 9)) == 2


def test_corrupt_lines_are_counted_named_and_skipped(tmp_path):
    good = "(1.000000) can0 123#00\n"
    bad = ["(1.0) can0 123#00", "(1.000000) can0 12#00", "(1.000000) can0 923#00", "x", "(1.000000) can0 123##0"]
    path = written(tmp_path, good + "\n".join(bad) + "\n" + good + "(1.000000) can0 123#0")
    recording = Recording(path)
    assert len(list(recording)) == 2
    assert recording.malformed == 6
    assert recording.complaints[0] == f"{path}:2: not a candump line"
    assert "FD" in recording.complaints[4]
    list(recording)
    assert recording.malformed == 6, "a second pass does not count again"


@pytest.mark.parametrize(
    "row",
    [
        "1,123,false,0",
        "x,00000123,false,0,1,00,",
        "1,00000123,maybe,0,1,00,",
        "1,00000123,false,0,9,00,00,00,00,00,00,00,00,00",
        "1,00000123,false,0,2,00",
        "1,00000123,false,0,1,0G",
        "1,00000923,false,0,1,00",
        "1,20000000,true,0,1,00",
        "1,00000123,false,0,2, 0,00",
        "1000000000000000000,00000123,false,0,1,00",
        "9" * 400 + ",00000123,false,0,1,00",
        "1,00000123,false," + "9" * 400 + ",1,00",
    ],
)
def test_a_corrupt_gvret_row_is_counted_and_skipped(tmp_path, row):
    recording = Recording(written(tmp_path, GVRET + row + "\n2,00000123,false,0,1,00\n"))
    assert len(list(recording)) == 1
    assert recording.malformed == 1


@pytest.mark.parametrize("content", ["", "hello\n", "\x00\x01", "ID,Bus\n"])
def test_what_is_no_recording_is_refused_in_one_line(tmp_path, content):
    with pytest.raises(RecordingError) as refused:
        Playback(Recording(written(tmp_path, content)))
    assert refused.value.exit_code == 65
    assert "\n" not in str(refused.value)


def test_a_recording_without_the_wanted_bus_names_the_buses_it_has(tmp_path):
    path = written(tmp_path, "(1.000000) can0 123#\n(1.000000) can2 123#\n")
    with pytest.raises(RecordingError, match=r"no frame on bus 1; there are buses \[0, 2\]"):
        Playback(Recording(path), bus=1)


def test_pace_rate_and_loop_decide_when_frames_are_due(tmp_path):
    rows = "".join(f"({1 + i / 10:.6f}) can0 00{i}#\n" for i in range(3))
    recording = Recording(written(tmp_path, rows))
    times = lambda **how: [f.time_us for f in Playback(recording, **how).until(EVER, 7)]  # noqa: E731
    assert times() == [0, 100_000, 200_000]
    assert times(pace=2.0) == [0, 50_000, 100_000]
    assert times(pace=0.0) == [0, 100_000, 200_000]
    assert times(pace=0.0, max_rate=1_000) == [0, 1_000, 2_000]
    assert times(max_rate=5) == [0, 200_000, 400_000]
    assert times(loop=True) == [0, 100_000, 200_000, 201_000, 301_000, 401_000, 402_000]


def test_a_clock_that_steps_back_does_not_reorder_the_bus(tmp_path):
    path = written(tmp_path, "(5.000000) can0 001#\n(4.000000) can0 002#\n(5.000001) can0 003#\n")
    frames = Playback(Recording(path)).until(EVER, 9)
    assert [(f.time_us, f.frame.identifier) for f in frames] == [(0, 1), (0, 2), (1, 3)]


def test_frames_are_given_once_when_due_and_not_more_than_asked(tmp_path):
    path = written(tmp_path, "".join(f"(1.{i:06d}) can0 001#\n" for i in range(10)))
    feed = Playback(Recording(path))
    assert len(feed.until(4, 3)) == 3
    assert len(feed.until(4, 9)) == 2
    assert feed.next_us() == 5
    assert len(feed.until(EVER, 9)) == 5
    assert feed.finished()


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_read_or_refused(tmp_path_factory, content, gvret):
    path = tmp_path_factory.mktemp("any") / "log"
    path.write_bytes((GVRET.encode() if gvret else b"(1.000000) can0 123#00\n") + content)
    for recorded in Recording(path):
        assert len(recorded.frame.payload) <= 8
