"""What `python3 -m venv` calls to have pip: this machine is slow, so one that lies ready is pointed to, not unpacked anew."""

import sys
import sysconfig
from pathlib import Path

READY = Path("/usr/share/python-wheels/ready")


def version():
    """The version of the pip that lies ready."""
    (found,) = READY.glob("pip-*.dist-info")
    return found.name.removesuffix(".dist-info").removeprefix("pip-")


def bootstrap(**_):
    """Give pip to the environment that runs this."""
    _main()


def _main(argv=None):
    Path(sysconfig.get_path("purelib"), "pip.pth").write_text(f"{READY}\n")
    for name in ("pip", "pip3", "pip3.11"):
        program = Path(sysconfig.get_path("scripts"), name)
        program.write_text(
            f"#!{sys.executable}\nimport sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n"
        )
        program.chmod(0o755)
