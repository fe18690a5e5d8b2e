"""The fleet's generator: who it speaks as, what it signs, when, and what it counts."""

from __future__ import annotations

import json
import math
import re
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import acts, chain, segment, statement
from evidence.bodies import Close, Gap, Open, Segment
from evidence.keys import NamedKey, SigningKey
from evidence.merkle import Digest
from evidence.names import Registrar
from firmware_sim import cli
from firmware_sim.fleet import library, members
from firmware_sim.fleet.ends import ChainEnds
from firmware_sim.fleet.figures import Figures, percentile
from firmware_sim.fleet.library import WINDOWS
from firmware_sim.fleet.load import Signer
from firmware_sim.fleet.statements import SPAN_MS, Chain
from firmware_sim.fleet.timetable import Timetable
from ledger import bulk, desk, founding, keyfiles
from ledger.sequencer import Admitted, Refused
from packseal import program
from packseal.program import ConfigurationError, InputOutputError, Unavailable, UsageError
from tests.diagnostics_world import REPORT
from tests.ledger_world import ORIGIN, REGISTRAR, START_MS, World

NAMED = "packs.example,2026"


class Rising:
    """A pack whose voltage rises by 1 mV with every report, and whose cells differ."""

    def __init__(self):
        self.time_us = -1
        self.reports = 0

    def advance_to(self, time_us):
        assert time_us > self.time_us
        self.time_us = time_us
        return True

    def report(self):
        self.reports += 1
        return REPORT._replace(pack_volts=370.0 + self.reports / 1_000)


def recorded(*, with_cells=False):
    return library.record([Rising(), Rising()], 10, with_cells=with_cells)


def fleet(tmp_path, count=3):
    return members.opened(tmp_path / "fleet", NAMED, count)


def chain_of(fleet, number=1, *, epoch=77, previous=None, gap_share=0.0, with_cells=False):
    member = fleet.member(number)
    return Chain(
        member,
        fleet.registrar.gateway(member.gateway),
        fleet.registrar.pack(member.pack),
        ORIGIN,
        recorded(with_cells=with_cells),
        fleet.secret,
        epoch,
        START_MS,
        gap_share,
        previous,
    )


def test_a_fleet_is_the_same_whenever_its_folder_is_opened_and_another_folder_is_another_fleet(tmp_path):
    first, again = fleet(tmp_path), fleet(tmp_path)
    other = members.opened(tmp_path / "other", NAMED, 3)
    keys = {each.key.public for each in first.members()}
    assert keys == {each.key.public for each in again.members()}
    assert len(keys | {each.key.public for each in other.members()}) == 6
    assert {each.pack for each in first.members()}.isdisjoint(each.pack for each in other.members())


def test_a_larger_fleet_of_one_seed_begins_with_the_smaller_one(tmp_path):
    small, large = fleet(tmp_path, 2), fleet(tmp_path, 5)
    assert [each.pack for each in large.members()[:2]] == [each.pack for each in small.members()]


def test_every_name_says_that_it_is_simulated_and_is_an_identifier(tmp_path):
    last = members.opened(tmp_path / "fleet", NAMED, members.LARGEST).member(members.LARGEST)
    assert re.fullmatch(r"sim-[0-9a-f]{6}-99999", last.pack)
    assert re.fullmatch(r"sim-gw-[0-9a-f]{6}-99999", last.gateway)
    assert Registrar(NAMED).pack(last.pack)


def test_the_seed_is_its_owners_alone(tmp_path):
    fleet(tmp_path)
    path = tmp_path / "fleet" / members.SEED_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="others may read"):
        fleet(tmp_path)


@pytest.mark.parametrize("content", ["", "xyz", "00" * 31, "00" * 33, "\u00fc"])
def test_a_seed_that_is_none_is_refused_and_never_replaced(tmp_path, content):
    fleet(tmp_path)
    path = tmp_path / "fleet" / members.SEED_FILE
    path.write_text(content)
    with pytest.raises(ConfigurationError, match="not a fleet's seed"):
        fleet(tmp_path)
    assert path.read_text() == content


@pytest.mark.parametrize(("registrar", "count"), [("nobody", 1), (NAMED, 0), (NAMED, 100_000)])
def test_a_fleet_that_cannot_be_is_a_configuration_error(tmp_path, registrar, count):
    with pytest.raises(ConfigurationError):
        members.opened(tmp_path / "fleet", registrar, count)


def test_a_folder_that_cannot_be_written_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputOutputError):
        members.opened(tmp_path / "file" / "fleet", NAMED, 1)


def test_a_registration_is_what_the_ledger_reads(tmp_path):
    made = fleet(tmp_path)
    member = made.member(2)
    wanted = bulk.read_line(made.registration(member).encode(), REGISTRAR)
    assert (wanted.pack, wanted.gateway) == (REGISTRAR.pack(member.pack), REGISTRAR.gateway(member.gateway))
    assert wanted.key == NamedKey(REGISTRAR.pack(member.pack), member.key.public)
    assert json.loads(made.registration(member))["attributes"] == {"origin": "packseal-sim fleet, not a pack"}


def test_windows_hold_what_the_reports_said():
    found = recorded(with_cells=True)
    assert len(found.segments) == 4
    first, second = found.segments[0][:2]
    assert first[0] == (10, 370_001, 370_010, 370_006, 370_010)
    assert second[0] == (10, 370_011, 370_020, 370_016, 370_020)
    assert first[1] == (10, -81_500, -81_500, -81_500, -81_500)
    mean = (3_851_200 + 3_843_700 + 3_900_100) / 3
    assert first[7] == (30, 3_843_700, 3_900_100, math.floor(mean + 0.5), 1, 2, (3_851_200, 3_843_700, 3_900_100))
    assert len(recorded().segments[0][0]) == 7


def test_a_chain_is_whole_by_evidences_own_rules_and_its_documents_are_the_ones_signed(tmp_path):
    epoch = chain_of(fleet(tmp_path), gap_share=0.3, with_cells=True)
    said = [epoch.open(), *(epoch.next() for _ in range(40)), epoch.close()]
    read = [statement.read(each.encoded) for each in said]
    assert chain.in_order(reversed(read)) == read
    assert {type(each.body) for each in read} == {Open, Segment, Gap, Close}
    assert read[0].body.version.startswith("packseal-sim fleet ")
    for each, found in zip(said, read, strict=True):
        assert (each.kind, each.entry) == (found.kind, found.entry)
        found.message.verify(epoch.member.key.public)
        if isinstance(found.body, Segment):
            document = segment.check(each.document, found.body)
            segment.check_span(document, found.stamp.t0_ms, found.stamp.t1_ms)
            assert len(document.windows) == WINDOWS
            assert found.stamp.t1_ms - found.stamp.t0_ms == SPAN_MS
            assert each.digest == segment.digest(each.document)


def test_no_two_segments_of_a_fleet_have_one_document(tmp_path):
    made = fleet(tmp_path)
    digests = set()
    for number in (1, 2, 3):
        epoch = chain_of(made, number)
        epoch.open()
        digests |= {epoch.next().digest for _ in range(10)}
    assert len(digests) == 30


def test_a_new_epoch_continues_the_chain_where_the_last_one_ended(tmp_path):
    first = chain_of(fleet(tmp_path))
    said = [first.open(), first.next(), first.close()]
    second = chain_of(fleet(tmp_path), epoch=78, previous=said[-1].entry)
    said += [second.open(), second.close()]
    read = [statement.read(each.encoded) for each in said]
    assert chain.in_order(read) == read
    assert [each.body.reason for each in read if isinstance(each.body, Open)] == [0, 1]


def test_a_ledger_admits_everything_that_a_registered_fleet_says(tmp_path):
    world, made = World(tmp_path / "ledger"), fleet(tmp_path)
    sequencer = world.sequencer()

    def load():
        # What a reader beside the writer replays: a register of its own.
        copy = type(sequencer.register)(ORIGIN, world.ledger.public)
        for index, message in sequencer.store.acts(0, sequencer.size):
            copy.apply(acts.read(message), index)
        return copy

    maker = keyfiles.load(world.folder, founding.party_key("maker"))
    lines = [(number, made.registration(each).encode()) for number, each in enumerate(made.members(), 1)]
    registering = bulk.Bulk(desk.own(sequencer), load, REGISTRAR, REGISTRAR.party("maker"), maker, START_MS // 1000)
    assert [(done.acts, done.refused) for done in registering.run(iter(lines))] == [(9, 0)]
    timetable = Timetable(3, 10.0, 8)
    signer = Signer([chain_of(made, number, gap_share=0.2) for number in (1, 2, 3)], timetable)
    for place in range(timetable.size):
        turn = timetable.turn(place)
        member, said = made.member(turn.member + 1), signer.take(turn)
        (outcome,) = sequencer.integrate([bulk_arrival(said.encoded, member)])
        assert isinstance(outcome, Admitted), outcome
    stranger = members.opened(tmp_path / "other", NAMED, 1)
    (outcome,) = sequencer.integrate([bulk_arrival(chain_of(stranger).open().encoded, stranger.member(1))])
    assert isinstance(outcome, Refused)
    assert outcome.rule == "unknown-pack"
    sequencer.store.close()


def bulk_arrival(encoded, member):
    from ledger.admission import Arrival

    return Arrival(encoded, member.gateway, member.pack)


def test_signing_ahead_signs_the_same_statements_in_the_same_order(tmp_path):
    timetable = Timetable(2, 1.0, 4)
    made = fleet(tmp_path)
    late, early = (Signer([chain_of(made, 1), chain_of(made, 2)], timetable) for _ in range(2))
    early.sign_ahead()
    turns = [timetable.turn(place) for place in range(timetable.size)]
    assert [early.take(turn) for turn in turns] == [late.take(turn) for turn in turns]


def test_chain_ends_are_kept_from_run_to_run_and_belong_to_one_run_at_a_time(tmp_path):
    with ChainEnds(tmp_path) as ends:
        assert (ends.of(1), ends.of(7)) == (None, None)
        ends.put(7, Digest(b"e" * 32))
        with pytest.raises(Unavailable, match="another"):
            ChainEnds(tmp_path)
    with ChainEnds(tmp_path) as ends:
        assert (ends.of(1), ends.of(7), ends.of(8)) == (None, b"e" * 32, None)


def test_chain_ends_that_cannot_be_kept_are_an_input_error(tmp_path):
    with pytest.raises(InputOutputError):
        ChainEnds(tmp_path / "absent")


def test_all_open_first_and_all_close_last_and_in_between_they_take_turns():
    timetable = Timetable.of(3, 2.0, 6.0)
    turns = [timetable.turn(place) for place in range(timetable.size)]
    assert [(turn.member, turn.round) for turn in turns] == [(m, r) for r in range(4) for m in range(3)]
    assert [turn.due_s for turn in turns] == [place / 2.0 for place in range(12)]


@given(members=st.integers(1, 50), rate=st.floats(0.1, 1e4), rounds=st.integers(3, 9), now_s=st.floats(-1, 1e4))
def test_what_is_due_is_what_the_turns_say(members, rate, rounds, now_s):
    timetable = Timetable(members, rate, rounds)
    due = timetable.due(now_s)
    assert 0 <= due <= timetable.size
    if due:
        assert timetable.turn(due - 1).due_s <= now_s + 1e-6
    if due < timetable.size:
        assert timetable.turn(due).due_s > now_s - 1e-6


def test_a_time_too_short_to_open_speak_and_close_is_refused_with_the_time_that_is_needed():
    with pytest.raises(UsageError, match="--duration 30"):
        Timetable.of(100, 10.0, 29.0)
    assert Timetable.of(100, 10.0, 30.0).rounds == 3


@given(values=st.lists(st.floats(0, 1e6), min_size=1, max_size=300), share=st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_the_smallest_value_that_the_share_does_not_exceed(values, share):
    found = percentile(values, share)
    within = [value for value in values if value <= found]
    assert found in values
    assert len(within) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) < share * len(values) + 1e-6


def test_figures_say_what_was_asked_reached_and_answered():
    figures = Figures(packs=10, connections=2, asked_rate=100.0, statements=50, sent=50, proven=45, sending_s=0.5)
    figures.refused["unknown-pack"] = 3
    figures.latencies_s = [0.1, 0.2, 0.4]
    figures.whole_s, figures.cpu_s = 2.0, 0.5
    found = json.loads(json.dumps(figures.as_json()))
    assert (found["achieved_rate"], found["unanswered"], found["cpu_share"]) == (100.0, 2, 0.25)
    assert found["proof_latency_s"] == {"p50": 0.2, "p99": 0.4, "max": 0.4}
    text = "\n".join(figures.lines())
    assert "no pack was simulated" in text
    assert "3 unknown-pack" in text
    assert "25 % of a core" in text


def test_figures_of_a_run_that_sent_nothing_are_no_error():
    assert Figures().as_json()["proof_latency_s"] == {"p50": None, "p99": None, "max": None}
    assert Figures().lines()


@pytest.mark.parametrize(
    ("more", "code", "named"),
    [
        (("--packs", "5"), program.USAGE, "--broker"),
        (("--packs", "0", "--register-only", "x"), program.CONFIGURATION, "--packs 0"),
        (("--packs", "0", "--broker", "mqtt://x", "--ledger-key", "KEY"), program.CONFIGURATION, "--packs 0"),
        (("--packs", "x"), program.USAGE, "whole number"),
        (("--packs", "5", "--rate", "0"), program.USAGE, "above 0"),
        (("--packs", "5", "--gap-share", "2"), program.USAGE, "share"),
        (("--packs", "5", "--registrar", "me", "--register-only", "x"), program.CONFIGURATION, "--registrar"),
        (("--packs", "5", "--register-only", "no/such/x"), program.INPUT_OUTPUT, "no/such/x"),
        (("--packs", "5", "--broker", "mqtt://127.0.0.1:9", "--ledger-key", "no.vkey"), program.USAGE, "no.vkey"),
        (("--packs", "5", "--broker", "tcp://x", "--ledger-key", "KEY"), program.CONFIGURATION, "mqtt://"),
        (("--packs", "5", "--broker", "mqtt://x", "--ledger-key", "KEY", "--rate", "0.2"), program.USAGE, "--duration"),
        (
            ("--packs", "5", "--broker", "mqtt://x", "--ledger-key", "KEY", "--connections", "0"),
            program.USAGE,
            "--connections",
        ),
    ],
)
def test_every_mistake_is_one_line_and_a_documented_code(tmp_path, monkeypatch, capsys, more, code, named):
    monkeypatch.chdir(tmp_path)
    key = str(NamedKey("ledger.example/packs", SigningKey(bytes(32)).public))
    assert cli.main(["fleet", *(key if word == "KEY" else word for word in more)]) == code
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert (out, named in line) == ("", True)


def test_what_the_ledger_must_register_is_written_a_line_for_each_member(tmp_path, capsys):
    listed = tmp_path / "fleet.jsonl"
    words = ("--packs", "7", "--keys", str(tmp_path / "fleet"), "--register-only", str(listed))
    assert cli.main(["fleet", *words]) == program.OK
    assert "7 registrations" in capsys.readouterr().out
    made = members.opened(tmp_path / "fleet", NAMED, 7)
    assert listed.read_text().splitlines() == [made.registration(each) for each in made.members()]
