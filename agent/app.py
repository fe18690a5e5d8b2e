"""The composition root: from a configuration to a running agent, or to one recording replayed. Nothing else sees both."""

from __future__ import annotations

import logging
import os
import queue
import secrets
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.capture import Capture
from agent.clock import RecordedClock, SystemClock
from agent.config import AgentConfig, PackTable
from agent.courier import Courier
from agent.engine import Engine, Station
from agent.errors import ConfigError
from agent.keystore import Keystore
from agent.live import LiveLine
from agent.outbox import Outbox
from agent.profile import Profile
from agent.profile_store import load_profile, profile_directories
from agent.receipts import Receipts
from agent.recorder import FIRST_START, REPLAY, RESTARTED, STORE_REPLACED, Policy, Recorder
from agent.replay import Replay, Replayed
from agent.seal import Binding, Sealer
from agent.sources.recorded import RecordedSource
from agent.sources.source import boottime_us
from evidence.chain import ChainHead
from evidence.keys import NamedKey
from evidence.names import Registrar
from evidence.statement import MAX_EPOCH, Seen
from link.connection import Connection
from link.endpoint import Tls, parse_url
from link.errors import LinkError
from link.events import Will
from link.presence import Presence
from link.topics import state
from packseal.version import __version__

SESSION_EXPIRY_S = 24 * 3600
_LOG = logging.getLogger("packseal.agent")


@dataclass(slots=True)
class _Parts:
    """What a running agent and a replay have in common."""

    config: AgentConfig
    outbox: Outbox
    keystore: Keystore
    registrar: Registrar
    ledger: NamedKey
    starts: int

    def courier(
        self, packs: Sequence[str], inbox: queue.SimpleQueue[Any], checkpoint_seen: Callable[[Seen], None]
    ) -> Courier:
        """The link to the configured broker, and who carries over it."""
        broker, gateway = self.config.broker, self.config.gateway
        tls = Tls(broker.ca, broker.certificate, broker.key) if broker.ca or broker.certificate or broker.key else None
        try:
            endpoint = parse_url(
                broker.url,
                client_id=f"packseal-agent-{gateway}",
                password_file=broker.password_file,
                tls=tls,
                keepalive_s=broker.keepalive_s,
                protocol=broker.protocol,
                session_expiry_s=SESSION_EXPIRY_S,
            )
            endpoint.check()
        except LinkError as problem:
            raise ConfigError(f"[broker]: {problem}") from None
        connection = Connection(
            endpoint,
            will_for=lambda birth: Will(state(gateway), Presence("lost", birth).payload()),
            first_birth=self.starts << 20,
            events=inbox,
        )
        return Courier(
            connection,
            self.outbox,
            Receipts(self.ledger, self.outbox.newest_checkpoint()),
            gateway=gateway,
            packs={pack: self.registrar.pack(pack) for pack in packs},
            send_documents=self.config.uplink.documents == "archive",
            proof_timeout_s=self.config.uplink.proof_timeout_s,
            checkpoint_seen=checkpoint_seen,
        )

    def recorder(self, pack: str, profile: Profile, *, replay: bool) -> tuple[Recorder, int]:
        """The recorder that carries on the pack's chain in a new epoch, and the reason for its `open`."""
        key = self.keystore.load(pack)
        known = self.outbox.chain(key.kid)
        head = ChainHead(secrets.randbelow(MAX_EPOCH + 1), 0, known.entry if known else None)
        binding = Binding(self.registrar.gateway(self.config.gateway), self.registrar.pack(pack), self.ledger.name)
        segment = self.config.segment
        recorder = Recorder(
            Sealer(key, binding, head),
            profile,
            Policy(segment.window_ms, max(1, segment.seconds * 1000 // segment.window_ms)),
            known.covered if known and not replay else None,
            known.counters if known else (),
            os.urandom,
        )
        if self.outbox.quarantined is not None:
            return recorder, STORE_REPLACED
        return recorder, REPLAY if replay else RESTARTED if known else FIRST_START

    def profile(self, name: str) -> Profile:
        """A compiled profile by name, from the configured, the system's or the shipped folder."""
        first = [self.config.profile_dir] if self.config.profile_dir else []
        return load_profile(name, profile_directories(first), self.config.state_dir / "profiles")


def run(config: AgentConfig) -> None:
    """Capture, seal and carry until SIGTERM or SIGINT."""
    if not config.pack:
        raise ConfigError("no [[pack]] in the configuration: nothing to listen to")
    parts = _open(config)
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    stations: dict[str, Station] = {}
    clock = SystemClock()
    courier = parts.courier([pack.id for pack in config.pack], inbox, lambda seen: engine.checkpoint_seen(seen))  # noqa: PLW0108 - the engine comes after its courier
    engine = Engine(inbox, parts.outbox, courier, clock, stations, config.segment.seconds)
    try:
        for table in config.pack:
            stations[table.id] = _station(parts, table, clock, inbox)
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda _number, _frame: engine.stop())
        _LOG.info("sealing %d packs as %s for %s", len(stations), config.gateway, parts.ledger.name)
        engine.run()
    finally:
        parts.outbox.close()


def replay(
    config: AgentConfig, pack: str, profile: str, paths: Sequence[Path], bus: str | None, timeout_s: float | None
) -> Replayed:
    """Seal a recording as `pack`, and unless `timeout_s` is None wait so long for all its statements to be proven."""
    parts = _open(config)
    try:
        tables = parts.profile(profile)
        recorder, reason = parts.recorder(pack, tables, replay=True)
        source = RecordedSource(paths, bus)
        source.open()
        inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        courier = None if timeout_s is None else parts.courier([pack], inbox, recorder.checkpoint_seen)
        others = parts.outbox.other_chains(pack, parts.keystore.load(pack).kid)
        clock = RecordedClock(source.first_time_us)
        replaying = Replay(pack, source, clock, recorder, parts.outbox, courier, inbox)
        replaying.seal(__version__, reason, others)
        return replaying.prove(timeout_s or 0.0)
    finally:
        parts.outbox.close()


def keystore(config: AgentConfig) -> Keystore:
    """The configured folder of keys."""
    return Keystore(config.state_dir / "keys", Registrar(config.registrar), config.gateway)


def _open(config: AgentConfig) -> _Parts:
    outbox = Outbox(config.state_dir)
    if outbox.quarantined is not None:
        _LOG.error("the outbox was damaged and is kept in %s; the chain goes on and says so", outbox.quarantined)
    return _Parts(
        config,
        outbox,
        keystore(config),
        Registrar(config.registrar),
        NamedKey.parse(config.ledger.key),
        outbox.count_start(),
    )


def _station(parts: _Parts, table: PackTable, clock: SystemClock, inbox: queue.SimpleQueue[Any]) -> Station:
    """One pack, its epoch opened and kept, ready to capture."""
    # python-can is imported for live buses only: a replay and the key commands start without it.
    from agent.sources.python_can import LiveSource

    profile = parts.profile(table.profile)
    recorder, reason = parts.recorder(table.id, profile, replay=False)
    others = parts.outbox.other_chains(table.id, parts.keystore.load(table.id).kid)
    opened = recorder.start(clock.read(), __version__, reason, others)
    parts.outbox.add(table.id, opened.sealed)
    source = LiveSource(table.source.interface, table.source.channel, table.source.bitrate, dict(table.source.options))
    capture = Capture(table.id, source, inbox.put, boottime_us)
    return Station(table.id, capture, recorder, LiveLine(profile))
