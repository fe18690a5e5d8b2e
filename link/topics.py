"""The MQTT topics of packseal: the only place where a topic is built, matched or taken apart.

Everything a gateway writes carries the gateway's id, so that a broker's ACL can hold it to its own branch. Nothing here
does IO. A topic never has more than 7 slashes (AWS IoT refuses deeper retained ones).
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from link.errors import TopicError

PREFIX = "packseal/v1"
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
_MAX_BYTES = 65535


class Leaf(enum.StrEnum):
    """What a topic is about: its last part or parts."""

    STATE = "state"
    HEALTH = "health"
    LIVE = "live"
    ANCHOR = "anchor"
    SEGMENT = "segment"
    PROOF = "proof"
    REFUSAL = "refusal"
    STORED = "stored"
    HEAD_REQUEST = "head/req"
    HEAD_RESPONSE = "head/res"
    COMMAND_REQUEST = "cmd/req"
    COMMAND_RESPONSE = "cmd/res"


GATEWAY_LEAVES = frozenset({Leaf.STATE, Leaf.HEALTH, Leaf.COMMAND_REQUEST, Leaf.COMMAND_RESPONSE})
PACK_LEAVES = frozenset(Leaf) - GATEWAY_LEAVES
ANSWERS = (Leaf.PROOF, Leaf.REFUSAL, Leaf.STORED, Leaf.HEAD_RESPONSE)


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic taken apart: a gateway's (`pack` None), a pack's, or a ledger's (`gateway` and `pack` None)."""

    leaf: Leaf
    gateway: str | None = None
    pack: str | None = None
    ledger: str | None = None

    def __str__(self) -> str:
        if self.ledger is not None:
            return f"{PREFIX}/ledger/{self.ledger}/{self.leaf}"
        if self.pack is not None:
            return f"{PREFIX}/gw/{self.gateway}/pack/{self.pack}/{self.leaf}"
        return f"{PREFIX}/gw/{self.gateway}/{self.leaf}"


def parse(topic: str) -> Topic:
    """Take apart one of our topics; any other string, however close, is a TopicError."""
    head, _, rest = topic.partition(f"{PREFIX}/")
    match [] if head else rest.split("/"):
        case ["ledger", ledger, "state"]:
            return Topic(Leaf.STATE, ledger=identifier(ledger))
        case ["gw", gateway, "pack", pack, *leaf]:
            return Topic(_leaf(leaf, PACK_LEAVES, topic), identifier(gateway), identifier(pack))
        case ["gw", gateway, *leaf]:
            return Topic(_leaf(leaf, GATEWAY_LEAVES, topic), identifier(gateway))
        case _:
            raise TopicError(f"{topic[:200]!r} is not a {PREFIX} topic")


def identifier(text: str) -> str:
    """The text itself if it may name a gateway, pack, ledger or share group (DESIGN 2.1), else TopicError."""
    if not _IDENTIFIER.fullmatch(text):
        raise TopicError(f"{text[:80]!r} is not an identifier ([a-z0-9][a-z0-9-]{{0,47}})")
    return text


def state(gateway: str) -> str:
    """Presence of a gateway: retained JSON with the birth counter, and its will."""
    return _of_gateway(gateway, Leaf.STATE)


def health(gateway: str) -> str:
    """Counters of a gateway, JSON."""
    return _of_gateway(gateway, Leaf.HEALTH)


def command_request(gateway: str) -> str:
    """Signed commands to a gateway."""
    return _of_gateway(gateway, Leaf.COMMAND_REQUEST)


def command_response(gateway: str) -> str:
    """A gateway's answers to commands."""
    return _of_gateway(gateway, Leaf.COMMAND_RESPONSE)


def live(gateway: str, pack: str) -> str:
    """Latest values of a pack as one line of JSON, for engineers; not evidence."""
    return _of_pack(gateway, pack, Leaf.LIVE)


def anchor(gateway: str, pack: str) -> str:
    """Statements of a pack, for the ledger."""
    return _of_pack(gateway, pack, Leaf.ANCHOR)


def segment(gateway: str, pack: str) -> str:
    """Segment documents of a pack, for the archive."""
    return _of_pack(gateway, pack, Leaf.SEGMENT)


def proof(gateway: str, pack: str) -> str:
    """Inclusion paths with their checkpoints, from the ledger to the gateway."""
    return _of_pack(gateway, pack, Leaf.PROOF)


def refusal(gateway: str, pack: str) -> str:
    """Signed refusals, from the ledger to the gateway."""
    return _of_pack(gateway, pack, Leaf.REFUSAL)


def stored(gateway: str, pack: str) -> str:
    """Digests of segments that the archive made durable, signed by it."""
    return _of_pack(gateway, pack, Leaf.STORED)


def head_request(gateway: str, pack: str) -> str:
    """A gateway asks what the ledger has of a pack's chain."""
    return _of_pack(gateway, pack, Leaf.HEAD_REQUEST)


def head_response(gateway: str, pack: str) -> str:
    """The ledger's answer: the head statement with its proof, never a bare number."""
    return _of_pack(gateway, pack, Leaf.HEAD_RESPONSE)


def ledger_state(ledger: str) -> str:
    """Presence of a ledger: retained JSON, and its will."""
    return str(Topic(Leaf.STATE, ledger=identifier(ledger)))


def of_all(leaf: Leaf, share: str | None = None) -> str:
    """Filter for one kind of topic of every gateway (and pack); with `share`, one of a group of workers gets each."""
    branch = "gw/+" if leaf in GATEWAY_LEAVES else "gw/+/pack/+"
    group = f"$share/{identifier(share)}/" if share is not None else ""
    return f"{group}{PREFIX}/{branch}/{leaf}"


def anchors_of_all(share: str | None = None) -> str:
    """Filter for every pack's statements: what a ledger subscribes to."""
    return of_all(Leaf.ANCHOR, share)


def answers_to(gateway: str) -> tuple[str, ...]:
    """Filters for what the ledger and the archive answer to one gateway, for all its packs."""
    return tuple(f"{PREFIX}/gw/{identifier(gateway)}/pack/+/{leaf}" for leaf in ANSWERS)


def everything() -> str:
    """Filter for all packseal topics."""
    return f"{PREFIX}/#"


def everything_of_pack(pack: str) -> str:
    """Filter for all topics of one pack, whichever gateway carries it."""
    return f"{PREFIX}/gw/+/pack/{identifier(pack)}/#"


def check_name(topic: str) -> str:
    """The topic itself if MQTT allows publishing to it (5.0, section 4.7: no wildcard, no NUL), else TopicError."""
    if "+" in topic or "#" in topic:
        raise TopicError(f"{topic[:200]!r} has a wildcard: nothing can be published to it")
    return check_text(topic)


def check_filter(text: str) -> str:
    """The filter itself if MQTT allows subscribing to it (5.0, sections 4.7.1 and 4.8.2), else TopicError."""
    levels = check_text(text).split("/")
    if levels[0] == "$share" and (len(levels) < 3 or not levels[1] or not text.split("/", 2)[2]):
        raise TopicError(f"{text[:200]!r} is not $share/<group>/<filter>")
    for place, level in enumerate(levels):
        if level != "+" and "+" in level:
            raise TopicError(f"{text[:200]!r}: a + must stand alone in its level")
        if "#" in level and (level != "#" or place != len(levels) - 1):
            raise TopicError(f"{text[:200]!r}: a # must be the whole last level")
    return text


def check_text(text: str) -> str:
    """The text itself if it can be an MQTT string (5.0, section 1.5.4) and is not empty, else TopicError."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise TopicError(f"{text[:200]!r} cannot be written as UTF-8") from None
    if not 0 < size <= _MAX_BYTES or "\0" in text:
        raise TopicError(f"{text[:200]!r} is empty, longer than {_MAX_BYTES} bytes or has a NUL")
    return text


def _of_gateway(gateway: str, leaf: Leaf) -> str:
    return str(Topic(leaf, identifier(gateway)))


def _of_pack(gateway: str, pack: str, leaf: Leaf) -> str:
    return str(Topic(leaf, identifier(gateway), identifier(pack)))


def _leaf(levels: list[str], known: frozenset[Leaf], topic: str) -> Leaf:
    name = "/".join(levels)
    if name not in known:
        raise TopicError(f"{topic[:200]!r} is not a {PREFIX} topic: it ends in {name[:80]!r}")
    return Leaf(name)
