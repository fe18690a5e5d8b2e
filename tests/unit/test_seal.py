"""A sealed statement is the next of its chain, and its document is the one that it names."""

import pytest

from agent.reading import NONE, Reading
from agent.seal import Sealer
from agent.segmenter import Segmenter
from evidence import chain, segment, statement
from evidence.bodies import Close, Gap, Open
from evidence.chain import ChainHead
from evidence.errors import SignatureError
from evidence.merkle import Digest
from evidence.statement import Seen
from evidence.window import SaltKey
from tests.agent_world import GATEWAY, ORIGIN, PACK, PROFILE, REGISTRAR, START_MS, binding, digest, frames, key, reading

OPEN = Open("test", 0, (), PROFILE.schema, ())


def sealer(head=None):
    return Sealer(key(), binding(), head or ChainHead(7, 0, None))


def cut_of(*times_us, end_us=None):
    made = Segmenter(PROFILE, 0, 1000, 5)
    made.push(frames(*times_us))
    (cut,) = made.finish(end_us).cuts
    return cut


def sealed_segment(made, now=None):
    cut = cut_of(0, 1_100_000, end_us=2_500_000)
    return made.segment(cut, Digest(PROFILE.digest), SaltKey(bytes(32)), now or reading(2_500_000), (("Total_Wh", 7),))


def test_what_is_sealed_is_a_whole_chain_under_the_pack_s_key():
    made = sealer()
    sealed = [made.open(OPEN, reading(0), None, ()), sealed_segment(made)]
    sealed.append(made.close(Close(0), reading(3_000_000), sealed[-1].covered))
    said = [each.statement for each in sealed]
    assert chain.in_order(said) == said
    for each in said:
        each.message.verify(key().public)
        assert (each.envelope.issuer, each.envelope.subject) == (REGISTRAR.gateway(GATEWAY), REGISTRAR.pack(PACK))
        assert each.envelope.audience == ORIGIN
        assert statement.read(each.encoded) == each
    with pytest.raises(SignatureError):
        said[0].message.verify(key("another").public)


def test_a_chain_is_carried_on_from_where_an_earlier_epoch_left_it():
    made = sealer(ChainHead(8, 0, digest("the last entry")))
    said = made.open(OPEN, reading(0), None, ()).statement
    assert (said.epoch, said.seq, said.prev) == (8, 0, digest("the last entry"))
    assert made.head == ChainHead(8, 1, said.entry)


def test_a_segment_s_document_is_the_one_that_its_statement_commits_to():
    sealed = sealed_segment(sealer())
    document = segment.check(sealed.document, sealed.statement.body)
    assert document.profile == PROFILE.digest
    assert [window.frames for window in document.windows] == [1, 1, 0]


def test_a_segment_is_stamped_with_its_own_span_and_covers_it():
    sealed = sealed_segment(sealer(), reading(90_000_000))
    stamp = sealed.statement.stamp
    assert (stamp.t0_ms, stamp.t1_ms, stamp.wall_ms) == (0, 2500, START_MS)
    assert (sealed.covered.boot_ms, sealed.covered.wall_ms) == (2500, START_MS + 2500)


def test_a_gap_over_a_restart_begins_and_ends_in_the_boot_that_says_it():
    before, now = reading(50_000_000, boot=1), reading(4_000_000, boot=2)
    body = Gap(0, before.moment(50_000), now.moment(4000), None, ())
    sealed = sealer().gap(body, now)
    assert (sealed.statement.stamp.t0_ms, sealed.statement.stamp.t1_ms) == (4000, 4000)
    assert sealed.covered == body.end
    assert sealed.statement.stamp.boot_id == now.boot_id


def test_a_machine_without_a_clock_signs_0_as_its_wall_clock():
    said = sealed_segment(sealer(), Reading(bytes(16), 2_500_000, 0, NONE)).statement
    assert (said.stamp.wall_ms, said.stamp.quality, said.envelope.issued_at) == (0, 0, 0)


def test_the_newest_checkpoint_travels_in_the_statement_that_is_given_it():
    seen = Seen(12, digest("root"))
    made = sealer()
    assert made.open(OPEN, reading(0), None, (), seen).statement.seen == seen
    assert sealed_segment(made).statement.seen is None


def test_an_open_covers_what_was_covered_before_it():
    before = reading(1_000_000, boot=9).moment(1000)
    assert sealer().open(OPEN, reading(0), before, ()).covered == before
    assert sealer().open(OPEN, reading(5_000_000), None, ()).covered.boot_ms == 5000
