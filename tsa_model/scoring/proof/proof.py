"""The whole proof of a folder of score files."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tsa_model.equivalence.evidence.effort import LARGE_NETWORK, effort_for
from tsa_model.scoring.files import METRICS_FILE, MODEL_FOLDER
from tsa_model.scoring.model import CALIBRATOR_FILE, PERCENTILE_FILE, ScoringModel
from tsa_model.scoring.proof.calibrated import (
    Curve,
    check_calibrated,
    check_fitted,
    percentile_curve,
    probability_curve,
)
from tsa_model.scoring.proof.figures import check_figures, read_metrics
from tsa_model.scoring.proof.own_lines import Selection, period_selection, read_own_lines
from tsa_model.scoring.proof.raw_orders import RawOrders
from tsa_model.scoring.proof.recomputing import Sample, rebuild_orders, recompute
from tsa_model.scoring.proof.sampling import Candidates, choose_orders, witnesses
from tsa_model.scoring.proof.score_files import FOLDERS, ScoreFile, check_written, read_score_files
from tsa_model.scoring.proof.statement import Statement, WrongScores, joined
from tsa_model.scoring.proof.truth import allowed_scores
from tsa_model.settings.scoring import ScoringConfig

if TYPE_CHECKING:
    from tsa_model.sequences import SequenceStore

ORDERS_SMALL, ORDERS_LARGE = 240, 60
"""Orders that are recomputed for a small and for a large network, unless the run says another number."""
MOST_SUSPECTS = 64
"""Orders that are recomputed in addition because scoring them again gave another score."""
WITNESSES_AT_ONCE = 64
FORGOTTEN_PARTS = 8
"""After so many calls, whose rows lie anywhere, the pages that were read of the store are let go."""


@dataclass(frozen=True)
class Proof:
    """What was claimed of some score files, and how it came out."""

    statements: list[Statement]
    recomputed: int
    """Orders that were rebuilt alone and computed with the reference."""
    other_routing: int
    """Of these, orders whose score only rounding explains: another routing; see `truth.excused_scores`."""
    worst: float
    """Largest difference of a recomputed score, those of another routing left out."""
    scored_again: int
    """Orders scored again among others: one of every call of the session."""

    def check(self, subject: str) -> None:
        """Refuse the scores when a statement does not hold.

        Raises:
            WrongScores: the message names the statements and some orders.
        """
        broken = [str(one) for one in self.statements if not one.holds]
        if broken:
            raise WrongScores(f"{subject} is not what the model computes:\n  " + "\n  ".join(broken))


@dataclass(frozen=True)
class Ingredients:
    """What the scores were made from."""

    model: ScoringModel
    raw: RawOrders
    selections: dict[str, Selection]
    """Period → the orders that its file must hold."""
    store: SequenceStore
    """Only to choose orders by the lengths of their histories, and to score some of them again."""
    orders: int | None = None
    """How many to recompute; None = by the size of the network."""
    calibration: str | None = None
    """Method of the calibrator, where the calibration period lies among the files; else None."""


def prove_scores(scores_dir: str | Path, made_from: Ingredients) -> Proof:
    """Hold finished score files against events and model.

    Args:
        scores_dir: the folder with `manifest.json`.
        made_from: events, model and settings.

    Raises:
        ValueError: the folder is not whole, or the model folder lacks the weights.
    """
    model, raw = made_from.model, made_from.raw
    if model.weights_dir is None:
        raise ValueError(
            f"{model.directory} holds no trained weights (network/), so its scores cannot be recomputed: "
            "export the model again"
        )
    manifest, files = read_score_files(Path(scores_dir), made_from.selections)
    statements = [statement for file in files for statement in check_written(manifest, file)]
    percentile, probability = _curves(model)
    for file in files:
        statements += check_calibrated(file, percentile, probability)
        if made_from.calibration is not None and file.period == "cali" and percentile is not None:
            statements += check_fitted(file, made_from.calibration, percentile, probability)
    seed = manifest.files[next(name for name in manifest.files if name.endswith(".parquet"))].sha256
    chosen, n_again = _choose(files, made_from, seed)
    sample = Sample.of(files, chosen)
    missing = made_from.store.manifest.quarantined
    own = read_own_lines(raw, files, made_from.selections, pa.array(sample.order_id), missing)
    statements += own.statements
    orders = rebuild_orders(raw, own.keys)
    sample = sample.only([order.order_id for order in orders])
    recomputed = recompute(model, orders, sample, percentile, probability)
    statements = joined([*statements, *recomputed.statements])
    return Proof(statements, len(orders), recomputed.other_routing, recomputed.worst, n_again)


def prove_run(
    scores_dir: str | Path,
    store: SequenceStore,
    events: Any,
    scoring: ScoringConfig,
    report: str | Path | None = None,
) -> Proof:
    """Hold what a run of the pipeline wrote against its validated events, its figures and its report too.

    Args:
        scores_dir: the folder with the score files of every period, figures and model folder.
        store: the store the scores were made from.
        events: the validated events.
        scoring: the run's settings.
        report: the model report, an HTML page; None = there is none to look at.

    Raises:
        ValueError: the folder is not whole, or the model folder lacks the weights.
    """
    folder = Path(scores_dir)
    model = ScoringModel.load(folder / MODEL_FOLDER)
    selections = {period: period_selection(model.dataset, period) for period in FOLDERS}
    raw = RawOrders(events, model.dataset)
    proof = prove_scores(
        folder,
        Ingredients(model, raw, selections, store, scoring.recomputed_orders, scoring.calibration),
    )
    files = [ScoreFile.read(folder / place, period) for period, place in FOLDERS.items()]
    figures = check_figures(
        read_metrics(folder / METRICS_FILE),
        None if report is None else Path(report).read_text(encoding="utf-8"),
        {file.period: file for file in files},
        scoring.alert_rate,
    )
    return replace(proof, statements=[*proof.statements, *figures])


def _curves(model: ScoringModel) -> tuple[Curve | None, Curve | None]:
    percentile, probability = (model.directory / name for name in (PERCENTILE_FILE, CALIBRATOR_FILE))
    return (
        percentile_curve(percentile) if percentile.is_file() else None,
        probability_curve(probability) if probability.is_file() else None,
    )


def _choose(files: list[ScoreFile], made_from: Ingredients, seed: str) -> tuple[list[NDArray[np.int64]], int]:
    """Places of the orders to recompute in each file, and how many were scored again to find suspects."""
    large = effort_for(made_from.model.config) == LARGE_NETWORK
    n = made_from.orders or (ORDERS_LARGE if large else ORDERS_SMALL)
    per_call = made_from.model.description.session.rows_per_call
    candidates = [
        Candidates.of(file, _lengths(made_from, file), made_from.model.config.seq_len, per_call)
        for file in files
    ]
    chosen, n_again = choose_orders(candidates, n, seed), 0
    for place, one in enumerate(candidates):
        again = witnesses(one, seed)
        n_again += len(again)
        suspects = again[_differs(made_from, one.file, again)][:MOST_SUSPECTS]
        chosen[place] = np.union1d(chosen[place], suspects)
    return chosen, n_again


def _known_rows(store: SequenceStore, file: ScoreFile) -> NDArray[np.int64] | None:
    """The store's rows of a file's orders; None where it does not have them all."""
    try:
        return store.rows_of(file.order_id)
    except ValueError:
        return None  # another statement says so


def _lengths(made_from: Ingredients, file: ScoreFile) -> NDArray[np.int16]:
    """Orders in the histories of a file's orders, the current one included, [N, histories]."""
    keys = made_from.store.keys[: 2 if made_from.model.config.sequences == "dual" else 1]
    rows = _known_rows(made_from.store, file)
    if rows is None:
        return np.ones((len(file), len(keys)), np.int16)
    lengths = made_from.store.history_lengths(rows)
    return np.column_stack([lengths[key] + 1 for key in keys]).astype(np.int16)


def _differs(made_from: Ingredients, file: ScoreFile, places: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which orders get another score when they are scored again among others."""
    rows = _known_rows(made_from.store, file)
    if rows is None:
        return np.zeros(len(places), bool)
    model, store = made_from.model, made_from.store

    def differs(part: NDArray[np.int64]) -> NDArray[np.bool_]:
        batch = store.arrays(rows[part], model.config.sequences)
        return ~allowed_scores(model.session.run(batch)["logits"]).holds(file.score[part])

    parts = [places[start : start + WITNESSES_AT_ONCE] for start in range(0, len(places), WITNESSES_AT_ONCE)]
    found: list[NDArray[np.bool_]] = []
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for first in range(0, len(parts), FORGOTTEN_PARTS):
            found += pool.map(differs, parts[first : first + FORGOTTEN_PARTS])
            store.forget_pages()
    return np.concatenate(found) if found else np.zeros(0, bool)
