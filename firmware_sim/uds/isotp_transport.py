"""ISO-TP (ISO 15765-2) through can-isotp; the only module that imports it. No threads: frames in, frames out.

Nothing from the bus may end the simulator or grow its memory: what does not fit into the queues is lost and counted, as
in a real controller, and what the library complains about is its own affair.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Final

import isotp

from firmware_sim.bus.frame import CanFrame
from firmware_sim.uds.addresses import Addresses

LARGEST_REQUEST: Final = 256
TIMEOUT_MS: Final = 1_000  # N_Bs and N_Cr of ISO 15765-2
QUEUE: Final = 64
PADDING: Final = 0x00
_LOG: Final = "packseal-sim.isotp"

logging.getLogger(_LOG).addHandler(logging.NullHandler())
logging.getLogger(_LOG).propagate = False


class Transport:
    """Segments answers and puts requests together, for one pair of identifiers and the functional one."""

    def __init__(self, addresses: Addresses, timeout_ms: int = TIMEOUT_MS) -> None:
        self._addresses = addresses
        self._heard: deque[isotp.CanMessage] = deque()
        self._frames: deque[CanFrame] = deque()
        self.lost = 0
        self.errors = 0
        self._layer = isotp.TransportLayerLogic(
            rxfn=self._next_heard,
            txfn=self._put,
            address=isotp.Address(isotp.AddressingMode.Normal_11bits, txid=addresses.response, rxid=addresses.request),
            error_handler=self._complained,
            params={
                "stmin": 0,
                "blocksize": 0,
                "wftmax": 8,
                "tx_padding": PADDING,
                "max_frame_size": LARGEST_REQUEST,
                "rx_flowcontrol_timeout": timeout_ms,
                "rx_consecutive_frame_timeout": timeout_ms,
                "logger_name": _LOG,
            },
        )

    @property
    def sending(self) -> bool:
        """Whether an answer is on its way, segments or single frame."""
        return bool(self._frames) or self._layer.transmitting()

    @property
    def busy(self) -> bool:
        """Whether something is on its way in either direction, so that time matters."""
        return self.sending or self._layer.is_rx_active()

    def hear(self, frame: CanFrame) -> list[tuple[bytes, bool]]:
        """Take one frame of the bus: the requests that it completes, each with whether it went to all units."""
        if frame.extended or frame.remote or not frame.payload:
            return []
        if frame.identifier == self._addresses.functional:
            length = frame.payload[0]  # to all units only single frames go, whose first byte is their length
            return [(frame.payload[1 : 1 + length], True)] if 1 <= length < len(frame.payload) else []
        if frame.identifier != self._addresses.request or not _well_formed(frame.payload):
            return []
        if len(self._frames) >= QUEUE:
            self.lost += 1
            return []
        self._heard.append(isotp.CanMessage(arbitration_id=frame.identifier, data=frame.payload, dlc=frame.length))
        self._process()
        requests: list[tuple[bytes, bool]] = []
        while (received := self._layer.recv()) is not None:
            requests.append((bytes(received), False))
        return requests

    def send(self, payload: bytes) -> None:
        """Begin to send an answer."""
        self._layer.send(payload)
        self._process()

    def frames(self, limit: int) -> list[CanFrame]:
        """The frames to be sent now, oldest first and not more than `limit`; each is given once."""
        self._process()
        return [self._frames.popleft() for _ in range(min(limit, len(self._frames)))]

    def reset(self) -> None:
        """Forget what is on its way in both directions."""
        self._heard.clear()
        self._frames.clear()
        self._layer.reset()

    def _process(self) -> None:
        try:
            self._layer.process()
        except Exception:  # noqa: BLE001 - a frame of a stranger must not end the simulator, whatever it does to the library
            self.errors += 1
            self._heard.clear()
            self._layer.reset()

    def _next_heard(self, _timeout_s: float) -> isotp.CanMessage | None:
        return self._heard.popleft() if self._heard else None

    def _put(self, message: isotp.CanMessage) -> None:
        self._frames.append(CanFrame(message.arbitration_id, bytes(message.data)))

    def _complained(self, _problem: Exception) -> None:
        self.errors += 1


def _well_formed(payload: bytes) -> bool:
    """Whether a classic frame's lengths are lawful: the escapes of CAN FD and first frames that need none are ignored."""
    kind = payload[0] >> 4
    if kind == 0:
        return 1 <= payload[0] < len(payload)
    if kind == 1:
        return len(payload) == 8 and ((payload[0] & 0x0F) << 8 | payload[1]) not in range(1, 8)
    return True
