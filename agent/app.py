"""The composition root: from a configuration to a running agent, or to one recording replayed. Nothing else sees both."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import secrets
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.capture import Capture
from agent.chain_state import ChainState
from agent.clock import RecordedClock, SystemClock
from agent.config import DEFAULT_BITRATE, AgentConfig, SourceTable
from agent.configured_keys import keystore
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
from agent.sources.source import Source, boottime_us
from evidence.chain import ChainHead
from evidence.keys import NamedKey, SigningKey
from evidence.names import Registrar
from evidence.statement import MAX_EPOCH, Seen
from link.connection import Connection
from link.endpoint import Endpoint, Tls, parse_url
from link.errors import LinkError
from link.events import Will
from link.presence import Presence
from link.topics import state
from packseal.service_manager import ServiceManager
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
    first_birth: int

    def courier(
        self, packs: Sequence[str], inbox: queue.SimpleQueue[Any], checkpoint_seen: Callable[[Seen], None]
    ) -> Courier:
        """The link to the configured broker, and who carries over it: also what the outbox holds of other packs."""
        gateway = self.config.gateway
        connection = Connection(
            endpoint(self.config),
            will_for=lambda birth: Will(state(gateway), Presence("lost", birth).payload()),
            first_birth=self.first_birth,
            events=inbox,
        )
        return Courier(
            connection,
            self.outbox,
            Receipts(self.ledger, self.outbox.checkpoint()),
            gateway=gateway,
            packs={pack: self.registrar.pack(pack) for pack in dict.fromkeys([*packs, *self.outbox.packs()])},
            send_documents=self.config.uplink.documents == "archive",
            proof_timeout_s=self.config.uplink.proof_timeout_s,
            checkpoint_seen=checkpoint_seen,
        )

    def chain(self, pack: str) -> tuple[SigningKey, ChainState | None]:
        """The pack's key and where its chain stands; ConfigError if this key must not go on for this pack and ledger."""
        key = self.keystore.load(pack)
        known = self.outbox.chain(key.kid)
        if known is not None and known.pack != pack:
            raise ConfigError(f"the key of {pack} has already spoken for {known.pack}: each pack needs its own")
        if known is not None and known.ledger != self.ledger.name:
            raise ConfigError(
                f"[ledger] key: the chain of {pack} was begun for {known.ledger}; make a new key for the new ledger"
            )
        return key, known

    def recorder(self, pack: str, profile: Profile, *, replay: bool) -> tuple[Recorder, int]:
        """The recorder that carries on the pack's chain in a new epoch, and the reason for its `open`."""
        key, known = self.chain(pack)
        head = ChainHead(secrets.randbelow(MAX_EPOCH + 1), 0, known.entry if known else None)
        binding = Binding(self.registrar.gateway(self.config.gateway), self.registrar.pack(pack), self.ledger.name)
        segment = self.config.segment
        recorder = Recorder(
            Sealer(key, binding, head),
            profile,
            Policy(segment.window_ms, max(1, segment.seconds * 1000 // segment.window_ms)),
            known.covered if known and not replay else None,
            known.counters if known and not replay else (),
            os.urandom,
        )
        if replay:
            return recorder, REPLAY
        if self.outbox.replaced(key.kid):
            return recorder, STORE_REPLACED
        return recorder, RESTARTED if known else FIRST_START

    def profile(self, name: str) -> Profile:
        """A compiled profile by name."""
        return profile(self.config, name)


def run(config: AgentConfig) -> None:
    """Capture, seal and carry until SIGTERM or SIGINT."""
    if not config.pack:
        raise ConfigError("no [[pack]] in the configuration: nothing to listen to")
    service = ServiceManager.from_environment()
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    stations: dict[str, Station] = {}
    clock = SystemClock()
    with _opened(config) as parts:
        packs = [table.id for table in config.pack]
        courier = parts.courier(packs, inbox, lambda seen: engine.checkpoint_seen(seen))  # noqa: PLW0108 - the engine comes after its courier
        engine = Engine(inbox, parts.outbox, courier, clock, stations, config.segment.seconds, service)
        # Whatever the operator got wrong shows before the first signature: a restart loop must not fill the chain.
        profiles = [parts.profile(table.profile) for table in config.pack]
        for pack in packs:
            parts.chain(pack)
        sources = [source(table.source, profile) for table, profile in zip(config.pack, profiles, strict=True)]
        for table, profile, bus in zip(config.pack, profiles, sources, strict=True):
            capture = Capture(table.id, bus, inbox.put, boottime_us)
            stations[table.id] = _station(parts, table.id, profile, clock, capture)
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda _number, _frame: engine.stop())
        _LOG.info("sealing %d packs as %s for %s", len(stations), config.gateway, parts.ledger.name)
        engine.run()


def replay(
    config: AgentConfig, pack: str, profile: str, paths: Sequence[Path], bus: str | None, timeout_s: float | None
) -> Replayed:
    """Seal a recording as `pack`, and unless `timeout_s` is None wait so long for all its statements to be proven."""
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    source = RecordedSource(paths, bus)
    with _opened(config) as parts, contextlib.closing(source):
        tables = parts.profile(profile)
        recorder, reason = parts.recorder(pack, tables, replay=True)
        source.open()
        source.require_frames()
        courier = None if timeout_s is None else parts.courier([pack], inbox, recorder.checkpoint_seen)
        others = parts.outbox.other_chains(pack, parts.keystore.load(pack).kid)
        clock = RecordedClock(source.first_time_us)
        replaying = Replay(pack, source, clock, recorder, parts.outbox, courier, inbox)
        replaying.seal(__version__, reason, others)
        return replaying.prove(timeout_s or 0.0)


@contextlib.contextmanager
def _opened(config: AgentConfig) -> Iterator[_Parts]:
    keys = keystore(config)
    keys.unlock()  # a damaged store asks which keys can speak: none can without it, and that would be believed
    with contextlib.closing(Outbox(config.state_dir, keys.speakers())) as outbox:
        if outbox.quarantined is not None:
            _LOG.error(
                "the outbox was damaged and is kept in %s; what can be read of it is taken over, the chains go on and say so",
                outbox.quarantined,
            )
        yield _Parts(
            config,
            outbox,
            keys,
            Registrar(config.registrar),
            NamedKey.parse(config.ledger.key),
            outbox.first_birth(SystemClock().read().wall_ms),
        )


def _station(parts: _Parts, pack: str, profile: Profile, clock: SystemClock, capture: Capture) -> Station:
    """One pack, its epoch opened and kept, ready to capture."""
    recorder, reason = parts.recorder(pack, profile, replay=False)
    others = parts.outbox.other_chains(pack, parts.keystore.load(pack).kid)
    opened = recorder.start(clock.read(), __version__, reason, others)
    parts.outbox.add(pack, opened.sealed)
    return Station(pack, capture, recorder, LiveLine(profile))


def source(table: SourceTable, profile: Profile) -> Source:
    """The bus as configured: SocketCAN and slcan are listened to by ourselves, everything else through python-can."""
    if table.interface == "socketcan":
        from agent.sources.socketcan import SocketCanSource

        if table.options:
            raise ConfigError(
                "pack.source.options: are for python-can; with socketcan, set the interface up instead (systemd/80-can.network)"
            )
        return SocketCanSource(table.channel, [(message.id, message.extended) for message in profile.messages])
    if table.interface == "slcan":
        from agent.sources.slcan import SlcanSource

        return SlcanSource(table.channel, table.bitrate or DEFAULT_BITRATE, table.options)
    # python-can is imported where it is needed only: it would stay in memory for as long as the service runs.
    from agent.sources.python_can import LiveSource

    return LiveSource(table.interface, table.channel, table.bitrate or DEFAULT_BITRATE, dict(table.options))


def endpoint(config: AgentConfig) -> Endpoint:
    """The configured broker; ConfigError for what would otherwise fail at each connection."""
    broker = config.broker
    tls = Tls(broker.ca, broker.certificate, broker.key) if broker.ca or broker.certificate or broker.key else None
    try:
        made = parse_url(
            broker.url,
            client_id=f"packseal-agent-{config.gateway}",
            password_file=broker.password_file,
            tls=tls,
            keepalive_s=broker.keepalive_s,
            protocol=broker.protocol,
            session_expiry_s=SESSION_EXPIRY_S,
        )
        made.check()
    except LinkError as problem:
        raise ConfigError(f"[broker]: {problem}") from None
    return made


def profile(config: AgentConfig, name: str) -> Profile:
    """A compiled profile by name, from the configured, the system's or the shipped folder."""
    first = [config.profile_dir] if config.profile_dir else []
    if first and not first[0].is_dir():
        raise ConfigError(f"profile_dir: {first[0]} is no folder; make it, or leave the key out")
    # A state folder that is missing is not for a cache to make, with whoever's rights this runs.
    cache = config.state_dir / "profiles" if config.state_dir.is_dir() else None
    return load_profile(name, profile_directories(first), cache)
