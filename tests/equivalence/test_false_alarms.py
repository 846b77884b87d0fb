"""Correct networks of any configuration pass: fresh, random and trained ones, with weights of any scale."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
N_NETWORKS = 60


@pytest.fixture
def false_alarms(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("false_alarms")


@pytest.mark.slow
def test_a_correct_network_is_not_rejected(false_alarms):
    assert [each.reason for each in false_alarms.Case.of(3).failures()] == []


def test_the_cases_cover_every_loss_form_scale_and_precision(false_alarms):
    cases = [false_alarms.Case.of(seed) for seed in range(N_NETWORKS)]
    assert {case.scale for case in cases} == {0.01, 0.1, 1.0, 3.0, 10.0}
    assert {case.training.loss for case in cases} == set(false_alarms.FORMULAS)
    assert {case.config.moe_form for case in cases} == {"top2_capacity", "noisy_top2", "dense_softmax"}
    assert {case.training.precision for case in cases} == {"32", "bf16-mixed"}
    assert {case.config.sequences for case in cases} == {"single", "dual"}
    heads = {(case.config.wide_hidden_dim, case.config.wide_encoding) for case in cases}
    assert heads == {(0, "none"), (5, "none"), (5, "piecewise")}
    assert {case.config.boosted_trees for case in cases} == {0, 4}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(N_NETWORKS))
def test_sixty_correct_networks_are_not_rejected(false_alarms, seed):
    assert [each.reason for each in false_alarms.Case.of(seed).failures()] == []
