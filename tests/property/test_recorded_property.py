import tempfile
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from agent.errors import RecordingError
from agent.frames import FD, Frames
from agent.sources.recorded import RecordedSource

HEADS = [
    b"",
    b"(1.000000) can0 123#00\n",
    b"Time Stamp,ID,Extended,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8\r\n",
    b"Time Stamp,ID,Extended,Dir,Bus,LEN,D1\r\n1,00000123,false,Rx,0,1,AA\r\n",
    b"date Sat Sep 30 15:06:13.191 2017\nbase hex timestamps absolute\n",
    b"base dec timestamps relative\n0.1 1 12 Rx d 1 5\n",
    b"LOGG" + (144).to_bytes(4, "little") + bytes(136),
]
LIKELY = st.text("0123456789abcdefABCDEFxrdRT#(),. \n_can", max_size=200).map(str.encode)
BLF_OBJECT = st.builds(
    lambda size, kind, rest: (
        b"LOBJ" + (16).to_bytes(4, "little") + size.to_bytes(4, "little") + kind.to_bytes(4, "little") + rest
    ),
    st.integers(0, 200) | st.integers(0, 2**32 - 1),
    st.sampled_from([1, 10, 73, 86, 100, 101, 115]) | st.integers(0, 2**32 - 1),
    st.binary(max_size=120),
)


def check(content, suffix):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"any{suffix}")
        path.write_bytes(content)
        source = RecordedSource([path], batch=5)
        try:
            source.open()
        except RecordingError:
            return None
        parts = []
        for _ in range(len(content) + 10):
            intake = source.read()
            assert len(intake.complaints) <= 20
            parts.append(intake.frames)
            if intake.ended:
                source.close()
                return Frames.concat(parts)
    raise AssertionError("the recording does not end")


@given(
    st.sampled_from(HEADS),
    st.lists(st.binary(max_size=200) | LIKELY | BLF_OBJECT, max_size=8),
    st.sampled_from([".log", ".asc", ".csv", ".blf"]),
)
@example(b"", [b"(1.000000) can0 123#00", b"\xff"], ".log")
def test_any_bytes_give_frames_or_one_error(head, parts, suffix):
    frames = check(head + b"".join(parts), suffix)
    if frames is not None:
        assert (frames.lengths <= 64).all()


FRAME = st.tuples(st.integers(0, 0x7FF), st.booleans(), st.binary(max_size=8))


@given(st.lists(FRAME, min_size=1, max_size=20), st.data())
def test_a_log_cut_anywhere_gives_the_frames_before_the_cut(frames, data):
    for suffix, text in (
        (".log", "".join(f"(5.{n:06d}) can0 {i:03X}#{p.hex()}\n" for n, (i, _, p) in enumerate(frames))),
        (
            ".csv",
            "Time Stamp,ID,Extended,Bus,LEN,D1\r\n"
            + "".join(
                f"{n},{i:08X},false,0,{len(p)}{''.join(f',{b:02X}' for b in p)}\r\n"
                for n, (i, _, p) in enumerate(frames)
            ),
        ),
    ):
        content = text.encode()
        head = content.find(b"\n") + 1 if suffix == ".csv" else 0
        cut = data.draw(st.integers(head, len(content)))
        read = check(content[:cut], suffix)
        assert read is not None
        whole = content[:cut].count(b"\n") - (1 if head else 0)
        assert len(read) in (whole, whole + 1)  # a GVRET row whose line end alone is missing is whole
        expected = [(i, p) for i, _, p in frames[: len(read)]]
        assert [
            (int(i), bytes(p[:n])) for i, p, n in zip(read.ids, read.payload, read.lengths, strict=True)
        ] == expected
        assert not (read.flags & FD).any()
