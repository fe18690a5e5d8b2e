"""Wheels for a slow machine: packed again without compression and with compiled files inside, or laid out ready to import."""

import base64
import hashlib
import shutil
import subprocess
import zipfile

UNUSED = {".pyi", ".pyx", ".pxd", ".c", ".h"}


def repacked(wheel, folder, python):
    """The wheel again in a folder, without what no program runs; what `python` compiled is never checked against its source."""
    folder.mkdir(parents=True, exist_ok=True)
    tree = folder / f"{wheel.stem}.tree"
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tree)
    for file in [file for file in tree.rglob("*.*") if file.is_file()]:
        if "tests" in file.relative_to(tree).parts or file.suffix in UNUSED:
            file.unlink()
    if python:
        words = ("-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-s", str(tree), str(tree))
        subprocess.run([python, *words], capture_output=True, check=False)
    _record(tree)
    with zipfile.ZipFile(folder / wheel.name, "w", strict_timestamps=False) as packed:
        for file in sorted(file for file in tree.rglob("*") if file.is_file()):
            packed.write(file, file.relative_to(tree).as_posix())
    shutil.rmtree(tree)
    return folder / wheel.name


def _record(tree):
    """Write the wheel's list of its files anew."""
    (record,) = tree.glob("*.dist-info/RECORD")
    rows = [f"{record.relative_to(tree).as_posix()},,"]
    for file in sorted(file for file in tree.rglob("*") if file.is_file() and file != record):
        told = base64.urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).rstrip(b"=").decode()
        rows.append(f"{file.relative_to(tree).as_posix()},sha256={told},{file.stat().st_size}")
    record.write_text("\n".join(rows) + "\n")


def lay_out(wheels, folder):
    """What an installer would make of wheels in a folder of its own, without their programs."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(folder)
    for extra in folder.glob("*.data"):
        for kind in ("purelib", "platlib"):
            if (extra / kind).exists():
                shutil.copytree(extra / kind, folder, dirs_exist_ok=True)
        shutil.rmtree(extra)
