"""On which CAN identifiers the diagnostic server listens and answers."""

from __future__ import annotations

from dataclasses import dataclass

from packseal.program import ConfigurationError

_LARGEST = 0x7FF


@dataclass(frozen=True, slots=True)
class Addresses:
    """Normal 11-bit addressing (ISO 15765-2): requests to this BMS, its answers, and requests to every control unit."""

    request: int = 0x602
    response: int = 0x612
    functional: int = 0x7DF

    def __post_init__(self) -> None:
        named = {"request": self.request, "response": self.response, "functional": self.functional}
        for name, identifier in named.items():
            if not 0 <= identifier <= _LARGEST:
                raise ConfigurationError(f"uds.{name} 0x{identifier:X} is not an 11-bit identifier (0 to 0x7FF)")
        if len(set(named.values())) != len(named):
            raise ConfigurationError("uds.request, uds.response and uds.functional must be three different identifiers")
