"""A running engine for tests: in a thread of its own, with its outbox, as `app` puts it together."""

from __future__ import annotations

import contextlib
import queue
import threading
import time

from agent.capture import Capture
from agent.clock import SystemClock
from agent.courier import Courier
from agent.engine import Engine, Station
from agent.errors import AgentError
from agent.live import LiveLine
from agent.outbox import Outbox
from agent.receipts import Receipts
from agent.recorder import FIRST_START, Policy
from agent.sources.source import boottime_us
from evidence import statement
from link.connection import Connection
from link.endpoint import parse_url
from packseal.service_manager import ServiceManager
from tests.agent_world import GATEWAY, PACK, PROFILE, REGISTRAR, Ledger, key, recorder
from tests.pipeline.link_watch import FAST, eventually
from tests.scripted_source import SteadySource

POLICY = Policy(window_ms=100, windows_per_segment=5)
DEADLINE_S = 20.0


class NoBroker:
    """The other side where nobody is: an address without a broker, and a ledger that never answers."""

    url = "mqtt://127.0.0.1:1"

    def __init__(self) -> None:
        self.broker = self
        self.ledger = Ledger()

    def step(self, timeout_s: float) -> None:
        time.sleep(timeout_s)


class Running:
    """An engine in a thread of its own, with its outbox, as `app` puts it together."""

    def __init__(self, folder, side, packs=(PACK,), service=None, clock=None):
        self._side = side
        self.service = service or ServiceManager()
        self.clock = clock or SystemClock()
        self.sources = {pack: SteadySource(boottime_us) for pack in packs}
        self.engine = None
        self.failure = None
        self.said = {}
        self.before_run = lambda _outbox: None
        self._thread = threading.Thread(target=self._run, args=(folder, side.broker.url, side.ledger.name))

    def start(self):
        self._thread.start()
        assert eventually(lambda: self.engine is not None or self.failure is not None)
        return self

    def stop(self):
        if self.engine is not None:
            self.engine.stop()
        deadline = time.monotonic() + DEADLINE_S
        while self._thread.is_alive():
            assert time.monotonic() < deadline
            self._side.step(0.02)
        return self

    def _run(self, folder, url, ledger):
        try:
            with contextlib.closing(Outbox(folder)) as outbox:
                self._run_with(outbox, url, ledger)
        except (AgentError, RuntimeError) as problem:
            self.failure = problem

    def _run_with(self, outbox, url, ledger):
        inbox, clock, stations = queue.SimpleQueue(), self.clock, {}
        connection = Connection(parse_url(url, client_id="agent", session_expiry_s=60), backoff=FAST, events=inbox)
        courier = Courier(
            connection,
            outbox,
            Receipts(ledger, outbox.checkpoint()),
            gateway=GATEWAY,
            packs={pack: REGISTRAR.pack(pack) for pack in self.sources},
            send_documents=True,
            proof_timeout_s=1.0,
            checkpoint_seen=lambda seen: engine.checkpoint_seen(seen),  # noqa: PLW0108 - the engine comes after its courier
        )
        engine = Engine(inbox, outbox, courier, clock, stations, 0.5, self.service)
        for pack, source in self.sources.items():
            before = outbox.chain(key(f"key of {pack}").kid)
            made = recorder(outbox, pack=pack, epoch=before.epoch + 1 if before else 1, policy=POLICY)
            outbox.add(pack, made.start(clock.read(), "test", FIRST_START).sealed)
            stations[pack] = Station(pack, Capture(pack, source, inbox.put, boottime_us), made, LiveLine(PROFILE))
        self.before_run(outbox)
        self.engine = engine
        try:
            engine.run()
        finally:
            for pack in self.sources:
                rows = outbox._connection.execute("SELECT body FROM statements WHERE pack = ? ORDER BY id", (pack,))
                self.said[pack] = [statement.read(body) for (body,) in rows.fetchall()]
