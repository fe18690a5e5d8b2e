"""Tables of TOML files: nothing is bent into shape, and the first thing that is wrong is one line with key, value and cure."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from msgspec import Meta, field

from evidence import names
from packseal.tables import Complaint, Table, hold, parsed, read


class Engine(Table, tag_field="kind", tag="engine"):
    litres: Annotated[float, Meta(gt=0, le=8)]


class Motor(Table, tag_field="kind", tag="motor"):
    poles: int = 4


class Wheel(Table, kw_only=True):
    bolts: Annotated[int, Meta(ge=3, le=6)] = 5
    name: str
    for_s: float | None = field(name="for", default=None)

    def __post_init__(self):
        hold(self, names.identifier, "name")
        if self.bolts == 4 and self.for_s:
            raise ValueError("four bolts hold for ever")


class Car(Table, kw_only=True):
    owner: str
    fuel: Literal["petrol", "none"] = "none"
    old: bool | None = None
    log: Path | None = None
    drive: Engine | Motor = Motor()
    wheel: Annotated[tuple[Wheel, ...], Meta(min_length=1)] = (Wheel(name="spare"),)
    labels: dict[str, str | int | float | bool] = field(default_factory=dict)
    seats: str | list[str] | None = None


OWNER = 'owner = "x"\n'


def car(text, folder=Path("/etc")):
    return read(parsed(text.encode()), Car, folder)


def test_what_is_right_is_read_and_what_is_left_out_has_its_default():
    made = car(f'{OWNER}log = "a/b"\n[[wheel]]\nname = "front"\nfor = 5\n[drive]\nkind = "engine"\nlitres = 2\n')
    assert made.wheel == (Wheel(name="front", for_s=5.0),)
    assert made.drive == Engine(litres=2.0)
    assert (made.log, made.fuel, made.labels) == (Path("/etc/a/b"), "none", {})


def test_a_path_may_begin_at_a_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert car(f'{OWNER}log = "~/a"').log == Path("/home/me/a")
    with pytest.raises(Complaint, match="log: there is no such home folder"):
        car(f'{OWNER}log = "~nobody-of-this-name/a"')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "owner: missing; add it"),
        (f'{OWNER}[drive]\nkind = "engine"', "drive.litres: missing; add it"),
        (f"{OWNER}[drive]\npoles = 3", "drive.kind: missing; write 'engine' or 'motor'"),
        (f'{OWNER}[drive]\nkind = "sail"', "drive.kind: write 'engine' or 'motor', not 'sail'"),
        (f"{OWNER}[drive]\nkind = []", "drive.kind: write 'engine' or 'motor', not a list"),
        (f"{OWNER}drive = 1979-05-27", "drive: write a table, not 1979-05-27"),
        ("owner = 5", "owner: write a text, not 5"),
        (f"{OWNER}old = 0", "old: write true or false, not 0"),
        (f'{OWNER}fuel = "tea"', "fuel: write 'none' or 'petrol', not 'tea'"),
        (f"{OWNER}log = 07:32:00", "log: write a path, not 07:32:00"),
        (f'{OWNER}log = "a\\u0000b"', r"log: a path cannot contain a NUL, not 'a\x00b'"),
        (f"{OWNER}wheel = []", "wheel: there must be at least one"),
        (f'{OWNER}[wheel]\nname = "a"', "wheel: write [[wheel]], in double brackets, once for each"),
        (f"{OWNER}wheel = [3]", "wheel.1: write a table, not 3"),
        (f"{OWNER}[[wheel]]", "wheel.1.name: missing; add it"),
        (
            f'{OWNER}[[wheel]]\nname = "a"\n[[wheel]]\nname = "B"',
            "wheel.2.name: identifier 'B' is not 1 to 48 of a-z, 0-9 and '-' with no leading '-'",
        ),
        (f'{OWNER}[[wheel]]\nname = "a"\nbolts = 4\nfor = 1', "wheel.1: four bolts hold for ever"),
        (f'{OWNER}[[wheel]]\nname = "a"\nfor = true', "wheel.1.for: write a number, not true"),
        (f'{OWNER}[[wheel]]\nname = "a"\nfor = "1"', "wheel.1.for: write a number, not '1'"),
        (
            f'{OWNER}seats = ["a", 5]',
            "seats.2: write a text, not 5",
        ),
        (f"{OWNER}seats = 5", "seats: write a text or a list, not 5"),
        (
            f"{OWNER}[labels]\na = 1\nb = [1]",
            "labels.b: write a text, a whole number, a number or true or false, not a list",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_key_the_value_and_what_to_write(text, said):
    with pytest.raises(Complaint) as caught:
        car(text)
    assert str(caught.value) == said


@pytest.mark.parametrize("value", ["2", "7", "5.0", "true", '"5"', "nan", "inf", "1979-05-27", "9223372036854775807"])
def test_nothing_but_a_whole_number_within_its_bounds_is_one(value):
    with pytest.raises(Complaint, match=r"^wheel\.1\.bolts: write a whole number from 3 to 6, not "):
        car(f'{OWNER}[[wheel]]\nname = "a"\nbolts = {value}')


@pytest.mark.parametrize("value", ["0", "8.1", "nan", "inf", "-inf", "1e400", "true", '"5"', "[5]"])
def test_nothing_but_a_number_within_its_bounds_is_one(value):
    with pytest.raises(Complaint, match=r"^drive\.litres: write a number above 0 and up to 8, not "):
        car(f'{OWNER}[drive]\nkind = "engine"\nlitres = {value}')


def test_an_unknown_key_is_named_before_anything_else_that_is_wrong_wherever_it_is():
    with pytest.raises(Complaint, match=r"^wheel\.2\.bolt: unknown key; .* there are bolts, for, name$"):
        car('[[wheel]]\nbolts = "x"\n[[wheel]]\nbolt = 5\n')
    with pytest.raises(Complaint, match=r"^drive\.litre: unknown key; .* there are kind, litres$"):
        car('[drive]\nkind = "engine"\nlitre = 1')


@pytest.mark.parametrize("key", ['"a\\nb"', '"a` - at `$.wheel[0].name"', '"\\u001b[2J"', '""', "k" * 5_000])
def test_a_key_that_nobody_can_read_is_shown_in_one_short_line(key):
    with pytest.raises(Complaint) as caught:
        car(f"{OWNER}{key} = 1")
    assert ": unknown key; " in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_a_text_that_looks_like_a_place_misleads_nobody():
    with pytest.raises(Complaint, match=r"^wheel\.1\.name: identifier "):
        car(f'{OWNER}[[wheel]]\nname = "a - at `$.owner`"')
    with pytest.raises(Complaint, match=r"^fuel: write 'none' or 'petrol', not "):
        car(f'{OWNER}fuel = "a - at `$.owner`"')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"[labels]\na = 0x{'F' * 5_000}", r"labels\.a: a whole number of more than 64 bits; write a smaller one$"),
        ("a = [1, -9223372036854775809]", r"a\.2: a whole number of more than 64 bits"),
        (f"a = 1{'0' * 5_000}", "not TOML: "),
        ("a." * 5_000 + "a = 1", r"a\.a\..*: more than 32 tables or lists in each other; write it flatter$"),
        ("a = " + "[" * 100 + "]" * 100, r"a\.1\..*: more than 32 tables or lists in each other"),
        ("a = " + "[" * 5_000, "not TOML: "),
        ("owner = ", "not TOML: "),
        ("a = 1\na = 2", "not TOML: "),
    ],
)
def test_what_is_too_large_too_deep_or_no_toml_is_one_short_line(text, said):
    with pytest.raises(Complaint, match=f"^{said}") as caught:
        parsed(text.encode())
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_bytes_that_are_no_text_are_no_toml():
    with pytest.raises(Complaint, match=r"^not TOML: "):
        parsed(b"\xff\xfe")


def test_a_table_cannot_be_changed():
    with pytest.raises(AttributeError, match="immutable"):
        Motor().poles = 6
