"""Libraries with their own idea of errors, threads or files appear in one named adapter per package."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("agent", "evidence", "firmware_sim", "ledger", "link", "packseal")
ADAPTERS = {
    "can": {
        "agent": ("agent/sources/python_can.py",),
        "firmware_sim": (
            "firmware_sim/outputs/python_can_bus.py",
            "firmware_sim/outputs/python_can_files.py",
        ),
    },
    "cantools": {"agent": ("agent/profile_compile.py",)},
    "isotp": {"firmware_sim": ("firmware_sim/uds/isotp_transport.py",)},
    "paho": {"link": ("link/session.py",)},
    "psycopg": {},
    "pyarrow": {"firmware_sim": ("firmware_sim/truth/parquet_file.py",)},
    "serial": {"agent": ("agent/sources/slcan.py",)},
    "sqlite3": {"agent": ("agent/database.py",), "ledger": ("ledger/store.py",)},
    "web3": {},
}


def _imported(path: Path) -> set[str]:
    """Top-level names of everything that a module imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def _modules() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def test_a_library_behind_an_adapter_is_imported_there_and_nowhere_else():
    strays = [
        f"{path.relative_to(ROOT)} imports {library}"
        for path in _modules()
        for library in _imported(path) & ADAPTERS.keys()
        if str(path.relative_to(ROOT)) not in ADAPTERS[library].get(path.relative_to(ROOT).parts[0], ())
    ]
    assert not strays


def test_every_named_adapter_exists_and_imports_its_library():
    for library, places in ADAPTERS.items():
        for place in (each for adapters in places.values() for each in adapters):
            assert library in _imported(ROOT / place)


def test_evidence_imports_only_the_pure_parts_of_the_standard_library_cbor2_and_nacl():
    pure = {
        "__future__",
        "base64",
        "binascii",
        "collections",
        "contextlib",
        "dataclasses",
        "enum",
        "functools",
        "hashlib",
    }
    pure |= {"itertools", "json", "re", "struct", "typing", "zlib", "cbor2", "nacl", "evidence"}
    strays = {path.name: _imported(path) - pure for path in sorted((ROOT / "evidence").glob("*.py"))}
    assert not {name: found for name, found in strays.items() if found}


def test_the_simulator_shares_no_code_with_the_agent_nor_a_decoder_with_anybody():
    strays = {
        path.name: _imported(path) & {"agent", "ledger", "cantools"}
        for path in sorted((ROOT / "firmware_sim").rglob("*.py"))
    }
    assert not {name: found for name, found in strays.items() if found}


def test_only_the_simulators_load_generator_signs_statements_and_speaks_mqtt():
    generator = ROOT / "firmware_sim" / "fleet"
    speakers = {
        path
        for path in (ROOT / "firmware_sim").rglob("*.py")
        if _imported(path) & {"evidence", "link", "nacl", "cbor2"}
    }
    assert speakers
    assert all(generator in path.parents for path in speakers)
    assert not {path.name for path in generator.rglob("*.py") if _imported(path) & {"nacl", "cbor2", "paho"}}


def test_every_package_of_the_wheel_is_typed_and_documented():
    for package in PACKAGES:
        assert ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text()))
