"""What all logs have in common: a file always listens, never speaks, and counts what it has taken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from firmware_sim.bus.frame import CanFrame, TimedFrame
from firmware_sim.outputs.output import Completed, Tally
from packseal.program import InputOutputError


class LogFile:
    """The part of an Output that does not depend on the log's format."""

    def __init__(self, path: str | Path, completed: Completed) -> None:
        self.tally = Tally()
        self._path, self._completed = path, completed

    @property
    def listening(self) -> bool:
        """A file always listens."""
        return True

    def service(self) -> None:
        """A file asks for nothing."""

    def heard(self) -> list[CanFrame]:
        """Nobody speaks in a file."""
        return []

    def _taken(self, frames: Sequence[TimedFrame]) -> int:
        """Count and report frames that are written; how many they are."""
        self.tally.written += len(frames)
        self._completed([frame for _, frame in frames])
        return len(frames)

    def _failed(self, problem: OSError) -> InputOutputError:
        return InputOutputError(f"{self._path}: {problem.strerror}")
