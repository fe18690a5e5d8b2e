"""The service's own pace and watch, round by round: with a real store and door, and a broker that never answers."""

from __future__ import annotations

import logging

import pytest

from evidence.acts import Heads
from ledger.control import Door
from ledger.courier import Courier, Delivery
from ledger.errors import DoorLost
from ledger.journal import LINES, PERIOD_S, Complaints
from ledger.service import Pace, Service, run
from ledger.store import Store
from link.connection import Connection
from link.endpoint import Endpoint
from link.topics import Leaf
from packseal.service_manager import ServiceManager
from tests.ledger_world import Gateway, World, read_all

HOUR_MS = 3_600_000


class Lives:
    """One process after another on the same folder, each with a round or more."""

    def __init__(self, world: World, store: Store) -> None:
        self.world, self.store = world, store
        self.seconds = 0.0

    def pass_ms(self, milliseconds: int) -> None:
        self.world.clock.ms += milliseconds
        self.seconds += milliseconds / 1e3

    def service(self, door: Door) -> Service:
        courier = Courier(Connection(Endpoint("127.0.0.1", 9, "ledger")), "main", "")
        sequencer = self.world.sequencer(self.store)
        pace = Pace(heads_s=3600.0)
        return Service(sequencer, courier, door, pace, monotonic=lambda: self.seconds, now_ms=self.world.clock)

    def live(self, *waits_ms: int) -> None:
        door = Door(self.world.folder)
        try:
            service = self.service(door)
            service.resume()
            for wait_ms in waits_ms:
                self.pass_ms(wait_ms)
                service.round()
            service.finish()
        finally:
            door.close()

    def heads(self) -> int:
        return sum(isinstance(each.body, Heads) for each in read_all(self.store))


@pytest.fixture
def lives(tmp_path):
    world = World(tmp_path / "ledger")
    with Store(world.folder) as store:
        yield Lives(world, store)


def test_heads_come_every_hour_of_one_process(lives):
    lives.live(0, HOUR_MS - 1)
    assert lives.heads() == 0
    lives.live(1, HOUR_MS - 1, 1)
    assert lives.heads() == 2


def test_heads_come_although_no_process_lives_for_an_hour(lives):
    for _ in range(9):
        lives.live(1000)
        lives.pass_ms(HOUR_MS // 4)
    assert lives.heads() == 2


def test_a_service_whose_door_no_longer_hears_ends(lives):
    door = Door(lives.world.folder)
    service = lives.service(door)
    service.round()
    door.close()
    with pytest.raises(DoorLost):
        service.round()


def test_a_clock_far_ahead_of_the_log_is_told_of_loudly_and_before_it_is_used(lives, caplog):
    lives.live()
    assert "AHEAD" not in caplog.text
    lives.pass_ms(366 * 24 * HOUR_MS)
    door = Door(lives.world.folder)
    service = lives.service(door)
    service.resume()
    door.close()
    assert "366 DAYS AHEAD" in caplog.text


def test_the_last_line_tells_what_was_let_go_of(lives):
    door = Door(lives.world.folder)
    summary = lives.service(door).summary()
    door.close()
    assert all(f"0 {what}" in summary for what in ("answers dropped", "stray messages", "documents let go of"))


def test_a_service_manager_hears_of_a_ledger_that_serves_progresses_and_ends_although_no_broker_is_there(lives):
    class Manager(ServiceManager):
        def __init__(self):
            super().__init__("@nobody", 1.0)
            self.heard = []

        def _say(self, **fields):
            self.heard.append(fields)

    manager, door = Manager(), Door(lives.world.folder)
    service = lives.service(door)
    courier, rounds = service._courier, iter([False, False, True])
    try:
        run(service, courier, lambda: next(rounds), lambda: pytest.fail("no broker delivers"), manager)
    finally:
        door.close()
    size = service._sequencer.size
    assert manager.heard == [
        {"READY": "1"},
        {"WATCHDOG": "1"},
        {"STATUS": f"{size} entries, broker is away or does not deliver yet"},
        {"STOPPING": "1"},
    ]


def test_what_publishers_cause_fills_no_journal(caplog):
    now = [0.0]
    complaints = Complaints(lambda: now[0])
    for number in range(500):
        complaints.say("line %d of\n%s", number, "\x1b[2J")
    assert len(caplog.records) == LINES
    assert not any("\n" in record.getMessage() or "\x1b" in record.getMessage() for record in caplog.records)
    now[0] += PERIOD_S
    complaints.say("another")
    assert [record.getMessage() for record in caplog.records[LINES:]] == [
        f"{500 - LINES} more lines of this kind were kept back",
        "another",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_refusals_of_a_flood_are_capped_in_the_journal_while_all_are_counted(lives, caplog):
    gateway = Gateway()
    sequencer = lives.world.sequencer(lives.store)
    lives.world.register(sequencer, gateway)
    door = Door(lives.world.folder)
    service = lives.service(door)
    door.close()
    outcomes = service._sequencer.integrate([gateway.arrival(b"%d" % number) for number in range(100)])
    for outcome in outcomes:
        service._answer(Delivery(Leaf.ANCHOR, "gw-1", "pack-1", b"", 0), outcome)
    assert (len(caplog.records), service.counts["refused"]) == (LINES, 100)
