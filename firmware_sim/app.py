"""The simulator's composition root: a programme on an output, a summary at the end."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType

from firmware_sim.bus.feed import Feed
from firmware_sim.outputs.candump_log import STDOUT
from firmware_sim.outputs.files import file_output
from firmware_sim.outputs.output import Output, nobody_asks
from firmware_sim.outputs.sent_log import SentLog, boottime_us
from firmware_sim.outputs.slcan_pty import SlcanPty
from firmware_sim.outputs.stream import STEP_US, Listener, Stream
from firmware_sim.play.recording import Recording
from packseal.program import UsageError

Counts = Mapping[str, object]


def nothing() -> None:
    """What is done when nothing is to be done."""


def straight(output: Output) -> Output:
    """The way to an output that nothing stands in."""
    return output


def no_counts() -> Counts:
    """The summary of a programme that has nothing to add."""
    return {}


@dataclass(frozen=True, slots=True)
class Programme:
    """What is to be sent, at which factor of its own times (0: as fast as it is taken), and from which file.

    Frames go `through` something to the output; `listeners` answer what others send; `attendants` are called in every
    step. `opening` is called at the beginning and says what it has opened, `close` at the end, whatever the end; then
    `counts` adds to the summary.
    """

    feed: Feed
    speed: float
    recording: Recording | None = None
    step_us: int = STEP_US
    start_us: int = 0
    through: Callable[[Output], Output] = straight
    listeners: tuple[Listener, ...] = ()
    attendants: tuple[Callable[[], None], ...] = ()
    opening: Callable[[], tuple[str, ...]] = tuple
    close: Callable[[], None] = nothing
    counts: Callable[[], Counts] = no_counts


class StopRequest:
    """Set by SIGINT and SIGTERM: the run ends after the present step, cleanly."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def __call__(self) -> bool:
        """Whether a stop was asked for."""
        return self._asked

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True


def run(programme: Programme, options: argparse.Namespace, stopped: StopRequest | None = None) -> None:
    """Open the output, stream, close everything, and print the summary."""
    stopped = stopped or StopRequest()
    with contextlib.ExitStack() as closing:
        closing.callback(programme.close)
        sent_log = SentLog(options.sent_log) if options.sent_log else None
        if sent_log is not None:
            closing.callback(sent_log.close)
        output = programme.through(_output(programme, options, sent_log))
        closing.callback(output.close)
        stream = Stream(
            programme.feed,
            output,
            stopped,
            speed=programme.speed,
            wait_for_listener=options.wait,
            linger_us=round(options.linger * 1e6),
            step_us=programme.step_us,
            sent_log=sent_log,
            listeners=programme.listeners,
            attendants=programme.attendants,
        )
        begin = boottime_us()
        for line in (*programme.opening(), output.open()):
            print(f"packseal-sim: {line}", file=sys.stderr, flush=True)
        stream.run()
    _summarise(stream, programme, (boottime_us() - begin) / 1e6, options)


def _output(programme: Programme, options: argparse.Namespace, sent_log: SentLog | None) -> Output:
    completed = sent_log.record if sent_log else nobody_asks
    if options.slcan_link is not None:
        return SlcanPty(options.slcan_link, completed)
    if options.out is not None:
        return file_output(options.out, options.channel or "can0", programme.start_us, completed)
    if options.channel is None:
        raise UsageError("--interface needs --channel")
    # python-can costs 27 MB and a tenth of a second; the other outputs do without.
    from firmware_sim.outputs.python_can_bus import PythonCanBus

    return PythonCanBus(options.interface, options.channel, options.bitrate, completed)


def _summarise(stream: Stream, programme: Programme, seconds: float, options: argparse.Namespace) -> None:
    tally, recording = stream.output.tally, programme.recording
    malformed = recording.malformed if recording else 0
    counts = {
        "written": tally.written,
        "dropped": tally.dropped,
        "unheard": tally.unheard,
        "from_host": tally.from_host,
        "malformed": malformed,
        "stalls": stream.stalls,
        "seconds": round(seconds, 3),
        **programme.counts(),
    }
    for complaint in recording.complaints if recording else ():
        print(f"packseal-sim: {complaint}; skipped", file=sys.stderr)
    text = (
        f"packseal-sim: {tally.written} frames written, {tally.dropped} dropped because nobody read, "
        f"{tally.unheard} while nobody listened, {malformed} malformed lines skipped, {seconds:.1f} s"
    )
    # Standard output belongs to the frames when they go there.
    print(json.dumps(counts) if options.json else text, file=sys.stderr if options.out == STDOUT else sys.stdout)
