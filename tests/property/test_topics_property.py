"""Any text given to the topic parsers is a value or their one error; values and texts map one to one."""

import re

from hypothesis import given
from hypothesis import strategies as st

from link import presence, topics
from link.errors import PresenceError, TopicError
from link.topics import GATEWAY_LEAVES, PACK_LEAVES, Leaf, Topic

identifiers = st.from_regex(r"[a-z0-9][a-z0-9-]{0,47}", fullmatch=True)
values = st.one_of(
    st.builds(Topic, st.sampled_from(sorted(GATEWAY_LEAVES)), identifiers),
    st.builds(Topic, st.sampled_from(sorted(PACK_LEAVES)), identifiers, identifiers),
    st.builds(Topic, st.just(Leaf.STATE), ledger=identifiers),
)
near_misses = st.lists(
    st.sampled_from(["packseal", "v1", "gw", "pack", "ledger", "", "a", "A", "+", "#", *"/".join(Leaf).split("/")]),
    max_size=9,
).map("/".join)

# The grammar of the design's table, written without the module's help.
_ID = "[a-z0-9][a-z0-9-]{0,47}"
_GRAMMAR = re.compile(
    rf"packseal/v1/(ledger/{_ID}/state|gw/{_ID}/(state|health|cmd/re[qs]"
    rf"|pack/{_ID}/(live|anchor|segment|proof|refusal|stored|head/re[qs])))"
)


@given(values)
def test_every_topic_comes_back_from_its_text(topic):
    assert topics.parse(str(topic)) == topic
    assert topics.check_name(str(topic)).count("/") <= 7


@given(st.one_of(st.text(), near_misses, near_misses.map("packseal/v1/gw/".__add__)))
def test_any_text_is_a_topic_of_the_grammar_or_a_topic_error(text):
    try:
        topic = topics.parse(text)
    except TopicError:
        assert not _GRAMMAR.fullmatch(text)
    else:
        assert _GRAMMAR.fullmatch(text)
        assert str(topic) == text


@given(st.one_of(st.text(), near_misses, st.text("$share/+#a\0", max_size=12)))
def test_any_text_is_a_filter_by_the_naive_rule_or_a_topic_error(text):
    levels = text.split("/")
    naive = bool(text) and "\0" not in text and "#" not in "".join(levels[:-1])
    naive = naive and all(level in ("", "+", "#") or not {"+", "#"} & set(level) for level in levels)
    naive = naive and (levels[0] != "$share" or (len(levels) > 2 and levels[1] != "" and levels[2:] != [""]))
    try:
        found = topics.check_filter(text)
    except TopicError:
        assert not naive
    else:
        assert naive
        assert found == text


@given(st.one_of(st.text(), near_misses))
def test_every_refusal_is_one_line(text):
    for parser in (topics.parse, topics.identifier, topics.check_filter, topics.check_name):
        try:
            parser(text)
        except TopicError as refused:
            lines = str(refused).splitlines()
        else:
            lines = ["taken"]
        assert len(lines) == 1


@given(st.binary(max_size=64))
def test_any_payload_is_a_presence_or_a_presence_error(payload):
    try:
        found = presence.parse(payload)
    except PresenceError:
        found = None
    assert found is None or found.supersedes(None)
