from pathlib import Path

import can
import pytest

from agent.errors import RecordingError, SourceError
from agent.frames import EXTENDED, FD, REMOTE, Frames
from agent.sources.recorded import MAX_COMPLAINTS, RecordedSource

LOG = """(1600000000.000000) can0 100#00
(1600000000.010000) can1 200#01
(1600000000.020000) can0 101#02
"""


def written(tmp_path: Path, text: str | bytes, name: str = "drive.log") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def everything(source):
    source.open()
    parts, malformed, complaints = [], 0, []
    while True:
        intake = source.read()
        parts.append(intake.frames)
        malformed += intake.malformed
        complaints += intake.complaints
        if intake.ended:
            source.close()
            return Frames.concat(parts), malformed, complaints


def test_times_count_from_the_first_row_of_whatever_bus(tmp_path):
    source = RecordedSource([written(tmp_path, LOG)], bus=1)
    frames, malformed, _ = everything(source)
    assert frames.time_us.tolist() == [10_000]
    assert frames.ids.tolist() == [0x200]
    assert malformed == 0


def test_unix_times_are_told_from_others(tmp_path):
    source = RecordedSource([written(tmp_path, LOG)])
    source.open()
    assert source.unix_times
    assert source.first_time_us == 1_600_000_000_000_000
    zero_based = RecordedSource([written(tmp_path, "(0.000000) can0 100#00\n", "zero.log")])
    zero_based.open()
    assert not zero_based.unix_times
    assert zero_based.first_time_us is None


@pytest.mark.parametrize(("bus", "ids"), [(None, 3), (0, 2), ("0", 2), ("can0", 2), ("can1", 1), (7, 0), ("can", 0)])
def test_a_bus_is_chosen_by_number_or_name_and_frames_of_others_are_no_loss(tmp_path, bus, ids):
    frames, malformed, _ = everything(RecordedSource([written(tmp_path, LOG)], bus=bus))
    assert (len(frames), malformed) == (ids, 0)


def test_a_corrupt_line_is_counted_named_and_skipped(tmp_path):
    path = written(tmp_path, LOG.replace("can1 200#01", "can1 200#0"))
    frames, malformed, complaints = everything(RecordedSource([path]))
    assert (len(frames), malformed) == (2, 1)
    assert complaints == [f"{path}:2: half a byte of payload: '(1600000000.010000) can1 200#0'"]


def test_a_truncated_last_line_is_counted(tmp_path):
    frames, malformed, complaints = everything(RecordedSource([written(tmp_path, LOG[:-1])]))
    assert (len(frames), malformed) == (2, 1)
    assert ":3: cut short" in complaints[0]


def test_a_line_without_end_costs_one_line_not_the_memory(tmp_path):
    path = written(tmp_path, LOG.encode() + b"x" * 50_000 + b"\n(1600000000.030000) can0 102#03\n")
    frames, malformed, complaints = everything(RecordedSource([path]))
    assert (len(frames), malformed) == (4, 1)
    assert ":4: longer than" in complaints[0]


def test_a_damaged_time_is_refused_and_the_rows_after_it_keep_theirs(tmp_path):
    text = LOG + "(9600000000.025000) can0 102#03\n(1500000000.025000) can0 102#03\n(1600000000.030000) can0 103#04\n"
    frames, malformed, complaints = everything(RecordedSource([written(tmp_path, text)]))
    assert frames.time_us.tolist() == [0, 10_000, 20_000, 30_000]
    assert malformed == 2
    assert ":4: a time +8000000000.005000 s from the row before" in complaints[0]
    assert ":5: a time -99999999.995000 s" in complaints[1]


def test_all_faults_are_counted_and_the_first_ones_named(tmp_path):
    _, malformed, complaints = everything(RecordedSource([written(tmp_path, LOG + "damaged\n" * 1000)]))
    assert malformed == 1000
    assert len(complaints) == MAX_COMPLAINTS


def test_batches_end_where_they_should_and_join_to_the_same_frames(tmp_path):
    path = written(tmp_path, "".join(f"(1.{n:06d}) can0 {n:03X}#{n % 256:02X}\n" for n in range(1000)))
    whole, _, _ = everything(RecordedSource([path]))
    small, _, _ = everything(RecordedSource([path], batch=7))
    assert whole.ids.tolist() == small.ids.tolist() == list(range(1000))
    assert whole.time_us.tolist() == small.time_us.tolist()


def test_a_source_can_be_opened_again_from_the_start(tmp_path):
    source = RecordedSource([written(tmp_path, LOG)])
    first, _, _ = everything(source)
    second, _, _ = everything(source)
    assert first.ids.tolist() == second.ids.tolist()


def test_files_that_follow_one_another_are_one_recording(tmp_path):
    first = written(tmp_path, LOG, "a.log")
    second = written(tmp_path, "(1600000001.000000) can0 102#03\n", "b.log")
    frames, _, _ = everything(RecordedSource([first, second]))
    assert frames.time_us.tolist() == [0, 10_000, 20_000, 1_000_000]


def test_files_that_do_not_follow_one_another_are_refused(tmp_path):
    first = written(tmp_path, LOG, "a.log")
    second = written(tmp_path, LOG, "b.log")
    with pytest.raises(RecordingError, match=r"b\.log: its times do not follow those of .*a\.log; replay"):
        everything(RecordedSource([first, second]))


def test_a_later_jump_in_a_second_file_is_a_damaged_time_only(tmp_path):
    first = written(tmp_path, LOG, "a.log")
    second = written(tmp_path, "(1600000000.020000) can0 102#03\n(1900000000.000000) can0 103#04\n", "b.log")
    frames, malformed, _ = everything(RecordedSource([first, second]))
    assert (len(frames), malformed) == (4, 1)


def test_an_empty_log_ends_at_once(tmp_path):
    frames, malformed, _ = everything(RecordedSource([written(tmp_path, b"")]))
    assert (len(frames), malformed) == (0, 0)


def test_a_missing_file_is_one_line_at_opening(tmp_path):
    with pytest.raises(SourceError, match=r"gone\.log: cannot be opened: No such file") as caught:
        RecordedSource([written(tmp_path, LOG), tmp_path / "gone.log"]).open()
    assert caught.value.exit_code == 74


@pytest.mark.parametrize(
    ("text", "bus", "said"),
    [
        ("", None, "no frame; 0 rows"),
        ("garbage\n" * 3, None, "no frame; 3 rows"),
        (LOG, 7, "no frame on bus 7, there are can0, can1"),
    ],
)
def test_a_recording_without_a_frame_to_take_is_refused_before_anything_is_sealed(tmp_path, text, bus, said):
    source = RecordedSource([written(tmp_path, text)], bus)
    source.open()
    with pytest.raises(RecordingError, match=said):
        source.require_frames()
    source.close()


def test_no_files_are_refused():
    with pytest.raises(SourceError, match="no recording"):
        RecordedSource([]).open()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("drive.csv", b"timestamp,arbitration_id,extended,remote,error,dlc,data\n1,2,3\n"),
        ("drive.csv", b"\x00\x00"),
        ("drive.txt", b"hello\n"),
        ("drive.blf", b"LOGX"),
        ("drive.trc", b""),
    ],
)
def test_a_file_that_is_no_recording_is_named_with_what_is_read(tmp_path, name, content):
    with pytest.raises(
        RecordingError, match=r"drive\.\w+: begins with .* which is no recording we read: candump"
    ) as caught:
        RecordedSource([written(tmp_path, content, name)]).open()
    assert caught.value.exit_code == 65


def test_the_format_is_told_by_content_rather_than_by_name(tmp_path):
    frames, malformed, _ = everything(RecordedSource([written(tmp_path, LOG, "drive.txt")]))
    assert (len(frames), malformed) == (3, 0)


def test_a_log_with_a_damaged_first_line_is_read_by_its_name(tmp_path):
    frames, malformed, _ = everything(RecordedSource([written(tmp_path, "\x00\n" + LOG)]))
    assert (len(frames), malformed) == (3, 1)


# Oracle: python-can's writers.

MESSAGES = [
    can.Message(1.0, 0x123, is_extended_id=False, data=b"\x01\x02\x03", channel=0),
    can.Message(1.5, 0x18FF50E5, is_extended_id=True, data=bytes(range(8)), channel=0),
    can.Message(2.0, 0x7FF, is_extended_id=False, is_remote_frame=True, dlc=0, channel=0),
    can.Message(2.25, 0x321, is_extended_id=False, is_fd=True, data=bytes(range(24)), dlc=24, channel=0),
]


def logged(tmp_path, suffix, messages=MESSAGES, **options):
    path = tmp_path / f"drive{suffix}"
    with can.Logger(path, **options) as logger:
        for message in messages:
            logger(message)
    return path


@pytest.mark.parametrize("suffix", [".log", ".asc", ".blf"])
def test_what_python_can_writes_is_read(tmp_path, suffix):
    frames, malformed, _ = everything(RecordedSource([logged(tmp_path, suffix)]))
    assert malformed == 0
    assert frames.time_us.tolist() == [0, 500_000, 1_000_000, 1_250_000]
    assert frames.ids.tolist() == [0x123, 0x18FF50E5, 0x7FF, 0x321]
    assert frames.flags.tolist() == [0, EXTENDED, REMOTE, FD]
    assert [bytes(p[:n]) for p, n in zip(frames.payload, frames.lengths, strict=True)] == [
        b"\x01\x02\x03",
        bytes(range(8)),
        b"",
        bytes(range(24)),
    ]


def many(count):
    return [
        can.Message(1e9 + n / 1000, n % 2048, is_extended_id=False, data=n.to_bytes(4, "big")) for n in range(count)
    ]


@pytest.mark.parametrize("level", [-1, 0])
def test_a_blf_of_many_containers_is_read_whole(tmp_path, level):
    path = logged(tmp_path, ".blf", many(20_000), compression_level=level)
    frames, malformed, _ = everything(RecordedSource([path]))
    assert (len(frames), malformed) == (20_000, 0)
    assert frames.payload[:, :4].copy().view(">u4").ravel().tolist() == list(range(20_000))


@pytest.mark.parametrize("level", [-1, 0])
def test_half_a_blf_gives_what_is_there_and_counts_what_is_missing(tmp_path, level):
    path = logged(tmp_path, ".blf", many(20_000), compression_level=level)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    frames, malformed, complaints = everything(RecordedSource([path]))
    assert 0 < len(frames) < 20_000
    assert len(frames) + malformed == 20_000
    assert any("cut short" in complaint for complaint in complaints)
    assert any("of them are missing" in complaint for complaint in complaints)


def test_a_damaged_container_costs_its_own_rows_only(tmp_path):
    path = logged(tmp_path, ".blf", many(20_000))
    content = bytearray(path.read_bytes())
    content[300:320] = bytes(20)
    path.write_bytes(content)
    frames, malformed, complaints = everything(RecordedSource([path]))
    assert len(frames) + malformed == 20_000
    assert len(frames) > 0
    assert any("damaged" in complaint for complaint in complaints)


def test_a_blf_object_of_no_size_ends_rather_than_repeats(tmp_path):
    path = logged(tmp_path, ".blf", many(10), compression_level=0)
    content = bytearray(path.read_bytes())
    at = content.find(b"LOBJ", content.find(b"LOBJ") + 4)
    content[at + 8 : at + 12] = bytes(4)
    path.write_bytes(content)
    frames, malformed, _ = everything(RecordedSource([path]))
    assert (len(frames), malformed) == (9, 1)


def test_reading_recordings_does_not_import_python_can():
    import subprocess
    import sys

    code = (
        "import sys, agent.sources.recorded, agent.window; sys.exit('can' in sys.modules or 'cantools' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
