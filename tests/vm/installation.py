"""The disk on which packseal is installed as docs/install.md says: made by the machine `install`, where `car` goes on.

It is kept, and made anew where anything changes that it was made from: the image, the second disk, the manual, the jobs.
"""

from dataclasses import dataclass
from pathlib import Path

from tests.vm import places
from tests.vm.tools import run

MADE_FROM = (
    places.ROOT / "docs" / "install.md",
    places.HERE / "guest" / "install",
    places.HERE / "guest" / "car" / "car_machine.py",
    places.HERE / "guest" / "car" / "statement_reading.py",
    places.HERE / "guest" / "pytest.ini",
    places.HERE / "guest" / "reporting.py",
    places.HERE / "guest" / "start",
    places.HERE / "machine.py",
    places.HERE / "results.py",
)


@dataclass(frozen=True, slots=True)
class Installation:
    """A disk in a run's folder, and what it is to be made from."""

    disk: Path
    state: str

    @property
    def _mark(self):
        return self.disk.with_suffix(".digest")

    def is_kept(self):
        """Whether the disk is there, and installed from just this."""
        return self.disk.exists() and self._mark.exists() and self._mark.read_text() == self.state

    def begin(self, root):
        """Lay the bare system there, to be installed on."""
        self.forget()
        run("cp", "--sparse=always", "--reflink=auto", str(root), str(self.disk))

    def keep(self):
        """Every job of the installation has passed: the disk may serve again."""
        self._mark.write_text(self.state)

    def forget(self):
        """Whoever went on with the disk has failed, and nobody knows whether for what is on it."""
        self._mark.unlink(missing_ok=True)


def of(folder, system, application):
    """The installation that a run in `folder` wants."""
    made = application.with_suffix(".digest").read_text()
    built = f"{system.root} {system.root.stat().st_mtime_ns}"  # of one recipe today's packages may be others
    return Installation(folder / "installed.ext4", places.digest(built, made, *MADE_FROM))
