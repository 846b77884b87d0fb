"""What a period's figures will be, estimated before its labels are known.

Calibrated probabilities say how many orders of each score are fraud, and so what every figure will be, as
far as they are right. Three things keep them from it, and the interval holds all three:

- labels are drawn: of orders with probability p a share p is fraud on average only;
- the calibrator was fitted on finite data;
- times differ: fraud comes in waves, and a calibration that was exact in one week is not in the next.

The last two are measured where labels are known (`corrections`): an estimate draws a correction of the
probabilities as it differed between labelled blocks of the same length, then labels, and takes every
figure of them. A change that no labelled block shows, such as a new kind of fraud with low scores, is in no
estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tsa_model.evaluation.intervals import Interval
from tsa_model.monitoring.corrections import Expectation, Odds
from tsa_model.monitoring.resampling import Decisions, interval

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class SortedOrders:
    """A period's orders, highest score first; no label of them is used."""

    score: FloatArray
    probability: FloatArray
    """[N] calibrated."""
    amount: FloatArray | None
    """[N] ≥ 0; None = not known."""

    @classmethod
    def of(cls, score: FloatArray, probability: FloatArray, amount: FloatArray | None) -> SortedOrders:
        """Sort them; all [N]."""
        by_score = np.argsort(-score, kind="stable")
        return cls(score[by_score], probability[by_score], None if amount is None else amount[by_score])


def estimate(
    orders: SortedOrders,
    odds: Odds,
    expected: Expectation,
    decisions: Decisions,
    n_draws: int,
    generator: np.random.Generator,
) -> dict[str, Interval]:
    """Every figure of a period with the interval of its draws; one without meaning is left out.

    Args:
        orders: of the period.
        odds: places the probabilities.
        expected: how the period's correction is distributed.
        decisions: threshold and rate of alerts.
        n_draws: of correction and labels.
        generator: of the draws.
    """
    if not orders.score.size:
        return {}
    n_alerts = int((orders.score >= decisions.threshold).sum())
    falling = -orders.score
    tie_end = np.searchsorted(falling, falling, side="right")
    tie_start = np.searchsorted(falling, falling, side="left")
    taken = _Taken(n_alerts, decisions.rate, tie_start, tie_end, orders.amount)
    x = odds(orders.probability).astype(np.float32)
    drawn: list[dict[str, float]] = []
    for correction in expected.draw(n_draws, generator):
        chance = odds.corrected(x, correction)
        frauds = np.flatnonzero(generator.random(chance.size, np.float32) < chance)
        drawn.append(taken.figures(frauds))
    names = dict.fromkeys(name for one in drawn for name in one)
    samples = {name: np.array([one[name] for one in drawn if name in one]) for name in names}
    return {name: interval(float(np.median(values)), [values]) for name, values in samples.items()}


@dataclass(frozen=True)
class _Taken:
    """What figures of drawn labels need, once for all draws."""

    n_alerts: int
    rate: float
    tie_start: NDArray[np.intp]
    """[N] first place with the same score."""
    tie_end: NDArray[np.intp]
    """[N] place after the last one with the same score."""
    amount: FloatArray | None

    def figures(self, frauds: NDArray[np.intp]) -> dict[str, float]:
        """Figures where the orders at these ascending places are fraud and all others genuine."""
        n_orders, n_frauds = self.tie_end.size, frauds.size
        n_genuine = n_orders - n_frauds
        hits = int(np.searchsorted(frauds, self.n_alerts))
        found = {"frauds": float(n_frauds), "fraud_rate": n_frauds / n_orders}
        found |= self._amounts(frauds, hits)
        if self.n_alerts:
            found["precision"] = hits / self.n_alerts
        wanted = self.rate * n_orders
        caught = float(np.searchsorted(frauds, int(wanted)))
        caught += (wanted - int(wanted)) * float(int(wanted) in frauds[int(caught) : int(caught) + 1])
        found["precision_at_rate"] = caught / wanted
        if not n_frauds:
            return found
        ends = self.tie_end[frauds]
        at_or_above = np.searchsorted(frauds, ends)
        found["average_precision"] = float((at_or_above / ends).mean())
        found["recall"], found["recall_at_rate"] = hits / n_frauds, caught / n_frauds
        if n_genuine:
            # Mid-ranks from below; the sum over frauds is that of Mann and Whitney.
            rank = n_orders - 0.5 * (self.tie_start[frauds] + ends - 1)
            above = float(rank.sum()) - n_frauds * (n_frauds + 1) / 2
            found["auc"] = above / n_frauds / n_genuine
        return found

    def _amounts(self, frauds: NDArray[np.intp], hits: int) -> dict[str, float]:
        if self.amount is None:
            return {}
        values = self.amount[frauds]
        return {"amount_saved": float(values[:hits].sum()), "amount_lost": float(values[hits:].sum())}
