"""The whole way by processes, as an operator starts them: mosquitto, ledger, agent on SocketCAN. No service manager."""

import contextlib
import importlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

from bus_machine import eventually

from evidence.keys import NamedKey
from evidence.verify import verify

PACK = "pack-0001"
PORT = 18830
START_S = 240  # the first start compiles the profile, and the machine is slow
STOP_S = 60
_MODULES = {"packseal-agent": "agent.cli", "packseal-ledger": "ledger.cli", "packseal-verify": "packseal.verify"}


class Way:
    """Broker, ledger and agent below `folder`; the agent listens on the interface `channel`."""

    def __init__(self, folder, channel, segment_s):
        self.folder = folder
        self.processes = {}
        self._awaited = {}  # how far each log has been looked at
        (folder / "mosquitto.conf").write_text(f"listener {PORT} 127.0.0.1\nallow_anonymous true\nuser root\n")
        (folder / "ledger.toml").write_text(
            '[ledger]\norigin = "ledger.example/packs"\nregistrar = "packs.example,2026"\nstate_dir = "ledger"\n'
            f'[broker]\nurl = "mqtt://127.0.0.1:{PORT}"\n'
        )
        self.call("packseal-ledger", "init", "--config", "ledger.toml")
        key = self.call("packseal-ledger", "key", "--config", "ledger.toml").strip()
        (folder / "ledger.vkey").write_text(key + "\n")
        (folder / "agent.toml").write_text(
            'gateway = "gw-01"\nregistrar = "packs.example,2026"\nstate_dir = "agent"\n'
            f'[ledger]\nkey = "{key}"\n[broker]\nurl = "mqtt://127.0.0.1:{PORT}"\n[segment]\nseconds = {segment_s}\n'
            f'[[pack]]\nid = "{PACK}"\nprofile = "tesla-model3"\n'
            f'[pack.source]\ninterface = "socketcan"\nchannel = "{channel}"\n'
        )
        key = self.call("packseal-agent", "keys", "new", PACK, "--config", "agent.toml").strip()
        words = ("--pack", PACK, "--gateway", "gw-01", "--key", key, "--config", "ledger.toml")
        self.call("packseal-ledger", "register", *words)

    def call(self, *words):
        """What a program that must succeed prints. Called in this process: an interpreter takes seconds to start here."""
        main, before, out = importlib.import_module(_MODULES[words[0]]).main, sys.argv, io.StringIO()
        sys.argv = list(words)
        try:
            with contextlib.redirect_stdout(out), contextlib.chdir(self.folder):
                assert main() == 0, (words, out.getvalue())
        finally:
            sys.argv = before
        return out.getvalue()

    def start(self, name, *words, ready=None):
        """Start a program; waits until its log contains `ready`."""
        with self.log(name).open("w") as log:
            traced = {**os.environ, "PYTHONFAULTHANDLER": "1"}
            self.processes[name] = subprocess.Popen(words, stdout=log, stderr=log, cwd=self.folder, env=traced)
        if ready is not None:
            self.await_line(name, ready)
        return self.processes[name]

    def serve(self):
        """Everything but the pack; returns when the agent listens."""
        self.start("broker", "/usr/sbin/mosquitto", "-c", "mosquitto.conf", ready="running")
        self.start("ledger", "packseal-ledger", "serve", "--config", "ledger.toml", ready="serving")
        return self.start("agent", "packseal-agent", "run", "--config", "agent.toml", ready="listening")

    def log(self, name):
        return self.folder / f"{name}.log"

    def await_line(self, name, text):
        """Wait until the log of `name` contains `text`, after what was awaited before."""

        def said():
            written = self.log(name).read_text()
            assert self.processes[name].poll() is None, written
            at = written.find(text, self._awaited.get(name, 0))
            if at >= 0:
                self._awaited[name] = at + len(text)
            return at >= 0

        eventually(said, f"{text!r} in the log of {name}", START_S)

    def end(self, name):
        """Stop a program as a service manager does; its exit code. One that hangs says where."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            process.wait(STOP_S)
            raise AssertionError(f"{name} does not stop:\n{self.log(name).read_text()}") from None

    def close(self):
        for name in reversed(list(self.processes)):
            with contextlib.suppress(AssertionError):
                self.end(name)
            print(f"--- {name}\n{self.log(name).read_text()}")

    def verdict(self):
        """What a stranger learns of the pack from its bundle, offline, after packseal-verify has found nothing wrong."""
        words = ("--config", "ledger.toml", "--with-segments")
        self.call("packseal-ledger", "bundle", PACK, "--out", "pack.bundle", *words)
        said = self.call("packseal-verify", "pack.bundle", "--ledger-key", "ledger.vkey")
        assert said.endswith("VERIFIED\n"), said
        ledger = NamedKey.parse((self.folder / "ledger.vkey").read_text().strip())
        return verify((self.folder / "pack.bundle").read_bytes(), ledger)


def cpu_s(pid):
    """Seconds of a process on a core so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid):
    """Resident memory of a process in MB, and how much of it no file backs."""
    status = Path(f"/proc/{pid}/status").read_text()
    kilobytes = dict(line.split(":\t") for line in status.splitlines() if "\t" in line)
    return tuple(round(int(kilobytes[name].split()[0]) / 1024, 1) for name in ("VmRSS", "RssAnon"))
