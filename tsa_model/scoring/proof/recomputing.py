"""Sampled orders: rebuilt alone from the events, computed with the reference, compared with the files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tsa_model.scoring.model import ScoringModel
from tsa_model.scoring.proof.calibrated import CLOSE, Curve
from tsa_model.scoring.proof.plain_orders import PlainOrder, batch_of
from tsa_model.scoring.proof.raw_orders import RawOrders, TooManyRows
from tsa_model.scoring.proof.rebuilding import OwnKeys, rebuild, rebuild_wide
from tsa_model.scoring.proof.score_files import ScoreFile
from tsa_model.scoring.proof.statement import Statement, about_orders
from tsa_model.scoring.proof.truth import allowed_scores, excused_scores, logits_of, reference_of
from tsa_model.sequences.features.preprocessing import Preprocessing

FEWEST = 8
"""Of orders whose histories hold too many rows, every second one is left out while more are left."""


def rebuild_orders(raw: RawOrders, own: OwnKeys) -> list[PlainOrder]:
    """Rebuild orders; fewer where their histories hold more rows than are kept in memory.

    Raises:
        ValueError: those of very few orders hold too many rows.
    """
    if raw.description.layout == "wide":
        return rebuild_wide(raw, own.order_id)
    while True:
        try:
            return rebuild(raw, own)
        except TooManyRows:
            n = len(own.order_id) // 2
            if n < FEWEST:
                raise ValueError(
                    f"the histories of {2 * n} orders hold too many rows of the events to be rebuilt: "
                    "is a key shared by most orders?"
                ) from None
            # Every second one keeps all periods in the sample.
            half = pa.array(np.arange(0, len(own.order_id), 2))
            card = None if own.card is None else own.card.take(half)
            own = OwnKeys(own.order_id.take(half), own.customer.take(half), card)


@dataclass(frozen=True)
class Sample:
    """What the files say of the sampled orders, [n] each."""

    order_id: list[Any]
    score: NDArray[np.float32]
    percentile: NDArray[np.float64]
    probability: NDArray[np.float64]

    @classmethod
    def of(cls, files: list[ScoreFile], chosen: list[NDArray[np.int64]]) -> Sample:
        """The orders at these places of each file."""

        def column(name: str) -> NDArray[Any]:
            parts = []
            for file, places in zip(files, chosen, strict=True):
                values = getattr(file, name)
                parts.append(np.full(len(places), np.nan) if values is None else values[places])
            return np.concatenate(parts)

        ids: list[Any] = []
        for file, places in zip(files, chosen, strict=True):
            ids += file.order_id[places].tolist()
        return cls(ids, column("score").astype(np.float32), column("percentile"), column("probability"))

    def only(self, order_ids: list[Any]) -> Sample:
        """The orders that could be rebuilt, in this order."""
        place = {one: n for n, one in enumerate(self.order_id)}
        rows = [place[one] for one in order_ids]
        return Sample(order_ids, self.score[rows], self.percentile[rows], self.probability[rows])


@dataclass(frozen=True)
class Recomputed:
    """What recomputing showed."""

    statements: list[Statement]
    other_routing: int
    worst: float


def recompute(
    model: ScoringModel,
    orders: list[PlainOrder],
    sample: Sample,
    percentile: Curve | None,
    probability: Curve | None,
) -> Recomputed:
    """Compute rebuilt orders with the reference and compare what the files say of them."""
    if not orders:
        return Recomputed([Statement("some orders could be rebuilt", detail="none")], 0, 0.0)
    assert model.weights_dir is not None
    reference = reference_of(model.weights_dir, model.description.weights_sha256)
    fitted = Preprocessing.load(model.preprocessing_path)
    batch = batch_of(orders, fitted, model.dataset, model.config.sequences)
    logits = logits_of(reference, batch)
    allowed = allowed_scores(logits)
    truth = 1.0 / (1.0 + np.exp(logits[:, 0] - logits[:, 1]))
    wrong = ~allowed.holds(sample.score)
    turned = excused_scores(reference, batch, sample.score, wrong)
    distance = np.abs(sample.score - truth)
    statements = [
        about_orders(
            "sampled orders, each rebuilt alone from the events, have the reference's score",
            sample.order_id,
            wrong & ~turned,
            lambda place: f"the file has {sample.score[place]:.9g}, the reference gives {truth[place]:.9g}",
        )
    ]
    for name, found, curve in (
        ("percentile", sample.percentile, percentile),
        ("calibrated probability", sample.probability, probability),
    ):
        if curve is None:
            continue
        low, high = curve(allowed.low) - CLOSE, curve(allowed.high) + CLOSE
        statements.append(
            about_orders(
                f"sampled orders have the {name} of the reference's score",
                sample.order_id,
                ~((found >= low) & (found <= high)) & ~turned,
                lambda place, found=found, low=low, high=high: (
                    f"the file has {found[place]:.9g}, expected {low[place]:.9g} to {high[place]:.9g}"
                ),
            )
        )
    return Recomputed(statements, int(turned.sum()), float(distance[~turned].max(initial=0.0)))
