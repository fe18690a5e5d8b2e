"""What the tests of the machine `car` share: the service as its operator sees it, and the store as anybody may read it."""

import contextlib
import json
import re
import sqlite3
import subprocess
import time
from pathlib import Path

from statement_reading import said

AGENT = "packseal-agent.service"
LEDGER = "packseal-ledger.service"
CONFIG = Path("/etc/packseal/agent.toml")
STATE = Path("/var/lib/packseal/agent")
PACK = "pack-0001"
WRAPPING_KEY = Path("/etc/credstore.encrypted/packseal-wrapping-key")
DROP_IN = Path(f"/etc/systemd/system/{AGENT}.d/bench.conf")
PATIENCE_S = 240  # nothing here takes so long; the host may be slow
WATCHDOG_S = 20  # short enough for a test, long enough for a slow host; the product's is 60 s
MANUAL = Path("/host/docs/install.md")
BENCH = "can1"  # the other end of the agent's can0
# What a root shell has: nothing of the tests' own paths may reach the programs.
SHELL = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}


def run(*command, timeout=PATIENCE_S):
    """The finished process, whatever its exit code."""
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL, env=SHELL
    )


def say(*command, timeout=PATIENCE_S):
    """What a command that must succeed prints."""
    done = run(*command, timeout=timeout)
    assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


def wait_for(what, condition, within_s=PATIENCE_S):
    """The first true value of `condition`, and how many seconds it took; fails when there is none in time."""
    began = time.monotonic()
    while True:
        value = condition()
        took = time.monotonic() - began
        if value:
            return value, took
        assert took < within_s, f"not within {within_s} s: {what}\n{journal(40)}"
        time.sleep(0.5)


def blocks():
    """The documented commands: (section, shell text) in their order."""
    found, section = [], ""
    pattern = re.compile(r"^## ([^\n]*)$|^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for match in pattern.finditer(MANUAL.read_text()):
        if match[1] is not None:
            section = match[1]
        else:
            found.append((section, match[2]))
    return found


def follow(section):
    """Run a section's block as a person would who pastes it; what it printed."""
    (text,) = [text for name, text in blocks() if name == section]
    done = subprocess.run(
        ["/bin/sh", "-eu", "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        cwd="/root",
        env=SHELL,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, f"{section}: status {done.returncode}\n{done.stdout}\n{journal(40)}"
    return done.stdout


def shown(name, unit=AGENT):
    """A property of a unit."""
    return say("systemctl", "show", "--value", "--property", name, unit)


def journal(lines=400, unit=AGENT):
    """The newest lines of a unit's journal."""
    return run("journalctl", "--unit", unit, "--output=cat", "--no-pager", "--lines", str(lines)).stdout


def journal_cursor():
    """The place in the journal where it ends now, for `journal_since`."""
    shown_cursor = say("journalctl", "--lines=0", "--show-cursor", "--no-pager")
    return shown_cursor.rpartition("-- cursor: ")[2].strip()


def journal_since(cursor):
    """What systemd and the agent have said of the service since then."""
    return say("journalctl", "--unit", AGENT, "--output=cat", "--no-pager", "--after-cursor", cursor)


def journal_of_this_start():
    """What the agent has said since its last start."""
    return say("journalctl", f"_SYSTEMD_INVOCATION_ID={shown('InvocationID')}", "--output=cat", "--no-pager")


def statements():
    """The outbox's statements as (epoch, seq, kind, state), oldest first."""
    with contextlib.closing(sqlite3.connect(f"file:{STATE}/outbox.db?mode=ro", uri=True)) as store:
        return store.execute("SELECT epoch, seq, kind, state FROM statements ORDER BY id").fetchall()


def kinds():
    """The kinds of all statements in the outbox, oldest first."""
    return [kind for _, _, kind, _ in statements()]


def epochs():
    """The epochs of the outbox in their order, each with the kinds of its statements."""
    found = {}
    for epoch, _, kind, _ in statements():
        found.setdefault(epoch, []).append(kind)
    return found


def all_proven():
    """Whether the ledger has proven every statement."""
    return all(state == "proven" for *_, state in statements())


def verdict():
    """What packseal-verify says of a bundle that the ledger makes now, as JSON."""
    bundle = "/root/pack.bundle"
    say("packseal-ledger", "bundle", PACK, "--config", "/etc/packseal/ledger.toml", "--out", bundle, "--with-segments")
    keys = ("--ledger-key", "/etc/packseal/ledger.vkey", "--pack-key", "/etc/packseal/pack-0001.vkey")
    return json.loads(say("packseal-verify", bundle, *keys, "--json"))


def services_are_up():
    """Agent and ledger run, were started once, and CAN is as the installation made it."""
    wait_for("both are active", lambda: {shown("ActiveState", unit) for unit in (AGENT, LEDGER)} == {"active"})
    assert shown("NRestarts") == "0"
    assert "LISTEN-ONLY" in say("ip", "-details", "link", "show", "can0")


_BOOTS = """
import json, sqlite3
from evidence import statement
store = sqlite3.connect("file:/var/lib/packseal/agent/outbox.db?mode=ro", uri=True)
rows = [statement.read(body) for (body,) in store.execute("SELECT body FROM statements ORDER BY id")]
print(json.dumps([[row.kind, row.stamp.boot_id.hex(), row.entry.hex(), row.prev.hex() if row.prev else None] for row in rows]))
"""


def chain_goes_on():
    """This boot has sealed a segment, every statement links to the one before, and over the boots it is close, open, gap.

    The statements are read by the product's own parser.
    """
    with Bench():
        segments = kinds().count("segment")
        wait_for("a segment of this boot", lambda: kinds().count("segment") > segments)
    rows = json.loads(say("/opt/packseal/bin/python", "-c", _BOOTS))
    this_boot = boot_id().hex()
    boots = [boot for _, boot, _, _ in rows]
    assert boots[-1] == this_boot
    assert [prev for *_, prev in rows[1:]] == [entry for *_, entry, _ in rows[:-1]]
    first = boots.index(this_boot)
    assert first > 0
    assert set(boots[first:]) == {this_boot}
    assert [kind for kind, *_ in rows[first - 1 : first + 2]] == ["close", "open", "gap"]


def boot_id():
    """The kernel's name of this boot."""
    return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""))


def first_capture_s():
    """Seconds from the kernel's start to the end of the gap with which this boot begins."""
    _, gap, *_ = [each for each in said() if each.boot_id == boot_id()]
    return gap.t1_ms / 1000


def shorten_segments():
    """Segments of two seconds from the agent's next start on: nobody waits for minutes here."""
    CONFIG.write_text(CONFIG.read_text().replace("[[pack]]", "[segment]\nseconds = 2\n\n[[pack]]", 1))


def listen_on(channel):
    """Another SocketCAN interface for the pack, from the agent's next start on."""
    CONFIG.write_text(re.sub("^channel = .*$", f'channel = "{channel}"', CONFIG.read_text(), flags=re.MULTILINE))


class Bench:
    """A pack that speaks on the bench's end of the bus, in real time."""

    RECORDING = Path("/run/bench.log")
    FRAMES = ("132#4F90FEFF0B270000", "20A#C91109000801", "212#0001F81F00020300")
    PER_SECOND = 20  # enough to be heard: an emulated machine has better things to do

    def __enter__(self):
        each = range(self.PER_SECOND)
        lines = (f"({n / self.PER_SECOND:.6f}) {BENCH} {self.FRAMES[n % len(self.FRAMES)]}\n" for n in each)
        self.RECORDING.write_text("".join(lines))
        command = (
            "packseal-sim",
            "play",
            str(self.RECORDING),
            "--loop",
            "--interface",
            "socketcan",
            "--channel",
            BENCH,
        )
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=SHELL)
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(20)
