import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.faults import catalogue
from firmware_sim.faults.catalogue import KINDS
from firmware_sim.faults.timeline import MAX_ENTRIES, NEVER_US, Timeline
from packseal.program import ConfigurationError

PROMISED = [
    "cell-short",
    "weak-cell",
    "thermal-event",
    "isolation-loss",
    "contactor-welded",
    "sensor-stuck",
    "soc-frozen",
    "soh-zero",
    "bms-reset",
    "board-swapped",
    "vin-mislabelled",
    "frames-dropped",
    "frame-burst",
    "wrong-ids",
    "corrupted-payload",
    "bus-off",
    "adapter-unplugged",
    "clock-jump",
    "frame-flood",
    "replayed-log",
]


def test_the_catalogue_holds_every_fault_that_is_promised():
    assert list(KINDS) == PROMISED


@pytest.mark.parametrize("kind", PROMISED)
def test_every_fault_can_be_had_with_its_defaults_and_is_what_words_of_a_command_line_make_of_them(kind):
    fault = catalogue.read({"kind": kind}, "here")
    assert set(fault.parameters) == {parameter.name for parameter in KINDS[kind].parameters}

    def word(value):
        return ",".join(map(hex, value)) if isinstance(value, tuple) else json.dumps(value).strip('"')

    words = {name: word(value) for name, value in fault.parameters.items() if value not in ("", ())}
    assert catalogue.read_text(kind, words, "here") == fault


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "kind: is missing; there are cell-short"),
        ({"kind": "cell-shorts"}, "kind: 'cell-shorts' is not a fault; there are cell-short"),
        ({"kind": 7}, "kind: 7 is not a fault"),
        ({"kind": "cell-short", "ohms": 1}, "ohms: cell-short has no such key; it has cell, ohm"),
        ({"kind": "soc-frozen", "cell": 1}, "cell: soc-frozen has no such key; it has no parameters"),
        ({"kind": "cell-short", "cell": 0}, "cell: 0 is not a whole number from 1 to 108"),
        ({"kind": "cell-short", "cell": 97}, "cell: there is no cell 97; the pack has 96"),
        ({"kind": "cell-short", "cell": 1.0}, "cell: 1.0 is not a whole number"),
        ({"kind": "cell-short", "cell": True}, "cell: True is not a whole number"),
        ({"kind": "cell-short", "ohm": "1"}, "ohm: '1' is not a number from 0.02 to 100 ohm"),
        ({"kind": "cell-short", "ohm": float("nan")}, "ohm: nan is not a number"),
        ({"kind": "cell-short", "ohm": float("inf")}, "ohm: inf is not a number"),
        ({"kind": "thermal-event", "module": 5}, "module: there is no module 5; the pack has 4"),
        ({"kind": "contactor-welded", "pole": "left"}, "pole: 'left' is not one of positive, negative, both"),
        (
            {"kind": "sensor-stuck", "sensor": "cell", "number": 97},
            "number: there is no cell sensor 97; the pack has 96",
        ),
        ({"kind": "sensor-stuck", "number": 9}, "number: there is no temperature sensor 9; the pack has 8"),
        ({"kind": "sensor-stuck", "sensor": "current", "number": 2}, "number: there is no current sensor 2"),
        ({"kind": "bms-reset", "clear_counters": 1}, "clear_counters: 1 is not true or false"),
        ({"kind": "vin-mislabelled", "answer": ""}, "answer: '' is not 1 to 64 printable ASCII signs"),
        ({"kind": "vin-mislabelled", "answer": "a\nb"}, "answer: 'a\\nb' is not 1 to 64 printable"),
        ({"kind": "frames-dropped", "share": 1.5}, "share: 1.5 is not a number from 0 to 1"),
        ({"kind": "frames-dropped", "ids": [0x800]}, "ids: [2048] is not a list of at most 64 different identifiers"),
        ({"kind": "frames-dropped", "ids": [1, 1]}, "ids: [1, 1] is not a list"),
        ({"kind": "frames-dropped", "ids": list(range(100))}, "ids: [0, 1, 2"),
        ({"kind": "wrong-ids", "ids": [1]}, "ids: one identifier alone has none to swap with"),
        ({"kind": "clock-jump", "seconds": 0}, "seconds: a jump of 0 is none"),
        ({"kind": "frame-flood", "id": 0x800}, "id: 2048 is not a whole number from 0 to 2047"),
    ],
)
def test_what_cannot_be_is_one_line_that_names_place_key_and_what_is_allowed(table, said):
    with pytest.raises(ConfigurationError) as refused:
        catalogue.read(table, "s.toml: fault.3", cells=96, modules=4)
    assert str(refused.value).startswith("s.toml: fault.3: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 78


@pytest.mark.parametrize(
    ("kind", "words"), [("weak-cell", {"cell": "0x" + "F" * 5_000}), ("frames-dropped", {"ids": "1,0x" + "F" * 5_000})]
)
def test_a_number_that_is_longer_than_any_is_refused_like_others(kind, words):
    with pytest.raises(ConfigurationError, match=r"'.{30,}\.\.\. is not a"):
        catalogue.read_text(kind, words, "x")


values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=80)
    | st.lists(st.integers(), max_size=70)
)
names = st.sampled_from(sorted({p.name for kind in KINDS.values() for p in kind.parameters})) | st.text(
    string.ascii_lowercase
)


@given(st.sampled_from(PROMISED) | values, st.dictionaries(names, values, max_size=4))
def test_any_table_is_a_fault_within_its_bounds_or_is_refused(kind, keys):
    try:
        fault = catalogue.read({"kind": kind, **keys}, "x", cells=96, modules=4)
    except ConfigurationError:
        return
    for parameter in KINDS[fault.kind].parameters:
        assert (
            fault.parameters[parameter.name] == parameter.default
            or parameter.read(fault.parameters[parameter.name]) is not None
        )


@given(st.sampled_from(PROMISED), st.dictionaries(names, st.text(max_size=20), max_size=3))
def test_any_words_are_a_fault_or_are_refused(kind, words):
    try:
        catalogue.read_text(kind, words, "x")
    except ConfigurationError as refused:
        assert str(refused).startswith("x: ")  # noqa: PT017 - both are right


def soc_frozen():
    return catalogue.read({"kind": "soc-frozen"}, "here")


def changes(timeline, until=1 << 62):
    told = []
    while change := timeline.take(until):
        told.append((change.time_us, change.entry.number, change.begins))
    return told


def test_faults_begin_and_end_in_order_and_a_momentary_one_only_begins():
    timeline = Timeline()
    timeline.add(soc_frozen(), 50, 90)
    timeline.add(catalogue.read({"kind": "bms-reset"}, "here"), 60)
    timeline.add(soc_frozen(), 10, 50)
    timeline.add(soc_frozen(), 55)
    assert timeline.next_us() == 10
    assert changes(timeline, 9) == []
    assert changes(timeline) == [
        (10, 3, True),
        (50, 3, False),
        (50, 1, True),
        (55, 4, True),
        (60, 2, True),
        (90, 1, False),
    ]
    assert timeline.next_us() == NEVER_US
    assert [entry.number for entry in timeline.active] == [4]
    assert timeline.kinds == ("soc-frozen",)


@pytest.mark.parametrize("period_s", [0.1, 1.0, 10.0])
def test_what_only_happens_is_marked_in_the_next_row_and_for_a_second(period_s):
    timeline, row_us, marked = Timeline(), round(period_s * 1e6), []
    timeline.add(catalogue.read({"kind": "bms-reset"}, "here"), 20_000_000)
    timeline.add(soc_frozen(), 5_000_000)
    for now_us in range(0, 60_000_000, row_us):
        changes(timeline, now_us - 1)  # a fault of the row's own time begins after the row
        marks = timeline.marks(now_us)
        assert marks == timeline.marks(now_us), "however often it is asked"
        assert ("soc-frozen" in marks) == (now_us > 5_000_000)
        if "bms-reset" in marks:
            marked.append(now_us)
    last_us = max(21_000_000, 20_000_000 + row_us)
    assert marked == list(range(20_000_000 + row_us, last_us + 1, row_us))
    assert timeline.kinds == ("soc-frozen",)


def test_clearing_ends_what_is_active_now_and_forgets_what_waits():
    timeline = Timeline()
    timeline.add(soc_frozen(), 0, 1_000)
    timeline.add(catalogue.read({"kind": "soh-zero"}, "here"), 0)
    timeline.add(soc_frozen(), 500)
    changes(timeline, 100)
    assert timeline.clear("soc-frozen", 200) == 2
    assert changes(timeline) == [(200, 1, False)]
    assert timeline.kinds == ("soh-zero",)
    assert timeline.clear(None, 300) == 1
    assert changes(timeline) == [(300, 2, False)]
    assert timeline.clear(None, 400) == 0


def test_there_is_a_bound_to_how_many_faults_are_remembered():
    timeline = Timeline()
    for _ in range(MAX_ENTRIES):
        timeline.add(soc_frozen(), 0)
    with pytest.raises(ValueError, match="clear some"):
        timeline.add(soc_frozen(), 0)
    with pytest.raises(ValueError, match="ends before"):
        Timeline().add(soc_frozen(), 10, 10)
