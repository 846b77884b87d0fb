"""How often a worse challenger is promoted, and a better one kept out: `python benchmarks/promotion.py`.

Scores of two models are drawn that share most of their noise, as models of one data set do: normal, shifted
for frauds so that the areas under the ROC curve are the wanted ones. Each trial is a new test period.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tsa_model.promotion.compare import judge
from tsa_model.settings.promotion import PromotionConfig


class Case(NamedTuple):
    """Two models and a test period."""

    frauds: int
    challenger: float
    """Area under its ROC curve."""
    champion: float


WORSE = tuple(Case(frauds, 0.75, 0.90) for frauds in (1, 2, 3, 5, 10, 20))
SLIGHTLY_WORSE = tuple(Case(frauds, 0.87, 0.90) for frauds in (5, 10, 20, 50))
BETTER = (Case(200, 0.93, 0.90), Case(200, 0.90, 0.90))


def draw(
    case: Case, genuine: int, shared: float, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """One test period.

    Args:
        case: the two models.
        genuine: genuine orders.
        shared: correlation of the two scores within a class.
        generator: of the noise.

    Returns:
        Label, the challenger's score and the champion's, each [frauds + genuine].
    """
    from scipy.stats import norm

    label = np.repeat([1, 0], [case.frauds, genuine])
    common = np.sqrt(shared) * generator.normal(size=label.size)
    scores = [
        common + np.sqrt(1 - shared) * generator.normal(size=label.size) + label * np.sqrt(2) * norm.ppf(area)
        for area in (case.challenger, case.champion)
    ]
    return label, scores[0], scores[1]


def promoted_share(
    case: Case, trials: int, genuine: int = 2000, shared: float = 0.8, resamples: int = 200
) -> float:
    """Share of trials in which the challenger holds both margins."""
    promoted = 0
    generator = np.random.default_rng(case.frauds)
    for trial in range(trials):
        config = PromotionConfig(resamples=resamples, seed=trial)
        figures = judge(*draw(case, genuine, shared, generator), config)
        promoted += all(one.passed for one in figures.values())
    return promoted / trials


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--genuine", type=int, default=2000, help="genuine orders of a test period")
    parser.add_argument("--shared", type=float, default=0.8, help="correlation of the two models' scores")
    parser.add_argument("--resamples", type=int, default=200)
    options = parser.parse_args(arguments)
    print("frauds  challenger  champion  promoted")
    for case in (*WORSE, *SLIGHTLY_WORSE, *BETTER):
        share = promoted_share(case, options.trials, options.genuine, options.shared, options.resamples)
        print(f"{case.frauds:6}  {case.challenger:10.2f}  {case.champion:8.2f}  {share:8.1%}", flush=True)


if __name__ == "__main__":
    main()
