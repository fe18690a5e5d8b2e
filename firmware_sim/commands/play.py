"""`packseal-sim play`: a recording onto a bus."""

from __future__ import annotations

import argparse
from pathlib import Path

from firmware_sim import app
from firmware_sim.commands.arguments import Commands, add_outputs, command, factor, whole
from firmware_sim.outputs.apart import keep_apart, written
from firmware_sim.outputs.candump_log import STDOUT
from firmware_sim.play.playback import Playback
from firmware_sim.play.recording import Recording
from packseal.program import UsageError

EXAMPLES = """\
examples:
  packseal-sim play recording.csv --bus-number 0 --slcan-link /tmp/pack1 --wait
  packseal-sim play recording.csv --bus-number 0 --loop --slcan-link /tmp/pack1 --sent-log sent.csv
  packseal-sim play drive.log --pace 0 --interface socketcan --channel vcan0
"""


def add(commands: Commands) -> None:
    """Add the command to the program's."""
    play = command(commands, "play", "Play a candump .log or a GVRET .csv recording.", EXAMPLES)
    play.add_argument("log", type=Path, metavar="LOG", help="the recording")
    play.add_argument("--bus-number", type=whole, metavar="N", help="play this bus only (default: all)")
    play.add_argument("--loop", action="store_true", help="begin again at the end, until stopped")
    play.add_argument(
        "--pace",
        type=factor,
        metavar="X",
        help="times the recorded pace; 0 = as fast as the output takes, "
        "without losing a frame (default 1; with --out 0)",
    )
    play.add_argument("--max-rate", type=factor, metavar="F", help="not more than F frames a second")
    play.add_argument("--control", type=Path, metavar="PATH", help="make a socket for `packseal-sim inject`")
    add_outputs(play)
    play.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> None:
    """Play the recording as described."""
    pace = options.pace
    if pace is None:
        pace = 1.0 if options.out is None else 0.0
    if options.out not in (None, STDOUT) and options.loop and not pace and not options.max_rate:
        raise UsageError("--loop into a file fills the disk: give --pace or --max-rate")
    keep_apart(written(options), [("the recording", options.log)])
    recording = Recording(options.log)
    feed = Playback(recording, options.bus_number, options.loop, pace, options.max_rate)
    programme = app.Programme(feed, 1.0 if pace or options.max_rate else 0.0, recording)
    if options.control is not None:
        # Imported here so that playing a recording does not pay for numpy.
        from firmware_sim.breaking import breakable
        from firmware_sim.faults.timeline import Timeline

        programme = breakable(programme, 1, Timeline(), None, options.control)
    app.run(programme, options)
