"""The module commands of old start the same program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CALLS = [
    ("score --model nowhere", 1, "Error: --model: there is no folder nowhere"),
    ("score --help", 0, "score_file.csv"),
    ("promote history --registry nowhere", 1, "registry nowhere does not exist"),
    ("promote rollback", 2, "Missing option '--registry'"),
    ("equivalence check --store nowhere", 1, "Error: --store: there is no folder nowhere"),
    ("equivalence schema", 0, '"verdict_id"'),
    ("train --store nowhere", 2, "the following arguments are required: --config, --model, --training-log"),
]


@pytest.mark.parametrize(("call", "status", "said"), CALLS)
def test_a_module_command_of_old_goes_on_working(call: str, status: int, said: str) -> None:
    module, *words = call.split()
    done = subprocess.run(
        [sys.executable, "-m", f"tsa_model.{module}", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert said in done.stdout + done.stderr
    assert done.returncode == status
    assert "Traceback" not in done.stderr
