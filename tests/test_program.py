"""How threads of the program wait for each other."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

import pipeline
from tsa_model.program import THREAD_SPINS


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "later removed")
    monkeypatch.delenv("GOMP_SPINCOUNT")


def test_every_command_lets_its_threads_spin_briefly() -> None:
    CliRunner().invoke(pipeline.main, ["schema", "--help"])
    assert os.environ["GOMP_SPINCOUNT"] == THREAD_SPINS


def test_the_users_own_choice_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "infinity")
    CliRunner().invoke(pipeline.main, ["schema", "--help"])
    assert os.environ["GOMP_SPINCOUNT"] == "infinity"


def test_the_image_says_the_same() -> None:
    assert f"GOMP_SPINCOUNT={THREAD_SPINS} " in Path("Dockerfile").read_text()
