"""Score challenger and champion on the same orders and say which may be in use."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsa_model import progress
from tsa_model.evaluation.intervals import Interval
from tsa_model.evaluation.metrics import Ranking
from tsa_model.promotion.bootstrap import FIGURES, paired_differences
from tsa_model.promotion.comparison import Check, Comparison, ModelIdentity, PairedDifference
from tsa_model.promotion.proofs import check_evidence
from tsa_model.scoring.model import ScoringModel
from tsa_model.scoring.rows import score_rows
from tsa_model.sequences import SequenceStore
from tsa_model.settings.promotion import PromotionConfig


@dataclass(frozen=True)
class _Scored:
    """N orders with the scores of one model."""

    order_id: NDArray[Any]
    label: NDArray[np.int64]
    score: NDArray[np.float32]


def compare_models(
    challenger_dir: str | Path,
    champion_dir: str | Path | None,
    events: Any,
    verdict_path: str | Path,
    contract_paths: Sequence[str | Path],
    config: PromotionConfig,
    scratch_dir: str | Path | None = None,
) -> Comparison:
    """Compare a new model with the one in use, on the labelled orders of the new one's test period.

    Each model sees the orders through its own vocabulary, scaler and sequence length, as it would in use.

    Args:
        challenger_dir: model folder of the new model (`scores/model` of a run).
        champion_dir: model folder of the one in use; None = there is none.
        events: raw orders, with those before the period for the histories; see `SequenceStore.build`.
        verdict_path: the gate's verdict on the challenger.
        contract_paths: results of the contracts of the challenger's data.
        config: margins and bootstrap.
        scratch_dir: where the sequences of the orders are built meanwhile; None = the system's place.

    Raises:
        ValueError: a model folder is not whole, the events do not fit a model, the champion was trained on
            orders of the period, or these are of one class.
    """
    challenger = ScoringModel.load(challenger_dir)
    checks = check_evidence(challenger, verdict_path, contract_paths)
    identity = ModelIdentity.of(challenger)
    if champion_dir is None:
        return Comparison(challenger=identity, champion=None, checks=tuple(checks))
    champion = ScoringModel.load(champion_dir)
    period = challenger.dataset.split.window("test")
    seen_until = champion.dataset.split.vali_end
    if seen_until > period[0]:
        raise ValueError(
            f"the champion was trained and selected on orders until {seen_until}, the comparison begins at"
            f" {period[0]}: it has seen the answers"
        )
    new = _score(challenger, events, None, scratch_dir)
    old = _score(champion, events, new.order_id, scratch_dir)
    if not np.array_equal(new.label, old.label):
        raise ValueError("challenger and champion read different labels from the same orders")
    figures = _differences(new, old, config)
    return Comparison(
        challenger=identity,
        champion=ModelIdentity.of(champion),
        period=period,
        rows=new.label.size,
        frauds=int(new.label.sum()),
        figures=figures,
        checks=(*checks, *(_check(name, one, config) for name, one in figures.items())),
    )


def _score(
    model: ScoringModel, events: Any, order_id: NDArray[Any] | None, scratch_dir: str | Path | None
) -> _Scored:
    """Score the orders of these ids; None = those of the model's own test period."""
    with tempfile.TemporaryDirectory(dir=scratch_dir, prefix="compare-") as scratch:
        store = SequenceStore.build(
            events, model.dataset, Path(scratch) / "store", preprocessing=model.preprocessing_path
        )
        rows = store.targets("test").astype(np.int64) if order_id is None else store.rows_of(order_id)
        if not rows.size:
            start, end = model.dataset.split.window("test")
            raise ValueError(f"the events have no labelled order from {start} to {end} to compare on")

        def show(done: int, total: int) -> None:
            progress.report(done, total, "order", "challenger" if order_id is None else "champion")

        scored = score_rows(store, model.session, rows, show)
        return _Scored(store.ids_of(rows), store.labels_of(rows), scored.score)


def _differences(new: _Scored, old: _Scored, config: PromotionConfig) -> dict[str, PairedDifference]:
    intervals = paired_differences(
        new.label, new.score, old.score, config.confidence, config.resamples, config.seed
    )
    counts = [Ranking(one.score, one.label).counts() for one in (new, old)]
    margins = {"auc": config.auc_margin, "average_precision": config.average_precision_margin}
    return {
        name: _difference([figure(*one) for one in counts], intervals[name], margins[name])
        for name, figure in FIGURES.items()
    }


def _difference(values: list[float], interval: Interval, margin: float) -> PairedDifference:
    return PairedDifference(
        challenger=values[0],
        champion=values[1],
        difference=interval.value,
        low=interval.low,
        high=interval.high,
        margin=margin,
    )


def _check(name: str, one: PairedDifference, config: PromotionConfig) -> Check:
    reason = (
        f"{one.challenger:.4f} against {one.champion:.4f}, difference {one.difference:+.4f}"
        f" [{one.low:+.4f}, {one.high:+.4f}] at {config.confidence:.0%}; at most {one.margin:g} may be lost"
    )
    return Check(name=name, passed=one.passed, reason=reason)
