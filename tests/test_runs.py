"""Whole runs through the command line: repeatable, unharmed by a kill, and clear about bad input."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.small_run import small_run

import pipeline
from tsa_model.promotion import Registry

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "small.json"
    path.write_text(small_run().model_dump_json())
    return path


def start(folder: Path, *options: str | Path) -> subprocess.Popen[str]:
    """`pipeline.py run` with `folder` as working folder, so runs lie in `folder`/runs."""
    return subprocess.Popen(
        [sys.executable, pipeline.__file__, "run", *map(str, options)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(folder: Path, *options: str | Path) -> tuple[int, str]:
    """Exit status and screen of a whole run."""
    command = start(folder, *options)
    screen, _ = command.communicate(timeout=600)
    return command.returncode, screen


def score_files(folder: Path) -> dict[str, bytes]:
    """Name and bytes of the files whose content depends on nothing but data, configuration and seed."""
    scores = folder / "runs" / "latest" / "stages" / "generate-scores" / "scores"
    return {
        str(path.relative_to(scores)): path.read_bytes()
        for pattern in ("**/*.csv", "**/*.parquet")
        for path in sorted(scores.glob(pattern))
    }


@pytest.fixture(scope="module")
def finished(config: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Screen and folder of a run from beginning to end, whose model became the champion."""
    folder = tmp_path_factory.mktemp("undisturbed")
    Registry(folder / "registry").init()
    champion = ("--champion", folder / "registry", "--promote")
    status, screen = run(folder, "--config", config, "--seed", "5", *champion)
    assert status == 0, screen
    return screen, folder


@pytest.fixture(scope="module")
def undisturbed(finished: tuple[str, Path]) -> tuple[str, dict[str, bytes]]:
    """Screen and score files of the finished run."""
    screen, folder = finished
    return screen, score_files(folder)


def test_a_run_ends_with_a_table_of_all_stages(undisturbed: tuple[str, dict[str, bytes]]) -> None:
    screen, files = undisturbed
    table = screen[screen.index("key figure") :]
    for stage in ("validate_events", "build_sequences", "train_model", "check_equivalence", "export_onnx"):
        assert stage in table
    assert "logistic regression" in table
    assert "score_file.csv" in files


def test_same_seed_same_score_files(
    tmp_path: Path, config: Path, undisturbed: tuple[str, dict[str, bytes]]
) -> None:
    status, screen = run(tmp_path, "--config", config, "--seed", "5")
    assert status == 0, screen
    assert score_files(tmp_path) == undisturbed[1]


@pytest.mark.parametrize("moment", ["2-build-sequences", "3-train-model", "6-generate-scores"])
def test_a_killed_run_leaves_nothing_that_the_next_one_believes(
    tmp_path: Path, config: Path, undisturbed: tuple[str, dict[str, bytes]], moment: str
) -> None:
    command = start(tmp_path, "--config", config, "--seed", "5")
    log = tmp_path / "runs" / "latest" / "logs" / f"{moment}.log"
    while not log.exists() or log.stat().st_size < 1000:
        assert command.poll() is None, command.communicate()[0]
        time.sleep(0.02)
    command.kill()
    command.communicate()
    status, screen = run(tmp_path, "--config", config, "--seed", "5")
    assert status == 0, screen
    assert score_files(tmp_path) == undisturbed[1]


@pytest.fixture(scope="module")
def damage() -> Any:
    """`benchmarks/damage.py`, which is no package."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module("damage")
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_a_damaged_file_is_refused_by_name_or_does_no_harm(
    damage: Any, finished: tuple[str, Path], tmp_path: Path
) -> None:
    _, folder = finished
    copy = damage.Copy(folder / "runs" / "latest", folder / "registry", tmp_path)
    trials = damage.damage_files(copy, 400, seed=0)
    assert [one for one in trials if one.outcome not in ("refused", "harmless")] == []
    assert sum(one.outcome == "refused" for one in trials) > 300


def duplicated(orders: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([orders, orders.iloc[[7]]], ignore_index=True)


def with_label_two(orders: pd.DataFrame) -> pd.DataFrame:
    return orders.assign(label=orders["label"].astype("float64").where(orders.index != 3, 2.0))


def with_infinite_amount(orders: pd.DataFrame) -> pd.DataFrame:
    return orders.assign(amount=orders["amount"].where(orders.index != 3, np.inf))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda orders: orders.drop(columns="amount"), ["amount"]),
        (duplicated, ["order_id", "2"]),
        (with_label_two, ["label", "1", "2"]),
        (lambda orders: orders.assign(order_time="yesterday"), ["order_time", "6,000", "yesterday"]),
        (with_infinite_amount, ["amount", "1", "inf"]),
        (lambda orders: orders.iloc[:0], ["0"]),
    ],
    ids=[
        "missing column",
        "duplicate id",
        "bad label",
        "time of wrong type",
        "infinite amount",
        "empty file",
    ],
)
def test_bad_orders_stop_in_the_first_stage(
    tmp_path: Path, config: Path, damage: Callable[[pd.DataFrame], pd.DataFrame], words: list[str]
) -> None:
    from tsa_model.simulation import simulate_orders

    simulation = small_run().simulation
    assert simulation is not None
    damage(simulate_orders(simulation)).to_parquet(tmp_path / "orders.parquet")
    assert_refused(tmp_path, config, tmp_path / "orders.parquet", words)


def test_a_text_file_is_no_parquet(tmp_path: Path, config: Path) -> None:
    (tmp_path / "orders.parquet").write_text("order_id,amount\n1,2\n")
    assert_refused(tmp_path, config, tmp_path / "orders.parquet", ["orders.parquet"])


def assert_refused(folder: Path, config: Path, events: Path, words: list[str]) -> None:
    status, screen = run(folder, "--config", config, "--events", events)
    assert status == 1, screen
    assert "validate_events failed" in screen
    for word in words:
        assert word in screen.partition("validate_events failed")[2]
    assert "Traceback" not in screen
    latest = folder / "runs" / "latest"
    assert [path.name for path in (latest / "stages").iterdir()] == ["validate-events"]
    assert not (latest / "stages" / "validate-events" / "validated").exists() or not any(
        (latest / "stages" / "validate-events" / "validated").iterdir()
    )
