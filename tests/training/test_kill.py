"""Training as a process that is really killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.small_training import small_run

from tsa_model import progress
from tsa_model.sequences import SequenceStore

pytestmark = pytest.mark.slow


@pytest.fixture
def command(store: SequenceStore, tmp_path: Path) -> list[str]:
    run = small_run(max_epochs=3, batch_size=24, checkpoint_every_steps=5)
    (tmp_path / "run.json").write_text(run.model_dump_json())
    return [
        *(sys.executable, "-m", "tsa_model.train"),
        *("--store", str(store.directory), "--config", str(tmp_path / "run.json")),
    ]


def start(command: list[str], folder: Path) -> subprocess.Popen[str]:
    folders = ["--model", str(folder / "model"), "--training-log", str(folder / "log")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, *folders], stdout=subprocess.PIPE, text=True, env=environment)


def wait_for_step(process: subprocess.Popen[str], step: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        reported = progress.parse(line)
        if reported is not None and reported.done >= step:
            return
    raise AssertionError("training ended before it could be killed")


def resume_point(folder: Path) -> tuple[Path, float] | None:
    found = list((folder / "log" / "checkpoints").glob("*/last.ckpt"))
    return (found[0], found[0].stat().st_mtime) if found else None


def finish(command: list[str], folder: Path) -> bytes:
    process = start(command, folder)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return (folder / "model" / "model.safetensors").read_bytes()


def test_killed_twice_inside_epochs_ends_as_an_undisturbed_run(command: list[str], tmp_path: Path) -> None:
    expected = finish(command, tmp_path / "whole")
    for step in (1, 28):
        process = start(command, tmp_path / "killed")
        wait_for_step(process, step)
        deadline = time.monotonic() + 60
        while resume_point(tmp_path / "killed") is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
        process.wait()
        assert process.returncode == -signal.SIGKILL
        assert not (tmp_path / "killed" / "model").exists()
    assert finish(command, tmp_path / "killed") == expected


def test_sigterm_saves_the_step_it_arrives_at(command: list[str], tmp_path: Path) -> None:
    expected = finish(command, tmp_path / "whole")
    process = start(command, tmp_path / "stopped")
    wait_for_step(process, 1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert resume_point(tmp_path / "stopped") is not None
    assert not (tmp_path / "stopped" / "model").exists()
    assert finish(command, tmp_path / "stopped") == expected


@pytest.mark.parametrize("program", [["-m", "tsa_model.train"], ["-m", "pipeline", "train"]])
@pytest.mark.parametrize("after", ["the last step", "the result"])
def test_sigterm_in_the_last_second_is_no_crash(
    command: list[str], tmp_path: Path, program: list[str], after: str
) -> None:
    process = start([command[0], *program, *command[3:]], tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        reported = progress.parse(line)
        if reported is None or (after == "the last step" and reported.done == reported.total):
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode in (0, 128 + signal.SIGTERM)
    assert process.returncode != 0 or (tmp_path / "model" / "model.safetensors").exists()


def test_the_command_line_writes_metrics(command: list[str], tmp_path: Path) -> None:
    process = start([*command, "--metrics", str(tmp_path / "metrics.json"), "--max-epochs", "1"], tmp_path)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["epochs"] == 1
    assert metrics["key_figure"] in output
