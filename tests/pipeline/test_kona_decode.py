"""A real power-on of a Kona EV against cantools and the published DBC, and what is known of the recording."""

import random

import cantools.database
import pytest

from agent.decode import Decoder
from agent.frames import Frames
from agent.profile_store import load_profile, profile_directories
from agent.sources.recorded import RecordedSource
from agent.window import Windower
from packseal.shipped import config_dir
from tests.shared import shared

RECORDING = "canlogs/kona_pcan/230112-7-2019-pcan-ccan-power-off-on-ready-off.csv"


@pytest.fixture(scope="module")
def kona():
    return load_profile("kona-ev", profile_directories())


@pytest.fixture(scope="module")
def tesla():
    return load_profile("tesla-model3", profile_directories())


@pytest.fixture(scope="module")
def frames():
    source = RecordedSource([shared(RECORDING)], bus=0)
    source.open()
    parts = []
    ended = False
    while not ended:
        intake = source.read()
        assert intake.malformed == 0
        parts.append(intake.frames)
        ended = intake.ended
    source.close()
    assert not source.unix_times
    return Frames.concat(parts)


def physical(profile, samples, frames):
    """Per frame {DBC signal: physical value} by our own DBC's scale, before sign and unit mapping."""
    ours = cantools.database.load_file(config_dir() / "profiles" / f"{profile.name}.dbc", encoding="utf-8")
    found = [{} for _ in range(len(frames))]
    for message in profile.messages:
        source = ours.get_message_by_name(message.name)
        for field in message.fields:
            signal = source.get_signal_by_name(field.source)
            column = samples.columns.get(field.signal)
            if column is None:
                continue
            chosen = slice(None) if column.elements is None else column.elements == field.element
            for row, raw in zip(column.rows[chosen].tolist(), column.values[chosen].tolist(), strict=True):
                found[row][field.source] = signal.conversion.raw_to_scaled(raw)
    return found


def test_the_recording_has_24263_frames_of_101_identifiers_on_bus_0(frames):
    assert len(frames) == 24_263
    assert len(set(frames.ids.tolist())) == 101
    assert frames.time_us[0] == 0
    assert round(int(frames.time_us[-1]) / 1e6, 3) == 10.842


def test_every_mapped_signal_of_every_frame_equals_cantools_on_the_published_dbc(kona, frames):
    published = cantools.database.load_file(shared("dbc/kona-pcan.dbc"), encoding="utf-8")
    mapped = {message.id: {field.source for field in message.fields} for message in kona.messages}
    ours = physical(kona, Decoder(kona).decode_raw(frames), frames)
    compared = 0
    for row, number in enumerate(frames.ids.tolist()):
        if number not in mapped:
            assert ours[row] == {}
            continue
        payload = bytes(frames.payload[row, : frames.lengths[row]])
        theirs = published.decode_message(number, payload, decode_choices=False, allow_truncated=True)
        assert ours[row] == {name: theirs[name] for name in mapped[number]}
        compared += len(ours[row])
    assert compared > 1000


def test_canonical_values_have_packseals_units_and_signs(kona, frames):
    samples = Decoder(kona).decode(frames)
    raw = Decoder(kona).decode_raw(frames)

    def both(name):
        at = kona.index(name)
        return samples.columns[at].values.tolist(), raw.columns[at].values.tolist()

    values, raws = both("CurrentVoltage")
    assert values == [100 * value for value in raws]
    values, raws = both("CurrentCurrent")
    assert values == [-100 * value for value in raws]  # into the battery is positive
    assert (min(values), max(values)) == (-3400, 0)
    values, raws = both("Temperature.Max")
    assert set(values) == {23_000}
    assert set(both("Temperature.Min")[0]) == {22_000}
    assert (samples.short, set(both("StateOfCharge.CurrentFraction")[0])) == (0, {3})


@pytest.mark.parametrize("batch", [1, 7, 500, 30_000])
def test_the_windows_tell_what_the_car_did(kona, frames, batch):
    decoder, windower = Decoder(kona), Windower(kona)
    windows = []
    size = batch if batch > 1 else 3000  # one frame at a time for the first ones only
    cuts = [*range(0, 3000, batch), *range(3000, len(frames), size)] if batch == 1 else range(0, len(frames), batch)
    for begin, end in zip(cuts, [*cuts[1:], len(frames)], strict=True):
        part = frames[begin:end]
        windows += windower.push(part, decoder.decode(part))
    windows += windower.finish()
    assert len(windows) == 11
    assert [window.start_ms for window in windows] == [1000 * n for n in range(11)]
    assert [window.duration_ms for window in windows] == [1000] * 10 + [843]
    assert sum(window.frames for window in windows) == 24_263
    assert windower.late == 0

    def transitions(name):
        records = [(window.start_ms, window.records[kona.index(name)]) for window in windows]
        return [(start + offset, value) for start, record in records if record for offset, value in record[3]]

    assert transitions("IsPowerConnected") == [(2786, 1), (9076, 0)]
    assert transitions("Contactor.Precharge") == [(2481, 1), (2780, 0)]

    def extremes(name):
        records = [window.records[kona.index(name)] for window in windows]
        return min(record[1] for record in records if record), max(record[2] for record in records if record)

    assert extremes("StateOfCharge.Current") == (355, 355)
    assert extremes("StateOfCharge.Displayed") == (365, 365)
    assert extremes("CurrentVoltage") == (354_800, 355_100)


def test_our_tesla_positions_and_scales_are_the_published_ones(tesla):
    published = cantools.database.load_file(shared("dbc/tesla-model3.dbc"), strict=False)
    source = random.Random(3)
    swapped = {"Cell33": "Cell34", "Cell34": "Cell33"}  # the published file has these two the wrong way round
    for message in tesla.messages:
        theirs = published.get_message_by_frame_id(message.id)
        pages = sorted({field.mux for field in message.fields if field.mux is not None})
        payloads = [bytearray(source.randbytes(message.length)) for _ in range(200)]
        for number, payload in enumerate(payloads):
            if message.selector is not None:
                assert message.selector.start == 0
                mask = (1 << message.selector.length) - 1
                payload[0] = payload[0] & ~mask | pages[number % len(pages)]
        frames = Frames.from_rows([(n, message.id, 0, bytes(payload)) for n, payload in enumerate(payloads)])
        ours = physical(tesla, Decoder(tesla).decode_raw(frames), frames)
        names = {field.source for field in message.fields}
        for payload, values in zip(payloads, ours, strict=True):
            decoded = theirs.decode(bytes(payload), decode_choices=False)
            # cantools shows the published file's long names, of which a DBC's own have the first 32 characters.
            expected = {swapped.get(name[:32], name[:32]): value for name, value in decoded.items()}
            assert values == {name: value for name, value in expected.items() if name in names}
            assert values
        assert theirs.name == message.name


def test_the_tesla_profile_maps_all_cells_in_natural_order(tesla):
    cells = tesla.index("CellVoltage.CellVoltages")
    (message,) = [message for message in tesla.messages if message.id == 0x401]
    places = {field.element: (field.mux, field.bits.start) for field in message.fields if field.signal == cells}
    assert places == {cell: (cell // 3, 16 + 16 * (cell % 3)) for cell in range(108)}
    frames = Frames.from_rows(
        [
            (
                page,
                0x401,
                0,
                bytes([page, 0]) + b"".join((30_000 + 3 * page + n).to_bytes(2, "little") for n in range(3)),
            )
            for page in range(36)
        ]
    )
    windower = Windower(tesla)
    windower.push(frames, Decoder(tesla).decode(frames))
    (window,) = windower.finish()
    assert window.records[cells] == (
        108,
        3_000_000,
        3_010_700,
        3_005_350,
        0,
        107,
        tuple(100 * (30_000 + cell) for cell in range(108)),
    )
