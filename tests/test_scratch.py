"""What a killed process left is cleared by the next one on the same target, and nothing else is."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tsa_model.files import atomic_file, atomic_folder
from tsa_model.scratch import clear_dead, is_dead, scratch_folder, temporary_name

KILLED = """
import os, sys
from pathlib import Path
from tsa_model.scratch import temporary_name
for ending in sys.argv[2:]:
    path = temporary_name(Path(sys.argv[1]), ending)
    path.mkdir()
    (path / "customers.csv").write_text("of a dead process")
os.kill(os.getpid(), 9)
"""


def leave_behind(target: Path, *endings: str) -> None:
    """Let a process die while it has temporary folders on its way to `target`."""
    root = Path(__file__).parents[1]
    died = subprocess.run([sys.executable, "-c", KILLED, str(target), *endings], cwd=root)
    assert died.returncode == -9


@pytest.mark.parametrize("make", [atomic_folder, scratch_folder])
def test_the_next_one_on_the_same_target_clears_what_a_killed_one_left(tmp_path: Path, make) -> None:
    leave_behind(tmp_path / "scores", "tmp")
    leave_behind(tmp_path / "other", "tmp")
    with make(tmp_path / "scores"):
        pass
    (left,) = tmp_path.glob(".*")
    assert left.name.startswith(".other.")


def test_files_clear_too(tmp_path: Path) -> None:
    leave_behind(tmp_path / "verdict.json", "tmp")
    with atomic_file(tmp_path / "verdict.json") as temporary:
        temporary.write_text("{}")
    assert [path.name for path in tmp_path.iterdir()] == ["verdict.json"]


def test_a_folder_whose_successor_never_came_is_put_back(tmp_path: Path) -> None:
    leave_behind(tmp_path / "scores", "old", "tmp")
    assert clear_dead(tmp_path / "scores")
    assert (tmp_path / "scores" / "customers.csv").read_text() == "of a dead process"
    assert [path.name for path in tmp_path.iterdir()] == ["scores"]


def test_a_process_that_ended_without_being_asked_for_is_dead(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    died = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "scores"), "tmp"], cwd=root)
    stat = Path(f"/proc/{died.pid}/stat")
    while stat.read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    (left,) = tmp_path.iterdir()
    assert is_dead(left)
    died.wait()


def test_what_belongs_to_a_living_process_stays(tmp_path: Path) -> None:
    mine = temporary_name(tmp_path / "scores")
    mine.mkdir()
    assert not is_dead(mine)
    assert clear_dead(tmp_path / "scores") == []
    assert mine.exists()


@pytest.mark.parametrize(
    "name", [".scores.bak", ".scores.0123abcd.tmp", ".scores.tsa-00000000-00000000-1-1-00000000.tmp"]
)
def test_what_is_not_provably_ours_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("somebody's")
    with atomic_folder(tmp_path / "scores"):
        pass
    assert (tmp_path / name).read_text() == "somebody's"


def test_a_name_of_255_bytes_has_a_temporary_one(tmp_path: Path) -> None:
    target = tmp_path / ("é" * 127)
    with atomic_folder(target) as folder:
        (folder / "file").touch()
    assert (target / "file").exists()
