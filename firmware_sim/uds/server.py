"""The diagnostic server of the BMS (ISO 14229-1). Pure: a request and the time in, an answer out; no bus and no clock.

Every request is judged in the standard's order (7.5.3): service known, in this session, long enough, sub-function
known, in this session; then the service itself. What takes longer than P2 is announced with "response pending".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from firmware_sim.bms.contactors import Stage
from firmware_sim.bms.report import BmsReport
from firmware_sim.uds import trouble_codes
from firmware_sim.uds.codes import (
    NEGATIVE,
    POSITIVE,
    SUPPRESS_POSITIVE,
    UNSAID_WHEN_FUNCTIONAL,
    Nrc,
    Session,
    Sid,
)
from firmware_sim.uds.identifiers import ACTIVE_SESSION, BY_NUMBER, Identifier
from firmware_sim.uds.trouble_codes import TroubleCodes

P2_MS: Final = 50
P2_STAR_MS: Final = 5_000
S3_US: Final = 5_000_000
FLASH_US: Final = 120_000  # the time that lifetime counters take to come from flash
MAX_RESPONSE: Final = 1_024
MAX_IDENTIFIERS: Final = 16
KEEP_ALIVE: Final = bytes((Sid.TESTER_PRESENT, SUPPRESS_POSITIVE))

_ANY: Final = frozenset(Session)
_EXTENDED: Final = frozenset({Session.EXTENDED})
_HARD_RESET, _SOFT_RESET = 0x01, 0x03
_COUNT_BY_MASK, _CODES_BY_MASK, _SUPPORTED_CODES = 0x01, 0x02, 0x0A
_AT_REST: Final = frozenset({Stage.OPEN, Stage.BLOCKED})


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer (empty: none is to be sent), and whether the BMS resets once it has been sent."""

    payload: bytes = b""
    reset: bool = False


@dataclass(frozen=True, slots=True)
class _Service:
    """`answer` gives the positive response after its first byte; `subfunctions` say in which sessions each exists."""

    answer: Callable[[Server, bytes, BmsReport], bytes]
    shortest: int
    sessions: frozenset[Session] = _ANY
    subfunctions: Mapping[int, frozenset[Session]] | None = None


class _Negative(Exception):
    def __init__(self, code: Nrc) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class _Pending:
    request: bytes
    ready_us: int


@dataclass(slots=True)
class Server:
    """One control unit's diagnostic state: its session, its trouble codes, and the answer it still owes.

    `on_clear` is called when a tester has cleared trouble codes.
    """

    troubles: TroubleCodes
    on_clear: Callable[[], None] = lambda: None
    session: Session = Session.DEFAULT
    _heard_us: int = 0
    _pending: _Pending | None = None
    _reset: bool = field(default=False, init=False)

    @property
    def busy(self) -> bool:
        """Whether an answer is owed that `due` will give."""
        return self._pending is not None

    def boot(self, *, memory_lost: bool = False) -> None:
        """The BMS has booted or woken: the default session, nothing owed, a new operation cycle."""
        self.session, self._pending = Session.DEFAULT, None
        if memory_lost:
            self.troubles.clear(trouble_codes.ALL_GROUPS)
        self.troubles.begin_cycle()

    def ask(self, request: bytes, report: BmsReport, now_us: int, *, functional: bool = False) -> Reply:
        """The answer to one request, addressed to this unit or (`functional`) to all of them."""
        self._let_session_expire(now_us)
        if not request or request[0] & POSITIVE:
            return Reply()  # somebody's response, not a request
        self._heard_us = now_us
        if self._pending is not None:
            return self._while_busy(request, functional=functional)
        if self._is_slow(request):
            self._pending = _Pending(request, now_us + FLASH_US)
            return Reply(_negative(request, Nrc.RESPONSE_PENDING))
        return self._answer(request, report, functional=functional)

    def due(self, report: BmsReport, now_us: int) -> Reply:
        """The answer that was announced as pending, once it is there."""
        pending = self._pending
        if pending is None or now_us < pending.ready_us:
            return Reply()
        self._pending, self._heard_us = None, now_us
        return self._answer(pending.request, report, functional=False)

    def _let_session_expire(self, now_us: int) -> None:
        if self._pending is None and now_us - self._heard_us > S3_US:
            self.session = Session.DEFAULT

    def _while_busy(self, request: bytes, *, functional: bool) -> Reply:
        silent = functional or request == KEEP_ALIVE
        return Reply() if silent else Reply(_negative(request, Nrc.BUSY_REPEAT_REQUEST))

    def _is_slow(self, request: bytes) -> bool:
        """Whether a request reads from flash; one that will be refused is refused at once."""
        try:
            return request[0] == Sid.READ_BY_IDENTIFIER and any(each.slow for each in self._readable(request))
        except _Negative:
            return False

    def _answer(self, request: bytes, report: BmsReport, *, functional: bool) -> Reply:
        self._reset = False
        try:
            body = self._judged(request).answer(self, request, report)
        except _Negative as refused:
            unsaid = functional and refused.code in UNSAID_WHEN_FUNCTIONAL
            return Reply() if unsaid else Reply(_negative(request, refused.code))
        subfunction = SERVICES[request[0]].subfunctions is not None
        if subfunction and request[1] & SUPPRESS_POSITIVE:
            return Reply(b"", self._reset)
        return Reply(bytes((request[0] | POSITIVE,)) + body, self._reset)

    def _judged(self, request: bytes) -> _Service:
        """The service of a request that may be answered by it."""
        service = SERVICES.get(request[0])
        if service is None:
            raise _Negative(Nrc.SERVICE_NOT_SUPPORTED)
        if self.session not in service.sessions:
            raise _Negative(Nrc.SERVICE_NOT_IN_SESSION)
        if len(request) < service.shortest:
            raise _Negative(Nrc.INCORRECT_LENGTH_OR_FORMAT)
        if service.subfunctions is not None:
            sessions = service.subfunctions.get(request[1] & ~SUPPRESS_POSITIVE)
            if sessions is None:
                raise _Negative(Nrc.SUB_FUNCTION_NOT_SUPPORTED)
            if self.session not in sessions:
                raise _Negative(Nrc.SUB_FUNCTION_NOT_IN_SESSION)
        return service

    def _control_session(self, request: bytes, _report: BmsReport) -> bytes:
        _exactly(request, 2)
        self.session = Session(request[1] & ~SUPPRESS_POSITIVE)
        timing = P2_MS.to_bytes(2, "big") + (P2_STAR_MS // 10).to_bytes(2, "big")
        return bytes((self.session,)) + timing

    def _reset_unit(self, request: bytes, report: BmsReport) -> bytes:
        _exactly(request, 2)
        if report.contactors.stage not in _AT_REST:
            raise _Negative(Nrc.CONDITIONS_NOT_CORRECT)
        self._reset = True
        return bytes((request[1] & ~SUPPRESS_POSITIVE,))

    def _clear_trouble_codes(self, request: bytes, _report: BmsReport) -> bytes:
        _exactly(request, 4)
        if not self.troubles.clear(int.from_bytes(request[1:4], "big")):
            raise _Negative(Nrc.REQUEST_OUT_OF_RANGE)
        self.on_clear()
        return b""

    def _read_trouble_codes(self, request: bytes, report: BmsReport) -> bytes:
        self.troubles.observe(report.alerts)
        report_type = request[1] & ~SUPPRESS_POSITIVE
        _exactly(request, 2 if report_type == _SUPPORTED_CODES else 3)
        head = bytes((report_type, trouble_codes.AVAILABLE))
        if report_type == _SUPPORTED_CODES:
            return head + _listed(self.troubles.all())
        matching = self.troubles.matching(request[2] & trouble_codes.AVAILABLE)
        if report_type == _COUNT_BY_MASK:
            return head + bytes((trouble_codes.FORMAT,)) + len(matching).to_bytes(2, "big")
        return head + _listed(matching)

    def _read_by_identifier(self, request: bytes, report: BmsReport) -> bytes:
        readable = self._readable(request)
        body = b"".join(each.number.to_bytes(2, "big") + each.encode(report) for each in readable)
        if len(body) >= MAX_RESPONSE:
            raise _Negative(Nrc.RESPONSE_TOO_LONG)
        return body

    def _readable(self, request: bytes) -> list[Identifier]:
        """The identifiers that a request gets; unknown ones are left out as long as one is known (ISO 14229-1, 11.2)."""
        count, odd = divmod(len(request) - 1, 2)
        if odd or not 1 <= count <= MAX_IDENTIFIERS:
            raise _Negative(Nrc.INCORRECT_LENGTH_OR_FORMAT)
        wanted = (int.from_bytes(request[at : at + 2], "big") for at in range(1, len(request), 2))
        known = [found for number in wanted if (found := self._known(number)) is not None]
        if not known:
            raise _Negative(Nrc.REQUEST_OUT_OF_RANGE)
        if any(each.guarded for each in known):
            raise _Negative(Nrc.SECURITY_ACCESS_DENIED)
        return known

    def _known(self, number: int) -> Identifier | None:
        if number == ACTIVE_SESSION:
            session = bytes((self.session,))
            return Identifier(number, "active diagnostic session", "u8", lambda _: session)
        found = BY_NUMBER.get(number)
        return found if found is not None and self.session in found.sessions else None

    def _control_communication(self, request: bytes, _report: BmsReport) -> bytes:
        _exactly(request, 3)
        # What a BMS says keeps the car safe: no tester silences it.
        raise _Negative(Nrc.CONDITIONS_NOT_CORRECT if request[2] & 0x03 else Nrc.REQUEST_OUT_OF_RANGE)

    def _write_by_identifier(self, request: bytes, _report: BmsReport) -> bytes:
        found = self._known(int.from_bytes(request[1:3], "big"))
        guarded = found is not None and found.guarded
        raise _Negative(Nrc.SECURITY_ACCESS_DENIED if guarded else Nrc.REQUEST_OUT_OF_RANGE)

    def _control_routine(self, _request: bytes, _report: BmsReport) -> bytes:
        raise _Negative(Nrc.REQUEST_OUT_OF_RANGE)  # there are no routines

    def _tester_present(self, request: bytes, _report: BmsReport) -> bytes:
        _exactly(request, 2)
        return b"\x00"


def _in(sessions: frozenset[Session], *subfunctions: int) -> dict[int, frozenset[Session]]:
    return dict.fromkeys(subfunctions, sessions)


SERVICES: Final[Mapping[int, _Service]] = {
    Sid.SESSION_CONTROL: _Service(Server._control_session, 2, subfunctions=_in(_ANY, *Session)),
    Sid.RESET: _Service(Server._reset_unit, 2, subfunctions=_in(_ANY, _SOFT_RESET) | _in(_EXTENDED, _HARD_RESET)),
    Sid.CLEAR_TROUBLE_CODES: _Service(Server._clear_trouble_codes, 4),
    Sid.READ_TROUBLE_CODES: _Service(
        Server._read_trouble_codes, 2, subfunctions=_in(_ANY, _COUNT_BY_MASK, _CODES_BY_MASK, _SUPPORTED_CODES)
    ),
    Sid.READ_BY_IDENTIFIER: _Service(Server._read_by_identifier, 3),
    Sid.COMMUNICATION_CONTROL: _Service(
        Server._control_communication, 2, _EXTENDED, subfunctions=_in(_EXTENDED, 0, 1, 2, 3)
    ),
    Sid.WRITE_BY_IDENTIFIER: _Service(Server._write_by_identifier, 4, _EXTENDED),
    Sid.ROUTINE_CONTROL: _Service(Server._control_routine, 4, _EXTENDED, subfunctions=_in(_EXTENDED, 1, 2, 3)),
    Sid.TESTER_PRESENT: _Service(Server._tester_present, 2, subfunctions=_in(_ANY, 0)),
}


def _exactly(request: bytes, length: int) -> None:
    if len(request) != length:
        raise _Negative(Nrc.INCORRECT_LENGTH_OR_FORMAT)


def _negative(request: bytes, code: Nrc) -> bytes:
    return bytes((NEGATIVE, request[0], code))


def _listed(codes: list[tuple[int, int]]) -> bytes:
    return b"".join(code.to_bytes(3, "big") + bytes((status,)) for code, status in codes)
