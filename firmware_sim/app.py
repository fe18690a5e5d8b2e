"""The simulator's composition root: options in, a feed on an output, a summary at the end."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from dataclasses import dataclass
from types import FrameType

from firmware_sim.outputs.candump_log import STDOUT, CandumpLog
from firmware_sim.outputs.output import Output, nobody_asks
from firmware_sim.outputs.sent_log import SentLog, boottime_us
from firmware_sim.outputs.slcan_pty import SlcanPty
from firmware_sim.outputs.stream import COARSE_STEP_US, STEP_US, Feed, Stream
from firmware_sim.play.playback import Playback
from firmware_sim.play.recording import Recording
from packseal.program import UsageError


@dataclass(frozen=True, slots=True)
class Programme:
    """What is to be sent, at which factor of its own times (0: as fast as it is taken), and from which file."""

    feed: Feed
    speed: float
    recording: Recording | None = None
    step_us: int = STEP_US


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


def simulation(options: argparse.Namespace) -> Programme:
    """A simulated pack as `packseal-sim run` describes it."""
    # Imported here so that playing a recording does not pay for numpy.
    from firmware_sim.bus.simulation import Simulation
    from firmware_sim.bus.tesla_model3 import messages
    from firmware_sim.cells.physics import PackSpec
    from firmware_sim.simulated_pack import SimulatedPack

    if options.out is None and options.speed is not None:
        raise UsageError("--speed is for --out; a bus runs in real time")
    if options.out not in (None, STDOUT) and not options.duration and not options.speed:
        raise UsageError("--out without an end fills the disk: give --duration or --speed")
    spec = PackSpec(cells=options.cells, soc=options.soc, ambient_c=options.ambient)
    duration_us = round(options.duration * 1e6) or None
    feed = Simulation(SimulatedPack(spec, options.seed), messages(spec.cells), duration_us)
    speed = 1.0 if options.out is None else options.speed or 0.0
    return Programme(feed, speed, step_us=COARSE_STEP_US)


def playback(options: argparse.Namespace) -> Programme:
    """A recording as `packseal-sim play` describes it."""
    pace = options.pace
    if pace is None:
        pace = 1.0 if options.out is None else 0.0
    if options.out not in (None, STDOUT) and options.loop and not pace and not options.max_rate:
        raise UsageError("--loop into a file fills the disk: give --pace or --max-rate")
    recording = Recording(options.log)
    feed = Playback(recording, options.bus_number, options.loop, pace, options.max_rate)
    return Programme(feed, 1.0 if pace or options.max_rate else 0.0, recording)


def run(programme: Programme, options: argparse.Namespace) -> None:
    """Open the output, stream, close everything, and print the summary."""
    stopped = StopRequest()
    sent_log = SentLog(options.sent_log) if options.sent_log else None
    output = _output(options, sent_log)
    stream = Stream(
        programme.feed,
        output,
        stopped,
        speed=programme.speed,
        wait_for_listener=options.wait,
        linger_us=round(options.linger * 1e6),
        step_us=programme.step_us,
        sent_log=sent_log,
    )
    begin = boottime_us()
    try:
        print(f"packseal-sim: {output.open()}", file=sys.stderr, flush=True)
        stream.run()
    finally:
        try:
            output.close()
        finally:
            if sent_log is not None:
                sent_log.close()
    _summarise(stream, programme.recording, (boottime_us() - begin) / 1e6, options)


def _output(options: argparse.Namespace, sent_log: SentLog | None) -> Output:
    completed = sent_log.record if sent_log else nobody_asks
    if options.slcan_link is not None:
        return SlcanPty(options.slcan_link, completed)
    if options.out is not None:
        start_us = round(getattr(options, "start", 0.0) * 1e6)
        return CandumpLog(options.out, options.channel or "can0", start_us, completed)
    if options.channel is None:
        raise UsageError("--interface needs --channel")
    # python-can costs 27 MB and a tenth of a second; the other outputs do without.
    from firmware_sim.outputs.python_can_bus import PythonCanBus

    return PythonCanBus(options.interface, options.channel, options.bitrate, completed)


def _summarise(stream: Stream, recording: Recording | None, seconds: float, options: argparse.Namespace) -> None:
    tally = stream.output.tally
    malformed = recording.malformed if recording else 0
    counts: dict[str, int | float] = {
        "written": tally.written,
        "dropped": tally.dropped,
        "unheard": tally.unheard,
        "from_host": tally.from_host,
        "malformed": malformed,
        "stalls": stream.stalls,
        "seconds": round(seconds, 3),
    }
    for complaint in recording.complaints if recording else ():
        print(f"packseal-sim: {complaint}; skipped", file=sys.stderr)
    text = (
        f"packseal-sim: {tally.written} frames written, {tally.dropped} dropped because nobody read, "
        f"{tally.unheard} while nobody listened, {malformed} malformed lines skipped, {seconds:.1f} s"
    )
    # Standard output belongs to the frames when they go there.
    print(json.dumps(counts) if options.json else text, file=sys.stderr if options.out == STDOUT else sys.stdout)
