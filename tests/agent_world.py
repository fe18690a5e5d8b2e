"""A small world around the agent's parts: a pack with one message, clocks that are told, a chain, and a ledger that answers."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.frames import Frames
from agent.outbox import Outbox
from agent.profile import Bits, Field, Message, Profile, Signal
from agent.reading import NTP, Reading
from agent.recorder import FIRST_START, Policy, Recorder
from agent.seal import Binding, Sealed, Sealer
from evidence import answer, checkpoint, merkle, statement
from evidence.answer import Refusal, Stored
from evidence.chain import ChainHead
from evidence.checkpoint import Checkpoint
from evidence.keys import NamedKey, SigningKey
from evidence.merkle import Digest, Tree
from evidence.names import Registrar
from evidence.proof import LogProof
from evidence.statement import Statement

ROOT = Path(__file__).resolve().parent.parent
ORIGIN = "ledger.example/packs"
REGISTRAR = Registrar("packs.example,2026")
GATEWAY = "gw-1"
PACK = "pack-1"
START_MS = 1_800_000_000_000  # the wall clock at boot
POLICY = Policy(window_ms=1000, windows_per_segment=5)

PROFILE = Profile(
    name="made",
    title="for tests",
    variant="none",
    signals=(
        Signal("Voltage", "mV", "scalar", 1),
        Signal("Closed", "state", "state", 1),
        Signal("Cells", "mV", "array", 2),
        Signal("Total", "Wh", "counter", 1),
    ),
    messages=(
        Message(
            0x100,
            False,
            "Pack",
            8,
            None,
            (
                Field(0, 0, None, Bits(0, 8, False, False), 10, 0, None, "voltage"),
                Field(1, 0, None, Bits(8, 1, False, False), 1, 0, None, "closed"),
                Field(2, 0, None, Bits(16, 8, False, False), 1, 0, None, "cell0"),
                Field(2, 1, None, Bits(24, 8, False, False), 1, 0, None, "cell1"),
                Field(3, 0, None, Bits(32, 16, False, False), 1, 0, None, "total"),
            ),
        ),
    ),
)


def key(label: str = "pack key") -> SigningKey:
    """The key of this name, the same in every run."""
    return SigningKey(hashlib.sha256(label.encode()).digest())


def digest(label: str) -> Digest:
    """Some digest."""
    return Digest(hashlib.sha256(label.encode()).digest())


def reading(boot_us: int, *, boot: int = 1, wall_ms: int | None = None, quality: int = NTP) -> Reading:
    """The clocks `boot_us` after boot number `boot`."""
    return Reading(bytes([boot]) * 16, boot_us, START_MS + boot_us // 1000 if wall_ms is None else wall_ms, quality)


def frames(*times_us: int, voltage: int = 40, closed: int = 1, total: int = 7, identifier: int = 0x100) -> Frames:
    """Frames of the profile's message at these times."""
    payload = bytes([voltage, closed, 3, 4]) + total.to_bytes(2, "little") + bytes(2)
    return Frames.from_rows([(time_us, identifier, 0, payload) for time_us in times_us])


def binding(pack: str = PACK) -> Binding:
    """Who speaks for a pack to whom."""
    return Binding(REGISTRAR.gateway(GATEWAY), REGISTRAR.pack(pack), ORIGIN)


def recorder(
    outbox: Outbox | None = None, *, pack: str = PACK, epoch: int = 1, policy: Policy = POLICY, signer: str = ""
) -> Recorder:
    """A recorder that carries on the pack's chain as the outbox has it."""
    signing = key(signer or f"key of {pack}")
    known = outbox.chain(signing.kid) if outbox is not None else None
    return Recorder(
        Sealer(signing, binding(pack), ChainHead(epoch, 0, known.entry if known else None)),
        PROFILE,
        policy,
        known.covered if known else None,
        known.counters if known else (),
        bytes,
    )


@dataclass(slots=True)
class Captured:
    """A pack whose statements are made as a running agent makes them, one segment after the other."""

    recorder: Recorder
    boot: int = 1
    at_us: int = 0

    @classmethod
    def opened(cls, outbox: Outbox | None = None, *, pack: str = PACK, epoch: int = 1) -> tuple[Captured, list[Sealed]]:
        """An epoch with its capture begun, each in a boot of its own, and what that has sealed."""
        made = cls(recorder(outbox, pack=pack, epoch=epoch), epoch)
        first = made.recorder.start(reading(0, boot=epoch), "test", FIRST_START)
        begun = made.recorder.capture_started(reading(0, boot=epoch))
        return made, [*first.sealed, *begun.sealed]

    def segments(self, count: int) -> list[Sealed]:
        """The next segments, of five frames each."""
        sealed: list[Sealed] = []
        for _ in range(count):
            times = [self.at_us + 1_000_000 * n + 500_000 for n in range(5)]
            self.at_us += 5_000_000
            done = self.recorder.captured(frames(*times), 0, self.at_us, reading(self.at_us, boot=self.boot))
            sealed += done.sealed
        return sealed


def kept(outbox: Outbox, count: int, pack: str = PACK, epoch: int = 1) -> list[Sealed]:
    """Open an epoch in the outbox and keep `count` segments; all that was sealed."""
    captured, sealed = Captured.opened(outbox, pack=pack, epoch=epoch)
    sealed += captured.segments(count)
    outbox.add(pack, sealed)
    return sealed


@dataclass(slots=True)
class Ledger:
    """The other side, made of evidence/ alone: it admits what it can read, and signs what it answers."""

    key: SigningKey = field(default_factory=lambda: key("ledger"))
    tree: Tree = field(default_factory=Tree)
    entries: list[Digest] = field(default_factory=list)
    said: dict[Digest, Statement] = field(default_factory=dict)
    origin: str = ORIGIN

    @property
    def name(self) -> NamedKey:
        """The key as an agent pins it."""
        return NamedKey(self.origin, self.key.public)

    def admit(self, encoded: bytes) -> Statement:
        """Log a statement, once."""
        said = statement.read(encoded)
        if said.entry not in self.said:
            self.said[said.entry] = said
            self.log(said.entry)
        return said

    def log(self, entry: Digest) -> None:
        """Append any entry."""
        self.entries.append(entry)
        self.tree.append(merkle.leaf_hash(entry))

    def note(self, size: int | None = None) -> str:
        """The signed checkpoint of the log as it is, or was at `size`."""
        size = len(self.entries) if size is None else size
        return Checkpoint(self.origin, size, self.tree.root(size)).sign(self.key)

    def proof(self, entry: Digest) -> bytes:
        """The proof of an entry under the newest checkpoint."""
        return self.parsed_proof(entry).encode()

    def parsed_proof(self, entry: Digest) -> LogProof:
        """The same, to be doctored."""
        index = self.entries.index(entry)
        return LogProof(entry, index, tuple(self.tree.inclusion(index)), self.note())

    def refusal(
        self, entry: Digest, *, permanent: bool, rule: str = "unknown-pack", subject: str | None = None
    ) -> bytes:
        """A signed refusal."""
        about = subject or REGISTRAR.pack(PACK)
        return answer.sign(self.key, self.origin, about, 1, Refusal(entry, rule, "said by a test", permanent))

    def stored(self, *digests: Digest, subject: str | None = None) -> bytes:
        """A signed acknowledgement of documents."""
        return answer.sign(self.key, self.origin, subject or REGISTRAR.pack(PACK), 1, Stored(digests))

    def fork(self) -> Ledger:
        """A second log under the same key, which differs from its first entry on."""
        other = Ledger(self.key, origin=self.origin)
        for at in range(len(self.entries)):
            other.log(digest(f"fork {at}"))
        return other


def bad_proofs(ledger: Ledger, entry: Digest) -> dict[str, bytes]:
    """Proofs that prove nothing, each wrong in one way. `entry` is in the ledger's log."""
    good = ledger.parsed_proof(entry)
    stranger = Ledger(key("stranger"), ledger.tree, ledger.entries)
    other = Ledger(ledger.key, ledger.tree, ledger.entries, origin="other.example/packs")
    head = checkpoint.open_note(good.note.encode(), ledger.name)
    text = good.encode()
    return {
        "nothing": b"",
        "random": bytes(range(256)) * 8,
        "another key": stranger.proof(entry),
        "another log of the same key": other.proof(entry),
        "another index": replace(good, index=(good.index + 1) % max(2, head.size)).encode(),
        "no path": replace(good, path=()).encode(),
        "a longer path": replace(good, path=(*good.path, digest("more"))).encode(),
        "another entry": replace(good, entry=digest("another entry")).encode(),
        "a larger size": replace(good, note=good.note.replace(f"\n{head.size}\n", f"\n{head.size + 1}\n", 1)).encode(),
        "not UTF-8": b"\xff" + text,
        "cut short": text[: len(text) // 2],
        "followed by more": text + b"x",
        "a path of 33 bytes": text.replace(b"index 0\n", b"index 0\n" + base64.b64encode(bytes(33)) + b"\n"),
        "a megabyte": text + b"\n" * 2**20,
    }
