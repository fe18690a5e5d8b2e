"""A machine whose time a test tells: its wall clock can be set, its boot clock only runs, and its witnesses are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from agent.clock import SystemClock
from agent.machine_time import KernelTime

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000


@dataclass(slots=True)
class ScriptedMachine:
    """`boot_ns` tells the boot clock, which by default stands until `pass_s`. `asked` counts looks at the hardware clock,
    `questions` those at the kernel."""

    wall_at_start_ms: int = NOW_MS
    said: KernelTime | None = field(
        default_factory=lambda: KernelTime(unsynchronized=True, largest_error_us=16_000_000)
    )
    touched: int | None = None
    hardware: int | None = None
    asked: int = 0
    questions: int = 0
    boot_ns: Callable[[], int] | None = None
    clock: SystemClock = field(init=False)
    _boot_ms: int = 5_000
    _offset_ms: int = 0

    def __post_init__(self) -> None:
        self.set(self.wall_at_start_ms)
        self.clock = SystemClock(self, lambda: self.wall_ms * 1_000_000, self._boot_ns)

    @property
    def wall_ms(self) -> int:
        return self._boot_ns() // 1_000_000 + self._offset_ms

    def set(self, wall_ms: int) -> None:
        """Set the wall clock."""
        self._offset_ms = wall_ms - self._boot_ns() // 1_000_000

    def pass_s(self, seconds: int) -> None:
        """Let time pass; the hardware clock runs as well."""
        self._boot_ms += seconds * 1000
        if self.hardware is not None:
            self.hardware += seconds * 1000

    def kernel(self) -> KernelTime | None:
        self.questions += 1
        return self.said

    def touched_ms(self) -> int | None:
        return self.touched

    def hardware_ms(self) -> int | None:
        self.asked += 1
        return self.hardware

    def _boot_ns(self) -> int:
        return self._boot_ms * 1_000_000 if self.boot_ns is None else self.boot_ns()
