"""Puts the parts of a serving ledger together. No other command needs them, or waits until they are imported."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable

from ledger import desk
from ledger.clock import unix_ms
from ledger.config import LARGEST_DOCUMENT, Config
from ledger.control import Door
from ledger.courier import Courier
from ledger.errors import Busy, ConfigError
from ledger.lock import FolderLock
from ledger.service import Pace, Service, run
from ledger.store import Store
from link import topics
from link.connection import Connection
from link.events import Will
from link.presence import JSON_TYPE, Presence
from packseal.service_manager import ServiceManager


def journal() -> None:
    """One line per event on stderr; a service's supervisor adds the time."""
    logging.basicConfig(level=logging.INFO, format="packseal-ledger: %(message)s")


def serve(config: Config, url: str | None, on_ready: Callable[[str, str], None]) -> str:
    """Serve until SIGTERM or SIGINT; the last counters. `on_ready` gets origin and broker once the broker delivers."""
    manager = ServiceManager.from_environment()
    endpoint = config.endpoint(url)
    folder = config.folder
    with FolderLock(folder) as lock:
        if not lock.take():
            raise Busy(f"{folder}: another packseal-ledger serves or works here")
        with Store(folder) as store:
            sequencer = desk.open_sequencer(store, folder, config.log.time_interval_s * 1000)
            _check_origin(config, sequencer.ledger.name)
            topic = topics.ledger_state(config.ledger.id)
            connection = Connection(
                endpoint,
                will_for=lambda birth: Will(topic, Presence("lost", birth).payload(), content_type=JSON_TYPE),
                first_birth=unix_ms(),
                inbound_limit_bytes=LARGEST_DOCUMENT,
            )
            courier = Courier(connection, config.ledger.id, config.broker.shared_subscription)
            pace = Pace(config.log.checkpoint_interval_s, config.log.heads_interval_s, config.log.batch)
            door = Door(folder)
            try:
                service = Service(sequencer, courier, door, pace)
                stopped = _stopped_by_signal()
                run(service, courier, stopped, lambda: on_ready(sequencer.ledger.name, str(endpoint)), manager)
            finally:
                door.close()
            return service.summary()


def _check_origin(config: Config, origin: str) -> None:
    if config.ledger.origin not in (None, origin):
        raise ConfigError(f"ledger.origin is {config.ledger.origin}, but {config.folder} holds the log of {origin}")


def _stopped_by_signal() -> Callable[[], bool]:
    received: list[int] = []

    def note(number: int, _frame: object) -> None:
        received.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, note)
    return lambda: bool(received)
