"""What the scores of a model were like when it was made: the measure of all later ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tsa_model.evaluation.intervals import Interval
from tsa_model.evaluation.stability import N_BINS, TrainingOrders
from tsa_model.export.background import ReasonsDescription
from tsa_model.export.description import OnnxDescription, read_onnx_folder
from tsa_model.export.file_names import DATASET_FILE, PREPROCESSING_FILE, REASONS_FILE, TRAINING_ORDERS_FILE
from tsa_model.monitoring.calendar import WEEK, days_of, rows_between, week_start
from tsa_model.monitoring.corrections import Correction, Odds
from tsa_model.monitoring.resampling import Decisions, Ranks, ranked_figures
from tsa_model.scoring.files import (
    METRICS_FILE,
    MODEL_FOLDER,
    PARQUET_FILE,
    ScoreManifest,
    check_scored_with,
    read_score_folder,
)
from tsa_model.sealed import read_document, read_json
from tsa_model.settings.dataset import DatasetDescription
from tsa_model.settings.monitoring import MonitoringConfig

FloatArray = NDArray[np.float64]
RATE_PREFIX = "alert_rate_"
"""Of the name of the alert threshold in the metrics of a run."""


@dataclass(frozen=True)
class PastScores:
    """N labelled orders of the reference in time order."""

    time_us: NDArray[np.int64]
    score: FloatArray
    probability: FloatArray
    """[N] calibrated; NaN where there was no calibrator."""
    label: NDArray[np.int8]

    @classmethod
    def read(cls, path: Path) -> PastScores:
        """Read the orders of a period."""
        table = pq.read_table(path, columns=["order_time", "score", "calibrated_probability", "label"])
        time = table["order_time"].cast("int64").to_numpy()
        in_order = np.argsort(time, kind="stable")
        probability = pc.fill_null(table["calibrated_probability"], np.nan)
        return cls(
            time[in_order],
            table["score"].to_numpy().astype(np.float64)[in_order],
            probability.to_numpy()[in_order],
            table["label"].to_numpy()[in_order],
        )


@dataclass(frozen=True)
class UsualDays:
    """A positive figure of the reference's days: its mean, and how far single days are from it."""

    mean: float
    spread: float
    """Standard deviation between days beyond what their counts explain, as a share of the mean."""
    deviation: float
    """Standard deviation between single orders."""


@dataclass(frozen=True)
class Reference:
    """The scores that a model's run left behind, opened and checked."""

    manifest: ScoreManifest
    description: OnnxDescription
    dataset: DatasetDescription
    model: Path
    """The model folder."""
    decisions: Decisions
    periods: dict[str, PastScores]
    baseline: dict[str, Interval]
    """Figures of the test period, or of the calibration period where that has one class only."""
    score_edges: FloatArray
    """[bins - 1] inner edges of equally full bins of scores."""
    score_counts: NDArray[np.int64]
    """[bins]"""
    odds: Odds | None
    """None without a calibrator."""
    alert_rate: UsualDays
    expected_fraud: UsualDays | None
    """Mean probability; None without a calibrator."""

    @classmethod
    def open(cls, folder: str | Path, config: MonitoringConfig) -> Reference:
        """Open the folder that `generate_scores` wrote, and check all of it.

        Raises:
            ValueError: it is no such folder, a file was changed, or no period has both classes.
        """
        folder = Path(folder)
        manifest = read_score_folder(folder)
        model = folder / MODEL_FOLDER
        if not (folder / METRICS_FILE).is_file() or not model.is_dir():
            raise ValueError(
                f"{folder} holds scores without a model: give the scores folder of a run (scores/)"
            )
        description = read_onnx_folder(model)
        check_scored_with(folder, manifest, model, description)
        periods = {name: PastScores.read(folder / name / PARQUET_FILE) for name in ("vali", "cali")}
        periods["test"] = PastScores.read(folder / PARQUET_FILE)
        threshold, rate = _threshold(folder / METRICS_FILE)
        dataset = read_document(model / DATASET_FILE, DatasetDescription, "a dataset description")
        if (model / REASONS_FILE).is_file():  # the description has what a model reads, not what reports show
            dataset = dataset.changed(amount=ReasonsDescription.load(model).amount)
        return cls.of(periods, threshold, rate, config, manifest, description, dataset, model)

    @classmethod
    def of(
        cls,
        periods: dict[str, PastScores],
        threshold: float,
        rate: float,
        config: MonitoringConfig,
        manifest: ScoreManifest,
        description: OnnxDescription,
        dataset: DatasetDescription,
        model: Path,
    ) -> Reference:
        """Take the measures of scored periods.

        Args:
            periods: `vali`, `cali` and `test`.
            threshold: of an alert.
            rate: share of orders that the threshold was chosen for.
            config: may name another share.
            manifest: of the scores.
            description: of the exported model.
            dataset: of its orders.
            model: its folder.

        Raises:
            ValueError: no period has both classes.
        """
        decisions = Decisions(threshold, config.alert_share or rate)
        later = [periods[name] for name in ("cali", "test")]
        score = np.concatenate([one.score for one in later])
        edges = np.unique(np.quantile(score, np.linspace(0, 1, N_BINS + 1)[1:-1]))
        probability = np.concatenate([one.probability for one in later])
        is_calibrated = bool(np.isfinite(probability).all())
        return cls(
            manifest=manifest,
            description=description,
            dataset=dataset,
            model=model,
            decisions=decisions,
            periods=periods,
            baseline=_baseline(periods, decisions, config),
            score_edges=edges,
            score_counts=np.bincount(np.searchsorted(edges, score, side="right"), minlength=edges.size + 1),
            odds=Odds.of(probability) if is_calibrated else None,
            alert_rate=_usual(later, lambda one: (one.score >= decisions.threshold).astype(np.float64)),
            expected_fraud=_usual(later, lambda one: one.probability) if is_calibrated else None,
        )

    @property
    def preprocessing(self) -> Path:
        """Vocabulary, scaler and defaults."""
        return self.model / PREPROCESSING_FILE

    @property
    def whole_ids(self) -> bool:
        """Whether the score files have order ids as numbers."""
        schema = pq.read_schema(self.model.parent / PARQUET_FILE)
        return bool(pa.types.is_integer(schema.field("order_id").type))

    @cached_property
    def training(self) -> TrainingOrders | None:
        """Histograms of the training orders; None in folders of former versions."""
        path = self.model / TRAINING_ORDERS_FILE
        return TrainingOrders.load(path) if path.is_file() else None

    def corrections(self, length: int) -> dict[int, Correction]:
        """First day → correction of each block of labelled orders.

        Args:
            length: days of a block: 7 = from Monday to Sunday, 1 = each day.
        """
        return (
            {}
            if self.odds is None
            else {
                day: self.odds.fit(past.probability[rows], past.label[rows])
                for past in self.periods.values()
                for day, rows in blocks(days_of(past.time_us), length)
            }
        )


def blocks(days: NDArray[np.int64], length: int) -> Iterator[tuple[int, slice]]:
    """First day and rows of each block of ascending days that has any."""
    if not days.size:
        return
    day = week_start(int(days[0])) if length == WEEK else int(days[0])
    while day <= days[-1]:
        rows = rows_between(days, day, day + length)
        if rows.stop > rows.start:
            yield day, rows
        day += length


def _threshold(path: Path) -> tuple[float, float]:
    """The alert threshold of a run, and the share of orders it was chosen for."""
    thresholds: dict[str, Any] = read_json(path, "the metrics of a run").get("thresholds", {})
    name = next((name for name in thresholds if name.startswith(RATE_PREFIX)), None)
    if name is None:
        raise ValueError(
            f"{path} states no threshold of alerts: a former version wrote it, run the stage again"
        )
    return float(thresholds[name]), float(name.removeprefix(RATE_PREFIX))


def _baseline(
    periods: dict[str, PastScores], decisions: Decisions, config: MonitoringConfig
) -> dict[str, Interval]:
    for name in ("test", "cali"):
        past = periods[name]
        if 0 < (past.label == 1).sum() < past.label.size:
            ranks = Ranks.of(past.score, past.label, decisions.threshold)
            generator = np.random.default_rng(config.seed)
            return ranked_figures(ranks, decisions.rate, config.resamples, generator)
    raise ValueError(
        "neither the test nor the calibration period of the reference has labels of both classes"
    )


def _usual(periods: list[PastScores], figure: Any) -> UsualDays:
    """Mean of a figure [N] of orders, and how its daily means differ."""
    sums, counts, own = [], [], []
    for past in periods:
        values = figure(past)
        for _, rows in blocks(days_of(past.time_us), 1):
            part = values[rows]
            sums.append(part.sum())
            counts.append(part.size)
            own.append(part.var() * part.size)
    total, orders = float(np.sum(sums)), int(np.sum(counts))
    mean = total / orders
    expected = np.array(counts) * mean
    if mean <= 0:
        return UsualDays(0.0, 0.0, 0.0)
    # Pearson's statistic beyond the sampling of orders, as a share of the mean.
    excess = (np.square(np.array(sums) - expected) - np.array(own)).sum() / np.square(expected).sum()
    deviation = float(np.sqrt(np.sum(own) / orders))
    return UsualDays(mean, float(np.sqrt(max(excess, 0.0))), deviation)
