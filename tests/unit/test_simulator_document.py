"""docs/simulator.md names every fault, every identifier and every option that it mentions as the program has them."""

import re

from firmware_sim.cli import parser
from firmware_sim.faults.catalogue import KINDS
from firmware_sim.uds.identifiers import TABLE
from tests.programs import run
from tests.shared import ROOT

TEXT = (ROOT / "docs/simulator.md").read_text()


def test_the_table_of_faults_is_the_catalogue():
    listed = dict(re.findall(r"^\| `([a-z-]+)` \| (pack|bus|adapter) \|", TEXT, re.MULTILINE))
    assert listed == {name: kind.place for name, kind in KINDS.items()}


def test_the_table_of_identifiers_is_the_servers():
    listed = re.findall(r"^\| `([0-9A-F]{4})` \| (.+) \| (.+) \|$", TEXT, re.MULTILINE)
    assert listed == [(f"{each.number:04X}", each.meaning, each.form) for each in TABLE]


def test_every_command_line_in_the_document_can_be_parsed():
    lines = re.findall(r"^packseal-sim (.+?)(?:\s+#.*)?$", TEXT, re.MULTILINE)
    assert len(lines) >= 6
    for line in lines:
        parser().parse_args(line.split())


def test_the_ledgers_bulk_registration_is_as_the_document_has_it():
    assert "packseal-ledger register --from fleet.jsonl --state-dir ledger\n" in TEXT
    assert {"--from", "--state-dir"} <= set(run("packseal-ledger", "register", "--help").stdout.split())


def test_every_file_that_the_document_names_exists():
    for link in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / link).exists(), link
    for path in re.findall(r"`(firmware_sim/[a-z_/.]+)`", TEXT):
        assert (ROOT / path).exists(), path
