"""Shapley values against their definition and against captum's."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from captum.attr import ShapleyValues

from tsa_model.reasons.shapley import (
    all_coalitions,
    exact,
    joined,
    random_walks,
    sampled,
    walked_coalitions,
)


def random_worth(p: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=2**p)


def number_of(coalitions: np.ndarray) -> np.ndarray:
    return (coalitions << np.arange(coalitions.shape[-1])).sum(axis=-1)


def by_definition(worth: np.ndarray, p: int) -> np.ndarray:
    """The mean gain over every order in which players may come, written as a loop."""
    gains, n_orders = np.zeros(p), 0
    for order in permutations(range(p)):
        coalition = 0
        for player in order:
            gains[player] += worth[coalition | 1 << player] - worth[coalition]
            coalition |= 1 << player
        n_orders += 1
    return gains / n_orders


@pytest.mark.parametrize("p", [1, 2, 3, 6])
def test_exact_values_are_the_definition(p: int) -> None:
    worth = random_worth(p, seed=p)
    np.testing.assert_allclose(exact(worth).value, by_definition(worth, p), atol=1e-12)


def test_exact_values_are_captums() -> None:
    p = 5
    worth = torch.from_numpy(random_worth(p))

    def forward(present: torch.Tensor) -> torch.Tensor:
        return worth[(present.long() << torch.arange(p)).sum(dim=-1)]

    oracle = ShapleyValues(forward).attribute(torch.ones(1, p, dtype=torch.float64))
    np.testing.assert_allclose(exact(worth.numpy()).value, oracle.numpy()[0], atol=1e-6)


@pytest.mark.parametrize("p", [0, 1, 4, 10])
def test_exact_values_add_up(p: int) -> None:
    worth = random_worth(p)
    assert exact(worth).value.sum() == pytest.approx(worth[-1] - worth[0], abs=1e-10)
    assert not exact(worth).error.any()


def test_equal_players_get_the_same_and_a_player_without_effect_gets_nothing() -> None:
    coalitions = all_coalitions(5)
    first_two, third = coalitions[:, :2].sum(axis=1), coalitions[:, 2]
    worth = np.array([0.0, 1.0, 5.0])[first_two] * (1 + third) + np.sin(coalitions[:, 3])
    values = exact(worth).value
    assert values[0] == pytest.approx(values[1], abs=1e-12)
    assert values[4] == pytest.approx(0.0, abs=1e-12)
    assert abs(values[0] - values[2]) > 0.1


def test_walks_come_in_pairs_and_pass_through_every_size() -> None:
    walks = random_walks(7, 3, seed=1)
    assert walks.shape == (6, 7)
    assert (walks[::2] == walks[1::2, ::-1]).all()
    coalitions = walked_coalitions(walks)
    assert (coalitions.sum(axis=2) == np.arange(8)).all()
    assert coalitions[0, 1].nonzero()[0].tolist() == [walks[0, 0]]


def test_sampled_values_add_up_and_come_near_the_exact_ones_within_their_error() -> None:
    p = 8
    worth = random_worth(p)
    truth = exact(worth).value
    walks = random_walks(p, 400, seed=2)
    found = sampled(worth[number_of(walked_coalitions(walks))], walks)
    assert found.value.sum() == pytest.approx(worth[-1] - worth[0], abs=1e-10)
    assert (np.abs(found.value - truth) < 4 * found.error).all()
    assert found.error.max() < 0.1
    few = random_walks(p, 4, seed=2)
    assert sampled(worth[number_of(walked_coalitions(few))], few).error.max() > found.error.max()


def test_joined_parts_add_up_to_the_whole_and_keep_equals_and_nothings() -> None:
    parts = joined(np.array([1.0, 1.0, -0.5, 0.0]), 3.0)
    assert parts.sum() == pytest.approx(3.0)
    assert parts[0] == parts[1] > 1
    assert parts[3] == 0
    assert joined(np.zeros(2), 1.0).tolist() == [0.5, 0.5]
    assert joined(np.zeros(0), 0.0).size == 0
