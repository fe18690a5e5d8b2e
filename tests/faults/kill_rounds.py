"""Kills agent and ledger at random moments while a real recording plays onto a bus, and then accounts for every frame."""

import bisect
import hashlib
import random
import signal
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path

from agent.frames import Frames, digest_update
from demo.broker import Broker
from demo.stage import Stage
from evidence import chain, statement
from evidence.bodies import Gap, Segment
from evidence.statement import Statement
from tests.shared import shared

PACK = "pack-0001"
MOST_GOODBYES = 3
LISTENING = ": listening"
RECORDING = "canlogs/kona_pcan/230112-7-2019-pcan-ccan-power-off-on-ready-off.csv"
LATENCY_US = 5_000_000
"""A frame is stamped when it is read; it may have waited so long in the serial line, with more to do than cores to do it."""


@dataclass(slots=True)
class Account:
    """Where the frames went. `on_the_way` were sent just before a gap began and not yet read: lost within it."""

    sent: int = 0
    in_segments: int = 0
    in_gaps: int = 0
    on_the_way: int = 0
    epochs: int = 0
    statements: int = 0
    astray: list[str] = field(default_factory=list)
    sealed: list[int] = field(default_factory=list, repr=False)  # where in the sent log each segment begins


def set_up(folder: Path, broker: Broker) -> Stage:
    """Ledger, agent configuration and a player that plays the recording onto an slcan adapter, over and over."""
    stage = Stage(folder, broker)
    key = stage.found_ledger()
    stage.write_agent_config(key, [PACK], segment_s=1)
    config = stage.agent_config
    config.write_text(config.read_text().replace("tesla-model3", "kona-ev"))
    stage.serve()
    stage.register(PACK)
    recording = shared(RECORDING)
    words = ("--bus-number", "0", "--loop", "--slcan-link", f"{PACK}.tty", "--sent-log", "sent.log")
    stage.start("player", "packseal-sim", "play", recording, *words)
    return stage


def start_agent(stage: Stage) -> int:
    """Start the agent without waiting for it; how many agents will have listened once this one does."""
    log = stage.log("agent")
    listened = log.read_text().count(LISTENING) if log.exists() else 0
    stage.start("agent", "packseal-agent", "run", "--config", stage.agent_config)
    return listened + 1


def run(stage: Stage, rounds: int, chance: random.Random) -> None:
    """Kill each of agent and ledger `rounds` times; then let the agent stop in order and be proven to the end."""
    listens = start_agent(stage)
    # One agent has certainly written before anything dies: an account without a killed epoch would prove nothing.
    stage.await_line("agent", LISTENING, listens)
    victims = ["agent", "ledger"] * rounds
    chance.shuffle(victims)
    for victim in victims:
        # The moment is the test: start-up, capture, commit, publish and answers all lie within it.
        time.sleep(chance.uniform(0.1, 3.0))
        stage.end(victim, signal.SIGKILL)
        if victim == "agent":
            listens = start_agent(stage)
        else:
            stage.start("ledger", "packseal-ledger", "serve", "--config", stage.ledger_config)
    stage.await_line("agent", LISTENING, listens)
    time.sleep(3.0)
    _end_in_order(stage)
    for _ in range(MOST_GOODBYES - 1):  # an end in order waits two seconds for its last proofs, and no longer
        if _pending(stage) == 0:
            break
        stage.await_line("agent", LISTENING, start_agent(stage))
        _end_in_order(stage)
    assert stage.end("player") == 0


def _end_in_order(stage: Stage) -> None:
    until = time.monotonic() + 60
    while _pending(stage) > 4:
        assert time.monotonic() < until, "the backlog does not drain"
        time.sleep(0.2)
    assert stage.end("agent") == 0


def _pending(stage: Stage) -> int:
    reader = sqlite3.connect(f"file:{stage.folder / 'agent/outbox.db'}?mode=ro", uri=True)
    try:
        return int(reader.execute("SELECT count(*) FROM statements WHERE state = 'pending'").fetchone()[0])
    finally:
        reader.close()


def statements(stage: Stage) -> list[Statement]:
    """All statements in the agent's outbox, as they lie there."""
    reader = sqlite3.connect(f"file:{stage.folder / 'agent/outbox.db'}?mode=ro", uri=True)
    try:
        rows = reader.execute("SELECT body FROM statements ORDER BY id").fetchall()
        unproven = reader.execute("SELECT count(*) FROM statements WHERE state <> 'proven'").fetchone()[0]
    finally:
        reader.close()
    assert unproven == 0
    return [statement.read(body) for (body,) in rows]


def account(said: list[Statement], sent_log: Path) -> Account:
    """Find every sent frame in a segment, by the segments' own raw digests, or within the span of a gap."""
    links = chain.in_order(said)
    sent = _sent(sent_log)
    times = [time_us for time_us, _ in sent]
    done = Account(sent=len(sent), statements=len(links), epochs=len({each.epoch for each in links}))
    gaps = [
        (each.body.start.boot_ms * 1000, each.body.end.boot_ms * 1000) for each in links if isinstance(each.body, Gap)
    ]
    position, joined = 0, False
    for each in links:
        if each.kind in ("open", "gap"):
            joined = False
        if not isinstance(each.body, Segment) or not each.body.frames:
            continue
        start = position if joined else _find(sent, times, each, position)
        if start is None or _digest(sent[start : start + each.body.frames]) != each.body.raw:
            done.astray.append(f"segment {each.epoch}/{each.seq} of {each.body.frames} frames is not what was sent")
            continue
        _account_missed(times[position:start], gaps, done)
        done.in_segments += each.body.frames
        done.sealed.append(start)
        position, joined = start + each.body.frames, True
    end_us = links[-1].stamp.t1_ms * 1000
    _account_missed([time_us for time_us in times[position:] if time_us < end_us - LATENCY_US], gaps, done)
    return done


def _account_missed(missed: list[int], gaps: list[tuple[int, int]], done: Account) -> None:
    for time_us in missed:
        if any(start <= time_us <= end for start, end in gaps):
            done.in_gaps += 1
        elif any(start - LATENCY_US <= time_us <= end for start, end in gaps):
            done.on_the_way += 1
        else:
            later = min((start - time_us for start, _ in gaps if start > time_us), default=0)
            done.astray.append(
                f"a frame sent at {time_us} us is in no segment and no gap; the next begins {later} us later"
            )


def _find(sent: list[tuple[int, bytes]], times: list[int], each: Statement, position: int) -> int | None:
    assert isinstance(each.body, Segment)
    first = max(position, bisect.bisect_left(times, each.stamp.t0_ms * 1000 - LATENCY_US))
    last = bisect.bisect_right(times, each.stamp.t1_ms * 1000)
    count = each.body.frames
    return next((at for at in range(first, last) if _digest(sent[at : at + count]) == each.body.raw), None)


def _digest(frames: list[tuple[int, bytes]]) -> bytes:
    return hashlib.sha256(b"".join(image for _, image in frames)).digest()


def _sent(path: Path) -> list[tuple[int, bytes]]:
    """(time us, image in the raw digest) of every frame that was written; an unfinished last line was not."""
    rows: list[tuple[int, bytes]] = []
    for line in path.read_text().splitlines():
        time_us, number, flags, payload = line.split(",")
        rows.append((int(time_us), _image(int(number, 16), int(flags, 0), bytes.fromhex(payload))))
    return rows


def _image(number: int, flags: int, payload: bytes) -> bytes:
    taken = bytearray()

    class _Taker:
        def update(self, content: bytes, /) -> None:
            taken.extend(content)

    digest_update(_Taker(), Frames.from_rows([(0, number, flags, payload)]))
    return bytes(taken)
