"""Bundles that must fail, by the step of verification at which they do: what the tables of the verifier are written with."""

from collections.abc import Callable
from typing import Any

import cbor2
import pytest

from evidence import cbor
from evidence.bodies import Open
from evidence.keys import NamedKey
from evidence.statement import Statement
from evidence.verdict import Rejected
from evidence.verify import STEPS, verify
from tests.evidence_world import SCHEMA, Offer, Vehicle, World, disclosed, full_world


class Cases:
    """A table of doctored bundles: name -> (step, complaint, builder)."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[int, str, Callable[[], Any]]] = {}

    def __call__(self, step: int, name: str, complaint: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
        """The decorated function makes an offer or bytes, with the ledger's key and pins if they are not the usual ones."""

        def keep(make: Callable[[], Any]) -> Callable[[], Any]:
            assert name not in self.rows
            self.rows[name] = (step, complaint, make)
            return make

        return keep

    def check(self, name: str) -> None:
        """The bundle is rejected at its step, with its complaint, in one line."""
        step, complaint, make = self.rows[name]
        made = make()
        offered, ledger, *pins = made if isinstance(made, tuple) else (made, None)
        if isinstance(offered, Offer):
            ledger, offered = ledger or offered.world.name, offered.encode()
        with pytest.raises(Rejected, match=complaint) as rejected:
            verify(offered, ledger or usual_key(), pins)
        assert (rejected.value.step, rejected.value.title) == (step, STEPS[step])
        assert "\n" not in str(rejected.value)


def usual_key() -> NamedKey:
    """The key of the ledger in `honest`."""
    return full_world()[0].name


def honest() -> tuple[World, Vehicle, Offer]:
    """A bundle with everything in it, as parts to be doctored."""
    world, vehicle = full_world()
    offer = world.offer(vehicle)
    said = vehicle.chain[1]
    offer.windows = [disclosed(said, vehicle.documents[said.entry], at) for at in (0, 2)]
    return world, vehicle, offer


def bare() -> tuple[World, Vehicle]:
    """A world with a registered pack that has said nothing, for logging what should not be there."""
    world = World("bare")
    return world, world.register("p-1")


def parts(change: Callable[[Any], Any]) -> bytes:
    """The honest bundle with its outermost map changed."""
    value = cbor2.loads(honest()[2].encode())
    change(value)
    return cbor.encode(dict(sorted(value.items())))


def at(world: World, encoded: bytes) -> int:
    """Where it is logged."""
    return world.log.index(encoded)


def opened(vehicle: Vehicle, **more: Any) -> Statement:
    """A first open."""
    return vehicle.sign("open", Open("0", 0, (), SCHEMA), epoch=1, seq=0, prev=None, **more)


def after(
    vehicle: Vehicle, kind: str, body: Any, epoch: int | None = None, seq: int | None = None, **more: Any
) -> Statement:
    """A statement after the vehicle's last, in its place unless told otherwise."""
    last = vehicle.chain[-1]
    place = {"epoch": last.epoch if epoch is None else epoch, "seq": last.seq + 1 if seq is None else seq}
    return vehicle.sign(kind, body, prev=more.pop("prev", last.entry), **place, **more)


def logged(said: Statement | bytes, world: World, vehicle: Vehicle) -> Offer:
    """A bundle in which this is the last message of the log."""
    world.append(said if isinstance(said, bytes) else said.encoded)
    offer = world.offer(vehicle)
    offer.indexes.append(len(world.log) - 1)
    return offer
