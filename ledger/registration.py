"""Which acts bring a pack, its gateway and its key into the register: pure, from what the register already says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from evidence import acts
from evidence.acts import Act, ActBody, GatewayBind, KeyBind, PackRegister
from evidence.envelope import Envelope
from evidence.keys import NamedKey, SigningKey, key_id
from evidence.merkle import Digest
from evidence.register import Register
from evidence.sign1 import ED25519
from ledger.admission import Known
from ledger.errors import ActRefused
from ledger.sequencer import Admitted, Outcome, Refused

PLANNED: Final = -1  # the index of what is in no log yet: it came earlier in the list that is registered


@dataclass(frozen=True, slots=True)
class Registration:
    """A pack (URI) with its attributes, and a gateway (URI) and key for it, where they are wanted."""

    pack: str
    attributes: tuple[tuple[str, str], ...]
    gateway: str | None
    key: NamedKey | None


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a registration: what it says, and the act that is still needed or the index where it stands."""

    text: str
    act: Act | None
    at: int | None


class _Plan:
    """Steps so far, and where the pack's strand will stand after them."""

    def __init__(self, register: Register, wanted: Registration, party: str, key: SigningKey, issued_at: int) -> None:
        self._register, self._wanted, self._party, self._key, self._iat = register, wanted, party, key, issued_at
        self.pack = register.packs.get(wanted.pack)
        self.steps: list[Step] = []
        self._strand: Digest | None = None if self.pack is None else self.pack.strand

    def stands(self, text: str, at: int) -> None:
        """This part is in the register already."""
        self.steps.append(Step(text, None, at))

    def needs(self, text: str, kind: str, body: ActBody) -> None:
        """This part needs an act, which follows the one before it."""
        frame = Envelope(kind, self._key.kid, self._party, self._wanted.pack, self._register.origin, self._iat)
        act = acts.sign(self._key, frame, body, self._strand)
        self._strand = act.entry
        self.steps.append(Step(text, act, None))


def plan(register: Register, wanted: Registration, party: str, key: SigningKey, issued_at: int) -> list[Step]:
    """The steps in order; ActRefused for what the register already says otherwise."""
    made = _Plan(register, wanted, party, key, issued_at)
    if made.pack is None:
        made.needs(f"pack {wanted.pack}", "pack-register", PackRegister(wanted.attributes))
    elif wanted.attributes and wanted.attributes != made.pack.attributes:
        raise ActRefused(f"{wanted.pack} is registered with other attributes, {_place(made.pack.index)}")
    else:
        made.stands(f"pack {wanted.pack}", made.pack.index)
    if wanted.gateway is None:
        return made.steps
    bound_at = None if made.pack is None else made.pack.gateways.get(wanted.gateway)
    if bound_at is None:
        made.needs(f"gateway {wanted.gateway}", "gateway-bind", GatewayBind(wanted.gateway))
    else:
        made.stands(f"gateway {wanted.gateway}", bound_at)
    if wanted.key is not None:
        _plan_key(made, register, wanted.pack, wanted.gateway, wanted.key)
    return made.steps


def _plan_key(made: _Plan, register: Register, pack: str, gateway: str, named: NamedKey) -> None:
    if named.name != pack:
        raise ActRefused(f"the key is named for {named.name}, not for {pack}")
    kid = key_id(named.public)
    bound = register.keys.get(kid)
    if bound is None:
        made.needs(f"key {kid.hex()}", "key-bind", KeyBind(gateway, named.public, ED25519))
    elif (bound.pack, bound.gateway) == (pack, gateway):
        made.stands(f"key {kid.hex()}", bound.index)
    else:
        where = _place(bound.index)
        raise ActRefused(f"key-used: key {kid.hex()} is bound to {bound.pack} at {bound.gateway}, {where}")


def _place(index: int) -> str:
    return "earlier in this list" if index == PLANNED else f"at entry {index}"


def accepted(outcomes: Sequence[Outcome]) -> list[int]:
    """The indices of submitted acts; ActRefused naming the first rule that refused one."""
    indices: list[int] = []
    for outcome in outcomes:
        match outcome:
            case Admitted(_, index) | Known(_, index):
                indices.append(index)
            case Refused(_, rule, reason):
                raise ActRefused(f"refused ({rule}): {reason}")
            case _:
                raise ActRefused("the ledger could not judge it and has set it aside")
    return indices
