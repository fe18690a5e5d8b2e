"""The programs that the machine is built and run with: Debian packages, installed where they are missing."""

import os
import shutil
import subprocess

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
    done = subprocess.run(words, env=environment, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise Unavailable(f"{' '.join(map(str, words[:4]))} ended with {done.returncode}:\n{last}")
    return done.stdout


def _installed(package):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Status}", package], capture_output=True, text=True, check=False)
    return done.stdout.endswith(" installed")
