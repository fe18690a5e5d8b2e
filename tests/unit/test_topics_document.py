"""docs/topics.md names every topic that there is, and no other."""

import re

from link import topics
from link.topics import GATEWAY_LEAVES, Leaf
from tests.shared import ROOT


def test_the_document_lists_exactly_the_topics_that_are_built():
    text = (ROOT / "docs/topics.md").read_text()
    listed = re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)
    built = {str(topics.Topic(leaf, "<gateway>", None if leaf in GATEWAY_LEAVES else "<pack>")) for leaf in Leaf}
    built.add(str(topics.Topic(Leaf.STATE, ledger="<ledger>")))
    assert {f"{topics.PREFIX}/{each}" for each in listed} == built
    assert len(listed) == len(set(listed))
