"""Puts faults between a feed and its output: those that are planned, and those that are asked for while it runs."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from firmware_sim.app import Counts, Programme
from firmware_sim.faults.adapter import FaultyOutput
from firmware_sim.faults.apply import PackFaults
from firmware_sim.faults.control import Control
from firmware_sim.faults.on_bus import FaultyFeed
from firmware_sim.faults.tally import FaultTally
from firmware_sim.faults.timeline import Timeline
from firmware_sim.outputs.output import Output
from firmware_sim.simulated_pack import SimulatedPack


@dataclass(slots=True)
class _Breaking:
    programme: Programme
    feed: FaultyFeed
    control: Control | None
    tally: FaultTally = field(default_factory=FaultTally)

    def through(self, output: Output) -> Output:
        """The output behind the adapter that can fail."""
        self.feed.adapter = FaultyOutput(self.programme.through(output), self.tally)
        return self.feed.adapter

    def open(self) -> tuple[str, ...]:
        """Open what the programme opens, and the control socket."""
        opened = self.programme.opening()
        return opened if self.control is None else (*opened, self.control.open())

    def close(self) -> None:
        """Close both."""
        try:
            self.programme.close()
        finally:
            if self.control is not None:
                self.control.close()
            for complaint in self.tally.complaints:
                print(f"packseal-sim: {complaint}", file=sys.stderr)

    def counts(self) -> Counts:
        """The programme's, and what the faults have done."""
        return {**self.programme.counts(), "faults": self.tally.summary()}


def breakable(
    programme: Programme,
    seed: int,
    timeline: Timeline,
    pack: SimulatedPack | None,
    control: Path | None,
    own: Collection[int] | None = None,
) -> Programme:
    """The programme with the faults of `timeline` and of whoever speaks on the socket `control`.

    `pack` is None for a recording, which has nothing to break; `own` are the identifiers that it sends itself.
    """
    tally = FaultTally()
    feed = FaultyFeed(programme.feed, timeline, seed, tally, None if pack is None else PackFaults(pack), own=own)
    cells, modules = (None, None) if pack is None else (pack.spec.cells, pack.spec.modules)
    server = None if control is None else Control(control, feed, cells, modules)
    breaking = _Breaking(programme, feed, server, tally)
    return replace(
        programme,
        feed=feed,
        through=breaking.through,
        attendants=programme.attendants if server is None else (*programme.attendants, server.attend),
        opening=breaking.open,
        close=breaking.close,
        counts=breaking.counts,
    )
