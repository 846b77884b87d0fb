"""Some faults of the export catalogue; `benchmarks/mutants.py --catalogue export` tries them all."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from support.batches import ragged_batch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def catalogue():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module("export_catalogue")
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_the_catalogue_names_every_mutant_once(catalogue):
    names = [mutant.name for mutant in catalogue.EXPORT_MUTANTS]
    assert len(set(names)) == len(names) >= 70


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("a stale tensor in the loop's body", "contents"),
        ("the card gate's threshold 0.0501", "contents"),
        ("dropout left in", "contents"),
        ("the two histories swapped", "outputs"),
        ("rows one place further in calls above 64 rows", "outputs"),
        ("wrong with two threads", "outputs"),
        ("an answer remembered by its shape", "outputs"),
    ],
)
def test_a_mutant_is_refused(catalogue, small_dual, tmp_path, name, first):
    (mutant,) = (each for each in catalogue.EXPORT_MUTANTS if each.name == name)
    batch = ragged_batch(small_dual.network.config, 20, seed=3)
    session, network, _ = small_dual
    outcome = catalogue.tried(mutant, network, session, batch, tmp_path)
    assert outcome.first == first, outcome.reason


@pytest.mark.slow
def test_every_mutant_is_refused():
    command = [sys.executable, str(BENCHMARKS / "mutants.py"), "--catalogue", "export"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=BENCHMARKS.parent, timeout=3600)
    assert found.returncode == 0, found.stdout + found.stderr
