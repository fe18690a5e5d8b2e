"""One emulated machine and one run of it: QEMU's command, the share it finds at /host, its output as it comes."""

import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.vm import places
from tests.vm.results import Outcome, judge

GUEST = places.HERE / "guest"
KERNEL = "quiet panic=-1 systemd.show_status=no console=ttyAMA0 kpti=off nokaslr norandmaps mitigations=off"
# One processor: two are slower in emulation, what they cost in translation is more than they give.
COMPUTER = (
    "qemu-system-aarch64 -M virt,gic-version=3 -cpu cortex-a72 -smp 1 -accel tcg,thread=multi,tb-size=512 -m 1024"
    " -nodefaults -no-user-config -display none -object rng-random,filename=/dev/urandom,id=r -device virtio-rng-pci,rng=r"
)
# Two CAN controllers on one emulated bus, with bit rates to set: can0 and can1.
CONTROLLERS = "-object can-bus,id=c0 -device kvaser_pci,canbus=c0 -device kvaser_pci,canbus=c0"
# Two USB serial adapters whose far ends are wired together, ttyUSB0 with the serial number ADAPTER and ttyUSB1 with BENCH.
ADAPTERS = (
    "-device qemu-xhci -chardev socket,id=u0,fd={0} -chardev socket,id=u1,fd={1}"
    " -device usb-serial,chardev=u0,serial=ADAPTER,port=1 -device usb-serial,chardev=u1,serial=BENCH,port=2"
)
# A Pi has no clock that runs while it is off: neither has such a machine, its driver is left out.
CLOCKLESS = "initcall_blacklist=pl031_driver_init"
QUIET_S = 300.0  # each job tells of its start and its end, and none is quiet for a third of this, even on a slow host
SIGNS_OF_LIFE = ("out", "console", "results.jsonl", "statuses", "boots")
# The kernel ends the emulator when the thread that started it ends, however that came about; a program, as code that runs
# between fork and exec is not safe beside threads.
WITH_US = ("setpriv", "--pdeathsig", "KILL")


@dataclass(frozen=True, slots=True)
class Machine:
    """What one of the machines is like: its stages of jobs in order (a reboot between two), and its hardware."""

    name: str
    stages: tuple[str, ...]
    ready: bool  # packseal importable from the start
    kernel: str
    hardware: str
    long_stages: tuple[str, ...] = ()  # after the others, and not for every day
    installs: bool = False  # its disk stays, in order
    goes_on_with: str = ""  # the machine on whose disk it starts


MACHINES = (
    Machine(
        name="bus",
        stages=("bus",),
        ready=True,
        kernel="systemd.mask=systemd-udevd.service systemd.mask=systemd-udev-trigger.service"
        " systemd.mask=systemd-timesyncd.service systemd.mask=mosquitto.service",
        hardware=CONTROLLERS,
    ),
    Machine(
        name="install",
        stages=("install",),
        ready=False,
        kernel=CLOCKLESS,
        hardware=CONTROLLERS,
        installs=True,
    ),
    Machine(
        name="car",
        stages=("car",),
        ready=False,
        kernel=CLOCKLESS,
        hardware=f"{CONTROLLERS} {ADAPTERS}",
        long_stages=("car_after_reboot",),
        goes_on_with="install",
    ),
)


@dataclass(frozen=True, slots=True)
class Disks:
    """What a machine has for disks: the system's, thrown away after the run unless it `stays`, and the second one."""

    system: Path
    application: Path
    stays: bool = False


class Run:
    """A machine that was started; poll() until it gives an outcome."""

    def __init__(self, machine, image, disks, folder, selection, say, timeout_s, *, whole=False, quiet_s=QUIET_S):
        self.machine, self._say, self._quiet_s = machine, say, quiet_s
        self.share = folder / machine.name
        self.stages = _lay_out(machine, self.share, selection, whole=whole)
        self._heard_at = time.monotonic()
        self._deadline = self._heard_at + timeout_s
        self._signs = None
        self._printed = 0
        with (self.share / "qemu").open("w") as said, wire() as ends:
            console, reboots = f"file:{self.share / 'console'}", len(self.stages) > 1
            words = command(machine, image, disks, self.share, console, ends, reboots=reboots)
            streams = {"stdin": subprocess.DEVNULL, "stdout": said, "stderr": subprocess.STDOUT}
            self._process = subprocess.Popen(words, pass_fds=ends, **streams)

    def poll(self) -> Outcome | None:
        """Print what the machine said since; its outcome once it is off, or once it is given up."""
        ended = self._process.poll() is not None
        self._print(whole=ended)
        if ended:
            return judge(self.machine.name, self.share, self.stages)
        if why := self._hopeless():
            self.kill()
            self._print(whole=True)
            return judge(self.machine.name, self.share, self.stages, why)
        return None

    def _hopeless(self):
        """Why nothing can be expected of the machine any more; "" as long as there is hope."""
        now = time.monotonic()
        if now > self._deadline:
            return "the time was over"
        signs = [file.stat().st_size for file in map(self.share.joinpath, SIGNS_OF_LIFE) if file.exists()]
        if signs != self._signs:
            self._signs, self._heard_at = signs, now
            return ""
        # Only now that it is silent: what a panicking kernel has to say is out. It starts again at once, and for ever.
        if b"Kernel panic" in _content(self.share / "console"):
            return "the machine's kernel had panicked"
        boots = _content(self.share / "boots").count(b"\n")
        if boots > max(1, len(self.stages)):
            return f"the machine had booted {boots} times for {len(self.stages)} stages"
        if now - self._heard_at > self._quiet_s:
            return f"the machine had said nothing for {self._quiet_s:.0f} s"
        return ""

    def kill(self):
        """Pull the machine's plug."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def _print(self, *, whole):
        out = self.share / "out"
        if out.exists():
            text = out.read_bytes()[self._printed :]
            text = text if whole else text[: text.rfind(b"\n") + 1]
            self._printed += len(text)
            for line in text.decode(errors="replace").splitlines():
                self._say(f"{self.machine.name} | {line}")


def command(machine, image, disks, share, console, ends, *, reboots=True):
    """QEMU's words for a Cortex-A72 with the two disks, the share and the hardware."""
    snapshot = "off" if disks.stays else "on"
    return [
        *WITH_US,
        *COMPUTER.split(),
        *("-serial", console, *(() if reboots else ("-no-reboot",))),
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", f"{KERNEL} {machine.kernel}"),
        *("-drive", f"id=d0,file={_value(disks.system)},format=raw,if=none,snapshot={snapshot}"),
        *("-device", "virtio-blk-pci,drive=d0"),
        *("-drive", f"id=d1,file={_value(disks.application)},format=raw,if=none,readonly=on"),
        *("-device", "virtio-blk-pci,drive=d1"),
        *("-fsdev", f"local,id=s,path={_value(share)},security_model=none"),
        *("-device", "virtio-9p-pci,fsdev=s,mount_tag=host"),
        *machine.hardware.format(*ends).split(),
    ]


def _value(path):
    """A path as the value of one of QEMU's lists of options, where a comma is written twice."""
    return str(path).replace(",", ",,")


def _content(file):
    return file.read_bytes() if file.exists() else b""


@contextmanager
def wire():
    """The two ends of a serial line, as file descriptors for an emulator."""
    one, other = socket.socketpair()
    with one, other:
        yield one.fileno(), other.fileno()


def shell(machine, image, disks, folder):
    """The machine with this terminal as its console, until `poweroff`; gives the emulator's exit code."""
    share = folder / machine.name
    _lay_out(machine, share, [], whole=True)
    (share / "start").write_text("mount -o ro /dev/vdb /app\nexec setsid -c bash -il <>/dev/ttyAMA0 >&0 2>&0\n")
    with (
        wire() as ends,
        subprocess.Popen(command(machine, image, disks, share, "mon:stdio", ends), pass_fds=ends) as emulator,
    ):
        try:
            return emulator.wait()
        finally:
            emulator.terminate()  # not killed: it gives the terminal back as it was


def _lay_out(machine, share, selection, *, whole):
    """Fill the share; gives the names of the stages that will run. A selection (paths below guest/) leaves out the rest.

    Without a selection the jobs marked `soak` run only in a whole run.
    """
    shutil.rmtree(share, ignore_errors=True)
    share.mkdir(parents=True)
    shutil.copytree(GUEST, share / "jobs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(places.ROOT / "docs", share / "docs")
    shutil.copy2(GUEST / "start", share / "start")
    marks = "" if whole or selection else "not soak"
    site = "yes" if machine.ready else ""
    at_last = "off" if machine.installs else ""
    (share / "environment").write_text(f"export machine={machine.name} site={site} marks='{marks}' at_last={at_last}\n")
    lines = []
    for stage in (*machine.stages, *(machine.long_stages if whole or selection else ())):
        chosen = [word for word in selection if word == stage or word.startswith(f"{stage}/")]
        if chosen or not selection:
            lines.append(f"{stage} {' '.join(chosen or [stage])}\n")
    (share / "stages").write_text("".join(lines))
    return [line.split()[0] for line in lines]


def share_paths(words):
    """Jobs as people name them (from the checkout's root, or from guest/) as paths below guest/."""
    found = []
    for word in words:
        file, _, test = word.partition("::")
        path = Path(file).resolve() if Path(file).exists() else (GUEST / file).resolve()
        if not path.is_relative_to(GUEST) or not path.exists():
            raise SystemExit(f"tests.vm: --only {word}: no such job below {GUEST.relative_to(places.ROOT)}")
        found.append(path.relative_to(GUEST).as_posix() + (f"::{test}" if test else ""))
    return found
