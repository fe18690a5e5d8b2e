"""What a command does not need it does not import: a start on a small computer is mostly imports."""

import subprocess
import sys

import pytest

BROKER = {"paho", "link.connection"}


@pytest.mark.parametrize(
    ("module", "spared"),
    [
        ("agent.cli", BROKER | {"agent.app", "numpy", "can", "cantools", "serial"}),
        ("ledger.cli", BROKER | {"ledger.serving", "ledger.courier", "numpy"}),
        ("packseal.verify", BROKER | {"numpy", "msgspec", "sqlite3"}),
    ],
)
def test_a_command_line_spares_what_only_a_service_needs(module, spared):
    code = f"import sys, {module}; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not spared & set(said)
