"""What the reference computes for some orders in float64, and which float32 scores that allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from tsa_model.batch import Batch, rows_of
from tsa_model.equivalence.evidence.networks import REFERENCE_ROWS, outputs
from tsa_model.export.other_routing import OtherRoutings
from tsa_model.export.tolerances import ABSOLUTE, RELATIVE, ROUNDING_FACTOR, SCORE_TOLERANCE
from tsa_model.network.checkpoint import load_model, read_description
from tsa_model.network.networks import Network

SEED = 0
"""Of the nudged networks that tell how far rounding takes an order."""
ULPS = 4.0
"""Rounding of a score itself, in units in its last place: softmax is a few float32 operations."""


class Allowed(NamedTuple):
    """The scores that a float32 computation may give, [B] each."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def holds(self, score: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which of [B] scores lie inside; NaN does not."""
        return (score >= self.low) & (score <= self.high)


def reference_of(weights_dir: Path, weights_sha256: str) -> Network:
    """The reference in float64 over trained weights, as it evaluates deterministically.

    Raises:
        ValueError: the weights are not those with this digest.
    """
    found = read_description(weights_dir).weights_sha256
    if found != weights_sha256:
        raise ValueError(
            f"{weights_dir} holds the weights {found}, the exported model was made from {weights_sha256}: "
            "export the model again"
        )
    network = load_model(weights_dir, "reference").twin("reference", moe_eval="deterministic")
    return network.double().eval()


def logits_of(reference: Network, batch: Batch) -> NDArray[np.float64]:
    """The reference's logits [B, 2], in float64."""
    return outputs(reference, batch, REFERENCE_ROWS)["logits"].numpy()


def allowed_scores(logits: NDArray[Any]) -> Allowed:
    """Scores whose logits are within the tolerance of the export's parity check.

    The same error of the logits moves a score near 0 or 1 far less than one near 1/2, so the score's own
    tolerance alone would let any score below it be rounded to 0.

    Args:
        logits: [B, 2], the truth.
    """
    logits = logits.astype(np.float64)
    distance = logits[:, 1] - logits[:, 0]
    error = (ABSOLUTE + RELATIVE * np.abs(logits)).sum(axis=1)
    score = expit(distance)
    rounding = ULPS * float(np.finfo(np.float32).eps) * score
    return Allowed(
        np.maximum(expit(distance - error), score - SCORE_TOLERANCE) - rounding,
        np.minimum(expit(distance + error), score + SCORE_TOLERANCE) + rounding,
    )


def excused_scores(
    reference: Network, batch: Batch, score: NDArray[np.float32], wrong: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which of the wrong scores rounding explains as the export's parity check does, [B].

    That is the result of another routing, where a decision is so close that rounding can turn it, or an error
    that float32 networks of the same routing have themselves.
    """
    excused, routings = np.zeros(len(score), bool), OtherRoutings(reference, SEED)
    for place in np.flatnonzero(wrong).tolist():
        found = score[place : place + 1]
        for routing in routings(rows_of(batch, slice(place, place + 1))):
            error = abs(float(found[0]) - float(routing.outputs["score"][0]))
            excused[place] = bool(allowed_scores(routing.outputs["logits"]).holds(found)[0]) or (
                error <= ROUNDING_FACTOR * routing.own_error["score"]
            )
            if excused[place]:
                break
    return excused
