"""Does the weighted interval hold the truth where frauds were stopped? `python benchmarks/stopped.py`.

A policy stops about half of the frauds of simulated orders, the conspicuous ones most often, and nobody
learns the labels of stopped orders. A fixed model scores the others. The truth is its average precision over
all orders of all trials, with every label. Each trial asks whether the 95 % interval of the weighted figure
holds the truth, and whether that of the plain figure does.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsa_model.evaluation import Interval, evaluate
from tsa_model.evaluation.metrics import Ranking, average_precision
from tsa_model.sequences.features.stopped import passing_weights
from tsa_model.settings.simulation import SimulationConfig, StoppingPolicy
from tsa_model.settings.stopping import Stopping
from tsa_model.simulation import simulate_orders_and_patterns
from tsa_model.simulation.simulator import is_fraud
from tsa_model.simulation.stopping import STOP_PROBABILITY, STOPPED, suspicion

STOPPING = Stopping(probability=STOP_PROBABILITY, decision=STOPPED)


class Trial(NamedTuple):
    """One simulation."""

    score: NDArray[np.float64]
    truth: NDArray[np.bool_]
    """Every order's label, also those that nobody learns."""
    stopped_frauds: float
    plain: Interval
    weighted: Interval


class Coverage(NamedTuple):
    """What the trials came to."""

    truth: float
    stopped_frauds: float
    plain: float
    """Share of trials in which the plain interval holds the truth."""
    weighted: float
    mean_plain: float
    mean_weighted: float


def score_orders(orders: pd.DataFrame) -> NDArray[np.float64]:
    """A model that knows more than the policy's rules and is none of them."""
    own = 0.8 * orders["log_amount"] - 0.03 * orders["session_minutes"] + 0.6 * orders["is_night"]
    return suspicion(orders) + np.asarray(own, np.float64)


def trial(seed: int, orders: int, resamples: int) -> Trial:
    """Simulate, stop, score and evaluate."""
    policy = StoppingPolicy(seed=seed)
    config = SimulationConfig(orders=orders, seed=seed, unknown_label_days=0, stopping=policy)
    frame, pattern = simulate_orders_and_patterns(config)
    score, truth = score_orders(frame), is_fraud(pattern)
    known = frame["label"].notna().to_numpy()
    weight = passing_weights(frame[STOP_PROBABILITY].to_numpy(), STOPPING)
    label = frame["label"][known].to_numpy(np.int64)
    name = "average_precision"
    return Trial(
        score,
        truth,
        float(frame[STOPPED].to_numpy()[truth].mean()),
        evaluate(score[known], label, n_resamples=resamples, seed=seed)[name],
        evaluate(score[known], label, weight=weight[known], n_resamples=resamples, seed=seed)[name],
    )


def coverage(trials: int, orders: int, resamples: int) -> Coverage:
    """Run the trials."""
    found = [trial(seed, orders, resamples) for seed in range(trials)]
    score, label = (np.concatenate(columns) for columns in zip(*(one[:2] for one in found), strict=True))
    truth = float(average_precision(*Ranking(score, label.astype(np.int64)).counts()))

    def holds(one: Interval) -> bool:
        return one.low <= truth <= one.high

    return Coverage(
        truth,
        float(np.mean([one.stopped_frauds for one in found])),
        float(np.mean([holds(one.plain) for one in found])),
        float(np.mean([holds(one.weighted) for one in found])),
        float(np.mean([one.plain.value for one in found])),
        float(np.mean([one.weighted.value for one in found])),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what the intervals hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--resamples", type=int, default=200)
    options = parser.parse_args(arguments)
    found = coverage(options.trials, options.orders, options.resamples)
    print(f"{options.trials} trials, {found.stopped_frauds:.0%} of the frauds stopped, AP {found.truth:.4f}")
    print(f"plain     mean {found.mean_plain:.4f}, its interval holds the truth in {found.plain:.0%}")
    print(f"weighted  mean {found.mean_weighted:.4f}, its interval holds the truth in {found.weighted:.0%}")


if __name__ == "__main__":
    main()
