"""`tsa run`, as far as it gets without a whole run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import Result

Command = Callable[..., Result]


def test_a_failed_stage_ends_with_its_name_the_cause_and_status_one(command: Command, tmp_path: Path) -> None:
    result = command("run", "--events", str(tmp_path / "nowhere.parquet"), "--runs", str(tmp_path / "runs"))
    assert result.exit_code == 1
    assert "validate_events failed" in result.output
    assert "nowhere.parquet" in result.output
    assert f"log: {tmp_path}/runs/demo-" in result.output
    assert "Traceback" not in result.output


def test_run_asks_for_events_that_nothing_simulates(command: Command) -> None:
    result = command("run", "--config", "handbook")
    assert result.exit_code == 2
    assert "--events" in result.output


def test_a_bad_run_description_stops_before_anything_is_written(command: Command, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("dataset: {nmae: typo}\n")
    result = command("run", "--config", str(bad), "--runs", str(tmp_path / "runs"))
    assert result.exit_code == 1
    assert "nmae" in result.output
    assert not (tmp_path / "runs").exists()
