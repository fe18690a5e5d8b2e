"""The diagnostic server on a bus: hears frames, asks the server, gives the frames of its answers when they are due."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from firmware_sim.bms.alerts import RULES
from firmware_sim.bms.report import BmsReport
from firmware_sim.bus.frame import CanFrame
from firmware_sim.uds.addresses import Addresses
from firmware_sim.uds.isotp_transport import TIMEOUT_MS, Transport
from firmware_sim.uds.server import KEEP_ALIVE, Reply, Server
from firmware_sim.uds.trouble_codes import TroubleCodes

BURST: Final = 4  # frames at a time: asked every millisecond, about what 500 kbit/s carry
OBSERVE_US: Final = 100_000


class Endpoint:
    """One BMS's diagnostics. `report` says what it knows now; `reset` makes it boot again, its counters kept;
    `clear` makes it forget its alerts, as the service that clears trouble codes asks for.

    A BMS that sleeps or boots is deaf, and has forgotten its session when it is back; one that comes back as another
    board, or with less on its counters, has lost its trouble codes with its memory.
    """

    def __init__(
        self,
        addresses: Addresses,
        report: Callable[[], BmsReport],
        reset: Callable[[], None],
        *,
        clear: Callable[[], None] = lambda: None,
        timeout_ms: int = TIMEOUT_MS,
    ) -> None:
        self._report = report
        self._reset = reset
        self._transport = Transport(addresses, timeout_ms)
        self._wanted = frozenset({addresses.request, addresses.functional})
        self._server = Server(TroubleCodes(frozenset(rule.number for rule in RULES)), clear)
        self._awake = False
        self._board, self._charged_kwh = "", 0.0
        self._resetting = False
        self._observe_us = 0
        self.requests = 0
        self.ignored = 0

    @property
    def busy(self) -> bool:
        """Whether `due` should be asked every millisecond."""
        return self._transport.busy or self._server.busy or self._resetting

    def hear(self, frame: CanFrame, now_us: int) -> None:
        """Take one frame that others have sent."""
        if frame.identifier not in self._wanted:
            return
        report = self._report()
        if not self._is_awake(report):
            return
        for request, functional in self._transport.hear(frame):
            # Half duplex, as control units are: while it answers it takes no other question, but it is kept awake.
            if self._resetting or (self._transport.sending and request != KEEP_ALIVE):
                self.ignored += 1
                continue
            self.requests += 1
            self._say(self._server.ask(request, report, now_us, functional=functional))

    def due(self, now_us: int) -> list[CanFrame]:
        """The frames to be sent now."""
        if not self.busy and now_us < self._observe_us:
            return []
        self._observe_us = now_us + OBSERVE_US
        report = self._report()
        if not self._is_awake(report):
            return []
        self._server.troubles.observe(report.alerts)
        if not self._transport.sending:
            self._say(self._server.due(report, now_us))
        frames = self._transport.frames(BURST)
        if self._resetting and not self._transport.sending:
            self._resetting = False
            self._reset()
        return frames

    def _say(self, reply: Reply) -> None:
        self._resetting = self._resetting or reply.reset
        if reply.payload:
            self._transport.send(reply.payload)

    def _is_awake(self, report: BmsReport) -> bool:
        if report.awake and not self._awake:
            another = report.identity.board_serial != self._board
            self._server.boot(memory_lost=another or report.charged_kwh < self._charged_kwh)
        if report.awake:
            self._board, self._charged_kwh = report.identity.board_serial, report.charged_kwh
        else:
            self._transport.reset()
            self._resetting = False
        self._awake = report.awake
        return report.awake
