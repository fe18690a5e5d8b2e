"""The kinds of parameter that a fault can have: each checks a value, and reads one from a command line's word. Pure."""

from __future__ import annotations

from dataclasses import dataclass

Value = float | int | bool | str | tuple[int, ...]

MAX_IDS = 64
MAX_ID = 0x7FF
LONGEST_WHOLE = 64  # signs of a whole number's word: Python shows no number of some thousand digits


@dataclass(frozen=True, slots=True)
class Number:
    """A number from `low` to `high` in `unit`; a whole one if `whole`."""

    name: str
    meaning: str
    low: float
    high: float
    default: float | int | None
    unit: str = ""
    whole: bool = False

    def read(self, value: object) -> Value:
        """`value`, checked; ValueError saying what is allowed."""
        number = isinstance(value, int) if self.whole else isinstance(value, int | float)
        if not number or isinstance(value, bool) or not self.low <= value <= self.high:  # type: ignore[operator]
            raise ValueError(self.allowed())
        return value if self.whole else float(value)  # type: ignore[return-value, arg-type]

    def from_text(self, text: str) -> object:
        """The value that a command line means; text that is no number is returned as it is, for `read` to refuse."""
        try:
            return _whole(text) if self.whole else float(text)
        except ValueError:
            return text

    def allowed(self) -> str:
        """What may be given, in words."""
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} from {self.low:g} to {self.high:g}{' ' if self.unit else ''}{self.unit}"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words."""

    name: str
    meaning: str
    choices: tuple[str, ...]
    default: str

    def read(self, value: object) -> Value:
        """`value`, checked; ValueError saying what is allowed."""
        if not isinstance(value, str) or value not in self.choices:
            raise ValueError(self.allowed())
        return value

    def from_text(self, text: str) -> object:
        """The word itself."""
        return text

    def allowed(self) -> str:
        """What may be given, in words."""
        return "one of " + ", ".join(self.choices)


@dataclass(frozen=True, slots=True)
class Flag:
    """Yes or no."""

    name: str
    meaning: str
    default: bool

    def read(self, value: object) -> Value:
        """`value`, checked; ValueError saying what is allowed."""
        if not isinstance(value, bool):
            raise ValueError(self.allowed())
        return value

    def from_text(self, text: str) -> object:
        """True and false as words; anything else is returned as it is, for `read` to refuse."""
        return {"true": True, "false": False}.get(text.lower(), text)

    def allowed(self) -> str:
        """What may be given, in words."""
        return "true or false"


@dataclass(frozen=True, slots=True)
class Text:
    """Printable ASCII of 1 to `longest` signs; a path may hold any printable sign."""

    name: str
    meaning: str
    longest: int
    default: str | None
    path: bool = False

    def read(self, value: object) -> Value:
        """`value`, checked; ValueError saying what is allowed."""
        if not isinstance(value, str) or not 1 <= len(value) <= self.longest or not value.isprintable():
            raise ValueError(self.allowed())
        if not self.path and not value.isascii():
            raise ValueError(self.allowed())
        return value

    def from_text(self, text: str) -> object:
        """The text itself."""
        return text

    def allowed(self) -> str:
        """What may be given, in words."""
        return "a path" if self.path else f"1 to {self.longest} printable ASCII signs"


@dataclass(frozen=True, slots=True)
class Identifiers:
    """Some 11-bit identifiers, each once; none means all of the bus."""

    name: str
    meaning: str
    default: tuple[int, ...] = ()

    def read(self, value: object) -> Value:
        """`value`, checked; ValueError saying what is allowed."""
        if not isinstance(value, list | tuple) or len(value) > MAX_IDS or len(set(map(repr, value))) != len(value):
            raise ValueError(self.allowed())
        if not all(isinstance(each, int) and not isinstance(each, bool) and 0 <= each <= MAX_ID for each in value):
            raise ValueError(self.allowed())
        return tuple(value)

    def from_text(self, text: str) -> object:
        """Numbers between commas, hexadecimal behind 0x; what is no number is refused by `read`."""
        try:
            return [_whole(each) for each in text.split(",") if each]
        except ValueError:
            return text

    def allowed(self) -> str:
        """What may be given, in words."""
        return f"a list of at most {MAX_IDS} different identifiers from 0 to 0x7FF"


def _whole(word: str) -> int:
    if len(word) > LONGEST_WHOLE:
        raise ValueError
    return int(word, 0)


Parameter = Number | Choice | Flag | Text | Identifiers
