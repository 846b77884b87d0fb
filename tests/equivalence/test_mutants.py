"""The catalogue of faults fits the code it is about, and the gate rejects a few of them."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def catalogue(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("mutant_catalogue").MUTANTS


def test_every_mutant_changes_the_code_of_today(catalogue, tmp_path):
    assert len(catalogue) >= 40
    assert len({mutant.name for mutant in catalogue}) == len(catalogue)
    source = BENCHMARKS.parent / "tsa_model"
    for number, mutant in enumerate(catalogue):
        copy = tmp_path / str(number) / mutant.file
        copy.parent.mkdir(parents=True)
        shutil.copy(source / mutant.file, copy)
        mutant.apply(tmp_path / str(number))
        changed = copy.read_text()
        assert changed != (source / mutant.file).read_text()
        compile(changed, mutant.file, "exec")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["threshold ≥ for >", "gate eps 0", "gate gradient halved", "least capacity"]
)
def test_the_gate_kills_a_mutant(name):
    command = [sys.executable, str(BENCHMARKS / "mutants.py"), "--only", name]
    found = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "1 of 1 mutants killed" in found.stdout
