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
KERNEL = "quiet panic=-1 systemd.show_status=no console=ttyAMA0 kpti=off nokaslr mitigations=off"
COMPUTER = (
    "qemu-system-aarch64 -M virt,gic-version=3 -cpu cortex-a72 -accel tcg,thread=multi,tb-size=512 -m 1024"
    " -nodefaults -no-user-config -display none -object rng-random,filename=/dev/urandom,id=r -device virtio-rng-pci,rng=r"
)
# Two CAN controllers on one emulated bus, with bit rates to set: can0 and can1.
CONTROLLERS = "-object can-bus,id=c0 -device kvaser_pci,canbus=c0 -device kvaser_pci,canbus=c0"
# Two USB serial adapters whose far ends are wired together, ttyUSB0 with the serial number ADAPTER and ttyUSB1 with BENCH.
ADAPTERS = (
    "-device qemu-xhci -chardev socket,id=u0,fd={0} -chardev socket,id=u1,fd={1}"
    " -device usb-serial,chardev=u0,serial=ADAPTER,port=1 -device usb-serial,chardev=u1,serial=BENCH,port=2"
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What one of the machines is like: its stages of jobs in order (a reboot between two), and its hardware."""

    name: str
    stages: tuple[str, ...]
    ready: bool  # packseal importable from the start
    kernel: str
    hardware: str


MACHINES = (
    Machine(
        name="bus",
        stages=("bus",),
        ready=True,
        kernel="systemd.mask=systemd-udevd.service systemd.mask=systemd-udev-trigger.service"
        " systemd.mask=systemd-timesyncd.service systemd.mask=mosquitto.service",
        hardware=CONTROLLERS,
    ),
    # A Pi has no clock that runs while it is off: neither has this machine, its driver is left out.
    Machine(
        name="car",
        stages=("car", "car_after_reboot"),
        ready=False,
        kernel="initcall_blacklist=pl031_driver_init",
        hardware=f"{CONTROLLERS} {ADAPTERS}",
    ),
)


class Run:
    """A machine that was started; poll() until it gives an outcome."""

    def __init__(self, machine, image, application, folder, selection, say, timeout_s, cpus=1):
        self._machine, self._say = machine, say
        self.share = folder / machine.name
        self.stages = _lay_out(machine, self.share, selection)
        self._deadline = time.monotonic() + timeout_s
        self._printed = 0
        with (self.share / "qemu").open("w") as said, wire() as ends:
            words = command(machine, image, application, self.share, f"file:{self.share / 'console'}", ends, cpus)
            streams = {"stdin": subprocess.DEVNULL, "stdout": said, "stderr": subprocess.STDOUT}
            self._process = subprocess.Popen(words, pass_fds=ends, **streams)

    def poll(self) -> Outcome | None:
        """Print what the machine said since; its outcome once it is off, or once its time is over."""
        ended = self._process.poll() is not None
        self._print(whole=ended)
        if ended:
            return judge(self._machine.name, self.share, self.stages, timed_out=False)
        if time.monotonic() > self._deadline:
            self.kill()
            self._print(whole=True)
            return judge(self._machine.name, self.share, self.stages, timed_out=True)
        return None

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
                self._say(f"{self._machine.name} | {line}")


def command(machine, image, application, share, console, ends, cpus):
    """QEMU's words for a Cortex-A72 with a system disk that is thrown away, a second disk, the share and the hardware."""
    boots_again = () if len(machine.stages) > 1 else ("-no-reboot",)
    return [
        *COMPUTER.split(),
        *("-smp", str(cpus), "-serial", console, *boots_again),
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", f"{KERNEL} {machine.kernel}"),
        *("-drive", f"id=d0,file={image.root},format=raw,if=none,snapshot=on", "-device", "virtio-blk-pci,drive=d0"),
        *("-drive", f"id=d1,file={application},format=raw,if=none,readonly=on", "-device", "virtio-blk-pci,drive=d1"),
        *("-fsdev", f"local,id=s,path={share},security_model=none", "-device", "virtio-9p-pci,fsdev=s,mount_tag=host"),
        *machine.hardware.format(*ends).split(),
    ]


@contextmanager
def wire():
    """The two ends of a serial line, as file descriptors for an emulator."""
    one, other = socket.socketpair()
    with one, other:
        yield one.fileno(), other.fileno()


def shell(machine, image, application, folder):
    """The machine with this terminal as its console, until `poweroff`; gives the emulator's exit code."""
    share = folder / machine.name
    _lay_out(machine, share, [])
    (share / "start").write_text("mount -o ro /dev/vdb /app\nexec setsid -c bash -il <>/dev/ttyAMA0 >&0 2>&0\n")
    with wire() as ends:
        return subprocess.call(command(machine, image, application, share, "mon:stdio", ends, cpus=2), pass_fds=ends)


def _lay_out(machine, share, selection):
    """Fill the share; gives the names of the stages that will run. A selection (paths below guest/) leaves out the rest."""
    shutil.rmtree(share, ignore_errors=True)
    share.mkdir(parents=True)
    shutil.copytree(GUEST, share / "jobs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(places.ROOT / "docs", share / "docs")
    shutil.copy2(GUEST / "start", share / "start")
    (share / "environment").write_text(f"export machine={machine.name} site={'yes' if machine.ready else ''}\n")
    lines = []
    for stage in machine.stages:
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
