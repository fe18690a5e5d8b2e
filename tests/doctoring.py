"""Values of the CBOR profile with something in them exchanged, for messages that are well signed but say anything at all."""

from typing import Any

from hypothesis import strategies as st

anything = st.recursive(
    st.none()
    | st.integers(-(2**64), 2**64 - 1)
    | st.sampled_from([0, 1, -1, 2**63])
    | st.binary(max_size=33)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers(-3, 16), inner, max_size=3),
    max_leaves=6,
)


def ordered(value: Any) -> Any:
    """The value with its maps' keys in the one order."""
    if isinstance(value, list):
        return [ordered(item) for item in value]
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value, key=lambda key: (key < 0, abs(key)))}
    return value


def doctored(value: Any, data: st.DataObject) -> Any:
    """The value with one of its parts, however deep, replaced, dropped or doubled."""
    parts = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    if not parts or data.draw(st.integers(0, 3)) == 0:
        return data.draw(anything)
    at, part = parts[data.draw(st.integers(0, len(parts) - 1))]
    what = data.draw(st.sampled_from(["replace"] * 6 + ["drop", "add"]))
    if isinstance(value, list):
        changed = {"replace": [doctored(part, data)], "drop": [], "add": [part, part]}[what]
        return [*value[:at], *changed, *value[at + 1 :]]
    changed = dict(value)
    if what == "drop":
        del changed[at]
    elif what == "add":
        changed[data.draw(st.integers(-3, 16))] = data.draw(anything)
    else:
        changed[at] = doctored(part, data)
    return changed
