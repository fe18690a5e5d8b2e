"""What other nodes say on the same bus: as many messages as bring it to a given load. Pure and seeded.

Nobody maps these identifiers; they are there so that whoever listens has to find the pack among them. Each message has
six bytes that move like readings do, a four-bit counter, and a checksum over its identifier and bytes, as the nodes of
such a bus commonly have them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from firmware_sim.bms.report import BmsReport
from firmware_sim.bus.frame import CanFrame
from firmware_sim.bus.message import Sendable
from firmware_sim.bus.schedule import FRAME_US
from packseal.program import ConfigurationError

MAX_LOAD = 0.95
LOWEST, HIGHEST = 0x080, 0x5FF  # above them is diagnosis
# How often the messages of a vehicle bus come, and how many of a hundred come so often.
PERIODS = ((10_000, 30), (20_000, 20), (50_000, 15), (100_000, 25), (500_000, 5), (1_000_000, 5))
CYCLES = 1 << 20


@dataclass(frozen=True, slots=True)
class NodeMessage:
    """A message of some other node; its frames depend on nothing but their number."""

    identifier: int
    period_us: int
    base: int
    step: int

    def encode(self, turn: int, _report: BmsReport) -> CanFrame:
        """The frame of the `turn`-th occurrence."""
        # A triangle, so that neighbouring frames differ little and nothing jumps.
        place = turn % CYCLES
        reading = self.base + self.step * min(place, CYCLES - place)
        body = (reading & 0xFFFF_FFFF_FFFF).to_bytes(6, "little") + bytes((turn & 0x0F,))
        checksum = (self.identifier + (self.identifier >> 8) + sum(body)) & 0xFF
        return CanFrame(self.identifier, body + bytes((checksum,)))


def load_of(messages: Sequence[Sendable]) -> float:
    """The share of the bus's time that these messages take, 1 being all of it at 500 kbit/s."""
    return sum(FRAME_US / message.period_us for message in messages)


def traffic(load: float, own: Sequence[Sendable], seed: int, avoid: Sequence[int] = ()) -> tuple[NodeMessage, ...]:
    """Messages of other nodes that bring the bus, together with `own`, to `load`; none if `own` are enough.

    No identifier of `own` or `avoid` is used. ConfigurationError for a load that no bus carries.
    """
    if not 0.0 <= load <= MAX_LOAD:
        raise ConfigurationError(f"bus load {load:g}: give a fraction from 0 to {MAX_LOAD:g}")
    source = random.Random(f"traffic {seed}")  # noqa: S311 - a simulation, not a secret
    taken = {message.identifier for message in own} | set(avoid)
    free = [identifier for identifier in range(LOWEST, HIGHEST + 1) if identifier not in taken]
    source.shuffle(free)
    periods, weights = zip(*PERIODS, strict=True)
    added: list[NodeMessage] = []
    wanted = load - load_of(own)
    while (missing := wanted - load_of(added)) > 0.0:
        # The last ones are slow, so that the load is met and not overshot.
        fitting = [(each, weight) for each, weight in zip(periods, weights, strict=True) if FRAME_US / each <= missing]
        if not fitting:
            break
        period = source.choices([each for each, _ in fitting], [weight for _, weight in fitting])[0]
        base, step = source.getrandbits(46), source.choice((1, 3, 16, 257))
        added.append(NodeMessage(free.pop(), period, base, step))
    return tuple(sorted(added, key=lambda message: message.identifier))
