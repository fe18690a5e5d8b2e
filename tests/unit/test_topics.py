"""The topic table of the design, written out."""

import pytest

from link import topics
from link.errors import TopicError
from link.topics import Leaf, Topic

TABLE = {
    topics.state("gw-1"): ("packseal/v1/gw/gw-1/state", Topic(Leaf.STATE, "gw-1")),
    topics.health("gw-1"): ("packseal/v1/gw/gw-1/health", Topic(Leaf.HEALTH, "gw-1")),
    topics.command_request("gw-1"): ("packseal/v1/gw/gw-1/cmd/req", Topic(Leaf.COMMAND_REQUEST, "gw-1")),
    topics.command_response("gw-1"): ("packseal/v1/gw/gw-1/cmd/res", Topic(Leaf.COMMAND_RESPONSE, "gw-1")),
    topics.live("gw-1", "p-2"): ("packseal/v1/gw/gw-1/pack/p-2/live", Topic(Leaf.LIVE, "gw-1", "p-2")),
    topics.anchor("gw-1", "p-2"): ("packseal/v1/gw/gw-1/pack/p-2/anchor", Topic(Leaf.ANCHOR, "gw-1", "p-2")),
    topics.segment("gw-1", "p-2"): ("packseal/v1/gw/gw-1/pack/p-2/segment", Topic(Leaf.SEGMENT, "gw-1", "p-2")),
    topics.proof("gw-1", "p-2"): ("packseal/v1/gw/gw-1/pack/p-2/proof", Topic(Leaf.PROOF, "gw-1", "p-2")),
    topics.refusal("gw-1", "p-2"): ("packseal/v1/gw/gw-1/pack/p-2/refusal", Topic(Leaf.REFUSAL, "gw-1", "p-2")),
    topics.stored("gw-1", "p-2"): ("packseal/v1/gw/gw-1/pack/p-2/stored", Topic(Leaf.STORED, "gw-1", "p-2")),
    topics.head_request("gw-1", "p-2"): (
        "packseal/v1/gw/gw-1/pack/p-2/head/req",
        Topic(Leaf.HEAD_REQUEST, "gw-1", "p-2"),
    ),
    topics.head_response("gw-1", "p-2"): (
        "packseal/v1/gw/gw-1/pack/p-2/head/res",
        Topic(Leaf.HEAD_RESPONSE, "gw-1", "p-2"),
    ),
    topics.ledger_state("main"): ("packseal/v1/ledger/main/state", Topic(Leaf.STATE, ledger="main")),
}


@pytest.mark.parametrize(("built", "expected"), TABLE.items(), ids=lambda value: str(value)[:40])
def test_every_topic_of_the_design_is_built_and_taken_apart(built, expected):
    text, parts = expected
    assert built == text
    assert topics.parse(text) == parts
    assert text.count("/") <= 7


@pytest.mark.parametrize(
    "text",
    [
        "",
        "packseal",
        "packseal/v1",
        "packseal/v1/",
        "packseal/v1/gw",
        "packseal/v1/gw/",
        "packseal/v1/gw/a",
        "packseal/v1/gw/a/",
        "packseal/v1/gw/a/anchor",
        "packseal/v1/gw/a/pack/b",
        "packseal/v1/gw/a/pack/b/state",
        "packseal/v1/gw/a/pack/b/anchor/",
        "packseal/v1/gw/a/pack/b/anchor\n",
        "packseal/v1/gw/a/pack/b/head",
        "packseal/v1/gw/a/pack/b/head/req/x",
        "packseal/v1/gw/A/state",
        "packseal/v1/gw/a b/state",
        "packseal/v1/gw//state",
        "packseal/v1/gw/-a/state",
        "packseal/v1/gw/" + "a" * 49 + "/state",
        "packseal/v1/gw/+/state",
        "packseal/v1/ledger/a/health",
        "packseal/v1/ledger/A/state",
        "packseal/v2/gw/a/state",
        "/packseal/v1/gw/a/state",
        "x/packseal/v1/gw/a/state",
        "PACKSEAL/v1/gw/a/state",
    ],
)
def test_any_other_topic_is_a_topic_error_in_one_line(text):
    with pytest.raises(TopicError) as refused:
        topics.parse(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["", "A", "-a", "a_b", "a/b", "a+", "é", "a" * 49, "a\n"])
def test_nothing_is_built_from_what_is_no_identifier(name):
    for build in (topics.state, topics.ledger_state, topics.answers_to, topics.everything_of_pack):
        with pytest.raises(TopicError):
            build(name)
    with pytest.raises(TopicError):
        topics.anchor("gw", name)
    with pytest.raises(TopicError):
        topics.anchors_of_all(share=name)


def test_filters_name_all_gateways_one_pack_or_a_group():
    assert topics.anchors_of_all() == "packseal/v1/gw/+/pack/+/anchor"
    assert topics.anchors_of_all(share="ledger") == "$share/ledger/packseal/v1/gw/+/pack/+/anchor"
    assert topics.of_all(Leaf.STATE) == "packseal/v1/gw/+/state"
    assert topics.everything_of_pack("p-2") == "packseal/v1/gw/+/pack/p-2/#"
    assert topics.everything() == "packseal/v1/#"
    assert topics.answers_to("gw-1") == (
        "packseal/v1/gw/gw-1/pack/+/proof",
        "packseal/v1/gw/gw-1/pack/+/refusal",
        "packseal/v1/gw/gw-1/pack/+/stored",
        "packseal/v1/gw/gw-1/pack/+/head/res",
    )
    for name in (*topics.answers_to("gw-1"), topics.everything(), topics.anchors_of_all(share="ledger")):
        assert topics.check_filter(name) == name


@pytest.mark.parametrize("name", ["", "a/#/b", "a#", "a+/b", "$share", "$share/g", "$share//t", "$share/g/", "a\0"])
def test_a_filter_that_mqtt_forbids_is_a_topic_error(name):
    with pytest.raises(TopicError):
        topics.check_filter(name)


@pytest.mark.parametrize("name", ["#", "+", "+/+", "a/+/#", "/", "$SYS/broker/uptime", "$share/g/#"])
def test_a_filter_that_mqtt_allows_passes(name):
    assert topics.check_filter(name) == name
