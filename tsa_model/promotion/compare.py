"""Score challenger and champion on the same orders and say which may be in use."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsa_model import progress
from tsa_model.evaluation import Groups, slice_orders
from tsa_model.evaluation.metrics import Ranking, missing_class
from tsa_model.promotion.bootstrap import FIGURES, TOO_FEW, paired_differences
from tsa_model.promotion.comparison import (
    Comparison,
    Condition,
    ModelIdentity,
    PairedDifference,
    SliceDifference,
)
from tsa_model.promotion.proofs import read_evidence
from tsa_model.promotion.slices import judge_slices, slice_checks
from tsa_model.scoring.model import ScoringModel
from tsa_model.scoring.rows import score_rows
from tsa_model.sealed import sealed
from tsa_model.sequences import SequenceStore
from tsa_model.settings.dataset import DatasetDescription
from tsa_model.settings.promotion import PromotionConfig

CANNOT_COMPARE = "comparison"
"""Name of the check that fails where the test period has one class only."""


@dataclass(frozen=True)
class _Scored:
    """N orders with the scores of one model."""

    order_id: NDArray[Any]
    label: NDArray[np.int64]
    score: NDArray[np.float32] | None
    """None: the orders were not scored, because nothing can be ranked or only labels were asked for."""
    slices: list[Groups] = field(default_factory=list)
    """Of the orders, where they were asked for."""


def compare_models(
    challenger_dir: str | Path,
    champion_dir: str | Path | None,
    events: Any,
    verdict_path: str | Path,
    contract_paths: Sequence[str | Path],
    config: PromotionConfig,
    scratch_dir: str | Path | None = None,
    test_labels: NDArray[Any] | None = None,
    scores_sha256: str | None = None,
    dataset: DatasetDescription | None = None,
) -> Comparison:
    """Compare a new model with the one in use, on the labelled orders of the new one's test period.

    Each model sees the orders through its own vocabulary, scaler and sequence length, as it would in use.
    Orders of one class rank no model: the check "comparison" fails then, also for a first champion, of which
    nobody could say how good it is.

    Args:
        challenger_dir: model folder of the new model (`scores/model` of a run).
        champion_dir: model folder of the one in use; None = there is none.
        events: raw orders, with those before the period for the histories; see `SequenceStore.build`.
        verdict_path: the gate's verdict on the challenger.
        contract_paths: results of the contracts of the challenger's data.
        config: margins and bootstrap.
        scratch_dir: where the sequences of the orders are built meanwhile; None = the system's place.
        test_labels: labels of the challenger's test period, where they were read already; without a champion
            they are all that is needed of the orders. None = read from `events`.
        scores_sha256: the seal of the challenger's score manifest, which the contract of the scores must be
            about; None = the scores are not given.
        dataset: the run's description of the orders, whose slices are held; None = the challenger's own,
            which has the built-in slices.

    Raises:
        ValueError: a model folder is not whole, the events do not fit a model, or the champion was trained on
            orders of the period.
    """
    challenger = ScoringModel.load(challenger_dir)
    champion = None if champion_dir is None else ScoringModel.load(champion_dir)
    evidence = read_evidence(challenger, verdict_path, contract_paths, scores_sha256)
    checks = evidence.checks
    period = challenger.dataset.split.window("test")
    figures: dict[str, PairedDifference] = {}
    slices: tuple[SliceDifference, ...] = ()
    described = challenger.dataset if dataset is None else dataset
    if champion is not None:
        check_unseen(champion.dataset, challenger.dataset)
    if champion is None and test_labels is not None:
        labels = np.asarray(test_labels)
    else:
        sliced = described if champion is not None and config.hold_slices else None
        new = _score(challenger, events, None, scratch_dir, label_only=champion is None, sliced=sliced)
        labels = new.label
    if lacking := missing_class(labels.size, int(labels.sum())):
        reason = f"cannot compare: {lacking} test labels"
        checks.append(Condition(name=CANNOT_COMPARE, passed=False, reason=reason))
    elif champion is not None:
        assert new.score is not None
        try:
            old = _score(champion, events, new.order_id, scratch_dir)
        except ValueError as error:
            raise ValueError(f"the champion {champion_dir} cannot read the orders: {error}") from error
        assert old.score is not None
        if not np.array_equal(new.label, old.label):
            raise ValueError("challenger and champion read different labels from the same orders")
        figures = judge(labels, new.score, old.score, config)
        checks += [_check(name, one, labels, config) for name, one in figures.items()]
        fewest = described.slices.fewest_frauds
        slices = judge_slices(labels, new.score, old.score, new.slices, config, fewest)
        checks += slice_checks(slices) if slices else []
    return sealed(
        Comparison(
            challenger=ModelIdentity.of(challenger),
            champion=None if champion is None else ModelIdentity.of(champion),
            evidence=evidence.digests,
            period=period,
            rows=labels.size,
            frauds=int(labels.sum()),
            figures=figures,
            slices=slices,
            checks=tuple(checks),
        )
    )


def judge(
    label: ArrayLike, challenger: ArrayLike, champion: ArrayLike, config: PromotionConfig
) -> dict[str, PairedDifference]:
    """Every figure of two models on the same orders; the challenger may be promoted when all have passed.

    Args:
        label: [N] 0 or 1, both present.
        challenger: [N] its scores.
        champion: [N] its scores.
        config: margins and bootstrap.
    """
    intervals = paired_differences(
        label, challenger, champion, config.confidence, config.resamples, config.seed
    )
    counts = [Ranking(score, label).counts() for score in (challenger, champion)]
    margins = {"auc": config.auc_margin, "average_precision": config.average_precision_margin}
    found = {}
    for name, figure in FIGURES.items():
        new, old = (float(figure(*one)) for one in counts)
        one = intervals[name]
        found[name] = PairedDifference(
            challenger=new,
            champion=old,
            difference=one.value,
            low=one.low,
            high=one.high,
            margin=margins[name],
        )
    return found


def check_unseen(champion: DatasetDescription, challenger: DatasetDescription) -> None:
    """Refuse a champion that was trained on orders of the period both will be compared on.

    Raises:
        ValueError: it was.
    """
    seen_until, start = champion.split.vali_end, challenger.split.test_start
    if seen_until > start:
        raise ValueError(
            f"the champion was trained and selected on orders until {seen_until}, the comparison begins at"
            f" {start}: it has seen the answers"
        )


def _score(
    model: ScoringModel,
    events: Any,
    order_id: NDArray[Any] | None,
    scratch_dir: str | Path | None,
    label_only: bool = False,
    sliced: DatasetDescription | None = None,
) -> _Scored:
    """Score the orders of these ids; None = those of the model's own test period.

    Nothing is scored where that period has one class, or with `label_only`.
    """
    with tempfile.TemporaryDirectory(dir=scratch_dir, prefix="compare-") as scratch:
        store = SequenceStore.build(
            events, model.dataset, Path(scratch) / "store", preprocessing=model.preprocessing_path
        )
        rows = store.targets("test").astype(np.int64) if order_id is None else store.rows_of(order_id)
        if not rows.size:
            start, end = model.dataset.split.window("test")
            raise ValueError(f"the events have no labelled order from {start} to {end} to compare on")
        ids, labels = store.ids_of(rows), store.labels_of(rows)
        if label_only or missing_class(labels.size, int(labels.sum())):
            return _Scored(ids, labels, None)

        def show(done: int, total: int) -> None:
            progress.report(done, total, "order", "challenger" if order_id is None else "champion")

        slices = [] if sliced is None else slice_orders(store, rows, sliced, events)
        return _Scored(ids, labels, score_rows(store, model.session, rows, show).score, slices)


def _check(name: str, one: PairedDifference, label: NDArray[Any], config: PromotionConfig) -> Condition:
    reason = (
        f"{one.challenger:.4f} against {one.champion:.4f}, difference {one.difference:+.4f}"
        f" [{one.low:+.4f}, {one.high:+.4f}] at {config.confidence:.0%}; at most {one.margin:g} may be lost"
    )
    frauds = int(label.sum())
    for count, word in ((frauds, "fraud"), (label.size - frauds, "genuine order")):
        if count < TOO_FEW:
            reason += f"; {count} {word}{'' if count == 1 else 's'}: too few to compare"
    return Condition(name=name, passed=one.passed, reason=reason)
