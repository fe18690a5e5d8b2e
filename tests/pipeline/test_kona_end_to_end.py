"""A real recording, sealed, carried by a real broker, admitted by the ledger, and checked by a stranger offline."""

import json

import pytest

from agent.decode import Decoder
from demo.broker import Broker
from demo.stage import Stage
from evidence.bodies import Segment
from evidence.keys import NamedKey
from evidence.verify import verify
from tests.shared import shared

RECORDING = "canlogs/kona_pcan/230112-7-2019-pcan-ccan-power-off-on-ready-off.csv"
FRAMES = 24_263


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    """The stage after the replay: (stage, what the replay printed, the bundle's bytes)."""
    recording = shared(RECORDING)
    folder = tmp_path_factory.mktemp("kona")
    with Broker(folder / "broker") as broker:
        stage = Stage(folder, broker)
        try:
            key = stage.found_ledger()
            stage.write_agent_config(key, [])
            stage.serve()
            stage.register("pack-0001", "model=Kona EV 2019")
            words = ("--profile", "kona-ev", "--pack", "pack-0001", "--bus-number", "0", "--json")
            done = stage.call("packseal-agent", "replay", "--config", stage.agent_config, *words, recording)
            out = ("--out", "kona.bundle", "--with-segments", "--config", stage.ledger_config)
            stage.call("packseal-ledger", "bundle", "pack-0001", *out)
            yield stage, json.loads(done.stdout), (folder / "kona.bundle").read_bytes()
        finally:
            stage.close()


@pytest.fixture(scope="module")
def verdict(replayed):
    stage, _, bundle = replayed
    ledger = NamedKey.parse((stage.folder / "ledger.vkey").read_text().strip())
    pins = [NamedKey.parse(line).public for line in (stage.folder / "packs.vkey").read_text().split()]
    return verify(bundle, ledger, pins)


def test_every_frame_of_the_bus_is_sealed_and_every_statement_proven(replayed, verdict):
    _, done, _ = replayed
    assert done["frames"] == verdict.frames == FRAMES
    assert done["malformed"] == done["pending"] == done["refused"] == 0
    assert done["proven"] == done["statements"] == len(verdict.statements)


def test_the_bundle_is_complete_and_says_as_of_when(verdict):
    assert verdict.complete_size is not None
    assert verdict.complete_time_ms is not None
    assert verdict.heard_time_ms is not None


def test_the_frames_sealed_are_the_frames_recorded_by_their_raw_digests(verdict):
    import hashlib

    from agent.frames import digest_update
    from agent.sources.recorded import RecordedSource

    source = RecordedSource([shared(RECORDING)], 0, batch=1_000_000)
    source.open()
    frames = source.read(0).frames
    source.close()
    position = 0
    for proven in verdict.statements:
        if isinstance(body := proven.statement.body, Segment):
            hasher = hashlib.sha256()
            digest_update(hasher, frames[position : position + body.frames])
            assert hasher.digest() == body.raw
            position += body.frames
    assert position == FRAMES


def test_the_contactor_closes_at_2786_ms_and_opens_at_9076_ms(verdict):
    assert _transitions(verdict, "ContactorClosed") == [(2786, 1), (9076, 0)]


def test_the_values_are_those_of_the_car(verdict):
    soc = _records(verdict, "SoC_Maybe")
    assert {value for record in soc for value in record[1:3]} == {355}  # permille
    display = _records(verdict, "SocDisp")
    assert {value for record in display for value in record[1:3]} == {365}
    voltage = _records(verdict, "VBatt")
    assert (min(record[1] for record in voltage), max(record[2] for record in voltage)) == (354_800, 355_100)  # mV


def test_the_recording_s_times_are_not_taken_for_wall_clock(verdict):
    assert {(each.statement.stamp.wall_ms, each.statement.stamp.quality) for each in verdict.statements} == {(0, 0)}
    last = [each.statement for each in verdict.statements if each.statement.kind == "segment"][-1]
    assert last.stamp.t1_ms == 10_843  # just past the last row at 10.842 s


def test_packseal_verify_says_so_and_rejects_a_truncated_bundle_in_one_line(replayed):
    stage, _, bundle = replayed
    keys = ("--ledger-key", "ledger.vkey", "--pack-key", "packs.vkey")
    assert stage.call("packseal-verify", "kona.bundle", *keys).stdout.endswith("VERIFIED\n")
    (stage.folder / "short.bundle").write_bytes(bundle[: len(bundle) // 3])
    refused = stage.call("packseal-verify", "short.bundle", *keys, check=False)
    assert refused.returncode == 65
    assert refused.stderr.count("\n") == 1
    assert "step 1 (form)" in refused.stderr


def test_the_ledger_s_own_check_finds_nothing_wrong(replayed):
    stage, _, _ = replayed
    assert stage.call("packseal-ledger", "log", "check", "--config", stage.ledger_config).returncode == 0


def test_the_same_recording_again_goes_on_in_the_same_chain(replayed):
    stage, first, _ = replayed
    words = ("--profile", "kona-ev", "--pack", "pack-0001", "--bus-number", "0", "--json")
    again = stage.call("packseal-agent", "replay", "--config", stage.agent_config, *words, shared(RECORDING))
    assert json.loads(again.stdout)["proven"] == first["statements"]
    stage.call("packseal-ledger", "bundle", "pack-0001", "--out", "twice.bundle", "--config", stage.ledger_config)
    ledger = NamedKey.parse((stage.folder / "ledger.vkey").read_text().strip())
    twice = verify((stage.folder / "twice.bundle").read_bytes(), ledger)
    assert len(twice.statements) == 2 * first["statements"]
    assert len({each.statement.epoch for each in twice.statements}) == 2


def _index(verdict, source):
    """Position of the signal that a DBC signal is mapped to, by the profile that the epoch's open carries."""
    from agent.profile import Profile

    opened = next(each.statement.body for each in verdict.statements if each.statement.kind == "open")
    profile = Profile.from_bytes(opened.schema)
    assert Decoder(profile)
    fields = [each for message in profile.messages for each in message.fields]
    return next(each.signal for each in fields if each.source == source)


def _windows(verdict):
    return [window for each in verdict.statements if each.document for window in each.document.windows]


def _records(verdict, source):
    index = _index(verdict, source)
    return [window.records[index] for window in _windows(verdict) if window.records[index] is not None]


def _transitions(verdict, source):
    index = _index(verdict, source)
    return [
        (window.start_ms + offset, value)
        for window in _windows(verdict)
        if window.records[index] is not None
        for offset, value in window.records[index][3]
    ]
