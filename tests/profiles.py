"""Makes profiles for tests: from DBC text and mapping text, as an operator would write them."""

import tempfile
from pathlib import Path

from agent.profile import Profile
from agent.profile_compile import compile_profile

DBC_HEAD = 'VERSION ""\n\nNS_ :\n\nBS_:\n\nBU_: BMS\n\n'
MAPPING_HEAD = '[profile]\nname = "{name}"\ntitle = "for tests"\nvariant = "none"\ndbc = "{name}.dbc"\n'


def write_profile(folder: Path, messages: str, signals: str, name: str = "made") -> Path:
    """Write NAME.dbc and NAME.toml into a folder; the mapping's path."""
    (folder / f"{name}.dbc").write_text(DBC_HEAD + messages + "\n")
    mapping = folder / f"{name}.toml"
    mapping.write_text(MAPPING_HEAD.format(name=name) + signals)
    return mapping


def signal(name: str, message: str, source: str, unit: str = "count", **more: object) -> str:
    """A `[[signal]]` entry; `more` are further keys as TOML values."""
    plural = "signals" if more.get("kind") == "array" else "signal"
    values = {"name": name, "message": message, plural: source, "unit": unit, **more}
    lines = [f"{key} = {_toml(value)}" for key, value in values.items()]
    return "\n[[signal]]\n" + "\n".join(lines) + "\n"


def made_profile(messages: str, signals: str) -> Profile:
    """The compiled profile of DBC messages and mapping entries."""
    with tempfile.TemporaryDirectory() as folder:
        write_profile(Path(folder), messages, signals)
        return compile_profile("made", Path(folder))


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else f'"{value}"'
