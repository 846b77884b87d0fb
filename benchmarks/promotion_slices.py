"""How often a challenger that is worse for one group is promoted: `python benchmarks/promotion_slices.py`.

Each trial is a new test period, its orders in groups of a country (one has 15 % of them), a weekday and a new
or known customer. Scores of two models share most of their noise. One challenger is as good as the champion
everywhere; the other loses average precision in the one group, and no more than the margin over all orders.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tsa_model.evaluation import Groups
from tsa_model.evaluation.metrics import Ranking, average_precision
from tsa_model.promotion.compare import judge
from tsa_model.promotion.slices import judge_slices
from tsa_model.settings.promotion import PromotionConfig

SHARES = (0.15, 0.25, 0.2, 0.2, 0.1, 0.1)
"""Orders of each country; the first is the group that is spoiled."""
SEPARATION = 2.2
"""Distance of the frauds' mean score from that of genuine orders, in standard deviations."""
FEWEST = 20


class World(NamedTuple):
    """What all trials have in common."""

    orders: int
    fraud_rate: float
    shared: float
    """Correlation of the two models' scores within a class."""
    separation: float
    """Of the challenger's frauds in the spoiled group."""


class Outcome(NamedTuple):
    """One trial."""

    by_slices: bool
    """Refused for some group."""
    named: bool
    """Refused for the spoiled group."""
    by_all: bool
    """Refused for a figure of all orders."""


def separation_for(loss: float, fraud_rate: float) -> float:
    """The separation that costs so much average precision, by bisection on a million orders."""
    generator = np.random.default_rng(0)
    label = (generator.random(1_000_000) < fraud_rate).astype(np.int64)
    noise = generator.normal(size=label.size)

    def precision(separation: float) -> float:
        return float(average_precision(*Ranking(noise + separation * label, label).counts()))

    wanted, low, high = precision(SEPARATION) - loss, 0.0, SEPARATION
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if precision(middle) < wanted else (low, middle)
    return (low + high) / 2


def trial(world: World, resamples: int, seed: int) -> Outcome:
    """Draw a test period and judge the challenger."""
    generator = np.random.default_rng(seed)
    label = (generator.random(world.orders) < world.fraud_rate).astype(np.int64)
    country = generator.choice(len(SHARES), world.orders, p=SHARES)
    slices = [
        Groups("country", tuple("ABCDEF"), country),
        Groups("weekday", tuple("MTWtFSs"), generator.integers(0, 7, world.orders)),
        Groups("new_customer", ("new", "known"), (generator.random(world.orders) < 0.7).astype(np.int64)),
    ]
    common = np.sqrt(world.shared) * generator.normal(size=world.orders)

    def score(separation: NDArray[np.float64] | float) -> NDArray[np.float64]:
        own = np.sqrt(1 - world.shared) * generator.normal(size=world.orders)
        return common + own + separation * label

    champion = score(SEPARATION)
    challenger = score(np.where(country == 0, world.separation, SEPARATION))
    config = PromotionConfig(resamples=resamples, seed=seed)
    found = judge_slices(label, challenger, champion, slices, config, FEWEST)
    figures = judge(label, challenger, champion, config)
    return Outcome(
        by_slices=not all(one.passed for one in found),
        named=any(one.title == "country A" and not one.passed for one in found),
        by_all=not all(one.passed for one in figures.values()),
    )


def refused(world: World, trials: int, resamples: int, first_seed: int = 0) -> dict[str, float]:
    """Share of trials with each outcome, and with any."""
    outcomes = [trial(world, resamples, first_seed + number) for number in range(trials)]
    shares = {name: sum(getattr(one, name) for one in outcomes) / trials for name in Outcome._fields}
    return shares | {"refused": sum(one.by_slices or one.by_all for one in outcomes) / trials}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--orders", type=int, default=10_000)
    parser.add_argument("--fraud-rate", type=float, default=0.1)
    parser.add_argument("--shared", type=float, default=0.95, help="correlation of the two models' scores")
    parser.add_argument("--loss", type=float, default=0.05, help="average precision lost in the group")
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--case", choices=("equal", "worse", "both"), default="both")
    options = parser.parse_args(arguments)
    spoiled = separation_for(options.loss, options.fraud_rate)
    print("challenger        refused  by a slice  by the spoiled group  by all orders")
    cases = {"equal": ("equal", SEPARATION), "worse": (f"{options.loss:g} worse in 15 %", spoiled)}
    for name, separation in (one for case, one in cases.items() if options.case in (case, "both")):
        world = World(options.orders, options.fraud_rate, options.shared, separation)
        found = refused(world, options.trials, options.resamples)
        print(
            f"{name:16}  {found['refused']:7.1%}  {found['by_slices']:10.1%}  {found['named']:20.1%}  "
            f"{found['by_all']:13.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
