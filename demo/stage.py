"""The stage of the demo and of the pipeline tests: broker, ledger, agent and simulated packs as real processes.

It writes the configurations that an operator would write and runs the commands that an operator would run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from demo.broker import Broker
from packseal.program import Unavailable

ORIGIN = "ledger.example/packs"
REGISTRAR = "packs.example,2026"
GATEWAY = "gw-01"
_START_S = 30.0
_STOP_S = 10.0


class Stage:
    """Everything below `folder`. Programs are started by name and stopped in the reverse order."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.folder = folder
        self.broker = broker
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self._logs: list[IO[str]] = []

    @property
    def ledger_config(self) -> Path:
        """The ledger's configuration file."""
        return self.folder / "ledger.toml"

    @property
    def agent_config(self) -> Path:
        """The agent's configuration file."""
        return self.folder / "agent.toml"

    def program(self, *words: str | Path) -> list[str]:
        """The command line of one of our programs, from the environment that this runs in."""
        return [str(Path(sys.executable).with_name(str(words[0]))), *(str(word) for word in words[1:])]

    def call(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; Unavailable with its complaint if it fails and `check` is on."""
        done = subprocess.run(self.program(*words), capture_output=True, text=True, check=False, cwd=self.folder)
        if check and done.returncode:
            raise Unavailable(done.stderr.strip() or f"{words[0]} ended with {done.returncode}")
        return done

    def start(self, name: str, *words: str | Path, ready: str | None = None) -> subprocess.Popen[str]:
        """Start a program under `name`, its output in `name`.log; waits until its log contains `ready`."""
        log = self.log(name).open("a", encoding="utf-8")
        self._logs.append(log)
        # A session of its own: Ctrl-C reaches the demo alone, which then stops the programs in order.
        process = subprocess.Popen(
            self.program(*words),
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            start_new_session=True,
        )
        self.processes[name] = process
        if ready is not None:
            self.await_line(name, ready)
        return process

    def log(self, name: str) -> Path:
        """Where the program under `name` writes."""
        return self.folder / f"{name}.log"

    def await_line(self, name: str, text: str, times: int = 1) -> None:
        """Wait until the log of `name` contains `text` so many times; Unavailable if it ends before or takes too long."""
        until = time.monotonic() + _START_S
        while self.log(name).read_text(encoding="utf-8").count(text) < times:
            ended = self.processes[name].poll() is not None
            if ended or time.monotonic() > until:
                raise Unavailable(f"{name} {'has ended' if ended else 'is not ready'}: {self.last_line(name)}")
            time.sleep(0.05)

    def last_line(self, name: str) -> str:
        """What the program under `name` said last."""
        return "".join(self.log(name).read_text(encoding="utf-8").strip().splitlines()[-1:])

    def end(self, name: str, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop the program under `name` and wait for it; its exit code."""
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            return process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def close(self) -> None:
        """Stop everything, last started first."""
        for name in reversed(list(self.processes)):
            self.end(name)
        for log in self._logs:
            log.close()

    def found_ledger(self) -> str:
        """Write the ledger's configuration and make its keys and policy; its verifier key."""
        self.ledger_config.write_text(
            f'[ledger]\norigin = "{ORIGIN}"\nregistrar = "{REGISTRAR}"\nstate_dir = "ledger"\n'
            f'[broker]\nurl = "{self.broker.url}"\n'
        )
        self.call("packseal-ledger", "init", "--config", self.ledger_config)
        key = self.call("packseal-ledger", "key", "--config", self.ledger_config).stdout.strip()
        (self.folder / "ledger.vkey").write_text(key + "\n")
        return key

    def serve(self) -> None:
        """Start the ledger."""
        self.start("ledger", "packseal-ledger", "serve", "--config", self.ledger_config, ready="serving")

    def write_agent_config(self, ledger_key: str, packs: Sequence[str], segment_s: int = 5) -> None:
        """Write the agent's configuration for packs on slcan adapters, each at PACK.tty."""
        lines = [
            f'gateway = "{GATEWAY}"',
            f'registrar = "{REGISTRAR}"',
            'state_dir = "agent"',
            f'[ledger]\nkey = "{ledger_key}"',
            f'[broker]\nurl = "{self.broker.url}"\n[uplink]\nproof_timeout_s = 3.0',
            f"[segment]\nseconds = {segment_s}",
        ]
        lines += [
            f'[[pack]]\nid = "{pack}"\nprofile = "tesla-model3"\n'
            f'[pack.source]\ninterface = "slcan"\nchannel = "{self.folder / pack}.tty"'
            for pack in packs
        ]
        self.agent_config.write_text("\n".join(lines) + "\n")

    def register(self, pack: str, *attributes: str) -> None:
        """Make the pack's key in the agent's keystore, and register pack, gateway and key with the ledger."""
        key = self.call("packseal-agent", "keys", "new", pack, "--config", self.agent_config).stdout.strip()
        with (self.folder / "packs.vkey").open("a", encoding="utf-8") as file:
            file.write(key + "\n")
        options = [word for attribute in attributes for word in ("--attribute", attribute)]
        words = ("--pack", pack, "--gateway", GATEWAY, "--key", key, "--config", str(self.ledger_config), *options)
        self.call("packseal-ledger", "register", *words)

    def environment(self) -> dict[str, str]:
        """What a shell needs to run our programs by name."""
        return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
