"""The symbolic link under which a terminal is found, held by one living program at a time.

A link cannot tell whether the terminal behind it is still its maker's: the kernel gives the names of terminals away
again. Its maker therefore holds a lock on a hidden file beside it, which ends with the process, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from firmware_sim.errors import OutputError


class TerminalLink:
    """A link at `path`: `claim` it, `point` it to terminals one after another, `release` it in the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = -1
        self._target = ""

    def claim(self) -> None:
        """Make the path ours; OutputError while another program has it. What a dead one left is taken over."""
        try:
            if self.path.exists() and not self.path.is_symlink():
                raise OutputError(f"{self.path}: is there and is not a link; give another path")
            while not self._locked():
                pass
        except BlockingIOError:
            taken = "is the link of another simulator that is running; stop it or give another path"
            raise OutputError(f"{self.path}: {taken}") from None
        except OSError as problem:
            raise self._cannot(problem) from problem

    def point(self, target: str) -> None:
        """Let it lead to `target`, whatever it led to."""
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            if self.path.exists() and not self.path.is_symlink():
                raise OutputError(f"{self.path}: is there and is not a link; give another path")
            fresh.symlink_to(target)
            fresh.replace(self.path)
        except OSError as problem:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise self._cannot(problem) from problem
        self._target = target

    def remove(self) -> None:
        """Take the link away, if it still leads where we let it."""
        with contextlib.suppress(OSError):
            if self._target and os.readlink(self.path) == self._target:  # noqa: PTH115 - text wanted
                self.path.unlink()
        self._target = ""

    def release(self) -> None:
        """Take the link away and let others have the path."""
        self.remove()
        if self._lock < 0:
            return
        # Whoever waits for this very file will find that it is gone, and make another one.
        with contextlib.suppress(OSError):
            self._lock_path.unlink()
        os.close(self._lock)
        self._lock = -1

    @property
    def _lock_path(self) -> Path:
        return self.path.with_name(f".{self.path.name}.lock")

    def _locked(self) -> bool:
        """Lock the file of this name; False when it was taken away meanwhile. BlockingIOError when it is held."""
        lock = os.open(self._lock_path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            there = self._lock_path.stat()
            if os.path.samestat(there, os.fstat(lock)):
                self._lock, lock = lock, -1
                return True
        except FileNotFoundError:
            pass
        finally:
            if lock >= 0:
                os.close(lock)
        return False

    def _cannot(self, problem: OSError) -> OutputError:
        return OutputError(f"{self.path}: cannot make the link: {problem.strerror}")
