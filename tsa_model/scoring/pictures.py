"""The pictures of the model report, each with its heading and caption."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsa_model.calibration import Calibrator, PriorCorrection
from tsa_model.evaluation import plots
from tsa_model.scoring.rows import ScoredRows
from tsa_model.scoring.table import ScoredOrders


@dataclass(frozen=True)
class ScoredPeriod:
    """A period's orders and the model's scores of them."""

    rows: ScoredRows
    orders: ScoredOrders

    @property
    def label(self) -> NDArray[np.int64]:
        """0 or 1, per order."""
        return self.orders.label


@dataclass(frozen=True)
class Picture:
    """A PNG and the words that go with it."""

    file: str
    heading: str
    caption: str
    png: bytes


def draw_pictures(
    periods: dict[str, ScoredPeriod],
    calibrator: Calibrator | None,
    prior: PriorCorrection | None,
    gate_threshold: float,
) -> list[Picture]:
    """Draw what the scored periods look like.

    Args:
        periods: "test" and "vali" are drawn.
        calibrator: None leaves the calibrated curve out.
        prior: undoes the downsampling of the training orders; None leaves that curve out.
        gate_threshold: where the dual network skips the card's history.
    """
    test, vali = periods["test"], periods["vali"]
    pictures = [
        Picture(
            "curves.png",
            "Ranking",
            "Test against validation: a gap between the curves is what later orders cost. Dashed: chance.",
            plots.curves({"vali": (vali.rows.score, vali.label), "test": (test.rows.score, test.label)}),
        ),
        Picture(
            "score_distribution.png",
            "Score distribution",
            "Raw scores of the test period by class; the counts' axis is logarithmic.",
            plots.score_distribution(test.rows.score, test.label),
        ),
    ]
    probabilities: dict[str, ArrayLike] = {"raw score": test.rows.score}
    if prior is not None and prior.prior != prior.sampled_prior:
        probabilities["corrected for downsampling"] = prior.probability(test.rows.score)
    if calibrator is not None:
        probabilities["calibrated"] = calibrator.probability(test.rows.score)
    pictures.append(
        Picture(
            "reliability.png",
            "Reliability",
            "The calibrator was fitted on the calibration period and is shown on the test period.",
            plots.reliability(probabilities, test.label),
        )
    )
    if test.rows.gate is not None:
        pictures.append(
            Picture(
                "gate_scores.png",
                "Gate scores",
                "How much the network listens to the card's history; left of the dashed line it is skipped.",
                plots.gate_scores(test.rows.gate, test.rows.real_orders[:, 1], test.label, gate_threshold),
            )
        )
    return pictures
