"""The programs that the machine is built and run with: Debian packages, installed where they are missing."""

import os
import shutil
import signal
import subprocess
import threading
from contextlib import suppress

PACKAGES = (
    "qemu-system-arm",
    "mmdebstrap",
    "debian-archive-keyring",
    "e2fsprogs",
    "cpio",
    "kmod",
    "systemd",
    "python3-pip",
)
SYSTEM_PROGRAMS = ("/usr/sbin", "/sbin")
GRACE_S = 10.0  # what a command that is told to end may take to tidy up

ended = threading.Event()  # the run is being ended from outside: nothing new begins
_running: set[subprocess.Popen] = set()


class Unavailable(Exception):
    """Something that the tests need from outside could not be had; the text says what, and what to do."""


def missing_rights():
    """Why this host cannot build a machine, as the end of a sentence; None where it can."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-query") is None:
        return "they need a Debian host (apt-get is missing)"
    if os.geteuid() != 0:
        return "they need root (to install by apt-get and to lay out the machine's file system); try sudo make vm-test"
    return None


def install():
    """Install what is missing of PACKAGES; gives the names that were."""
    needed = [package for package in PACKAGES if not _installed(package)]
    if needed:
        run("apt-get", "update", "-qq")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *needed, environment=environment)
    return needed


def run(*words, environment=None):
    """A command whose output matters only when it fails."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    try:
        process = subprocess.Popen(
            words, env=_surroundings(environment), text=True, errors="replace", start_new_session=True, **streams
        )
    except OSError as error:
        raise Unavailable(f"{words[0]} cannot be started: {error.strerror}; is it installed?") from None
    _running.add(process)
    try:
        if ended.is_set():
            _signal([process], signal.SIGTERM)
        with process:
            out, err = process.communicate()
    finally:
        _running.discard(process)
    if process.returncode:
        last = "\n".join((out + err).splitlines()[-15:])
        raise Unavailable(f"{' '.join(map(str, words[:4]))} ended with {process.returncode}:\n{last}")
    return out


def stop():
    """Tell every command that runs, and all that it started, to end; what does not in time is killed."""
    ended.set()
    told = tuple(_running)
    _signal(told, signal.SIGTERM)
    if told:
        last = threading.Timer(GRACE_S, _signal, [told, signal.SIGKILL])
        last.daemon = True
        last.start()


def _signal(processes, number):
    for process in processes:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)


def _surroundings(environment):
    """The variables of a command: a plain `su` leaves root without the folders of depmod and mke2fs."""
    variables = dict(os.environ if environment is None else environment, PYTHONDONTWRITEBYTECODE="1")
    folders = variables.get("PATH", os.defpath).split(os.pathsep)
    folders += (folder for folder in SYSTEM_PROGRAMS if folder not in folders)
    return {**variables, "PATH": os.pathsep.join(folders)}


def _installed(package):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Status}", package], capture_output=True, text=True, check=False)
    return done.stdout.endswith(" installed")
