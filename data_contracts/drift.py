"""How the later periods differ from the training period: features, categories, histories, labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts import suites
from data_contracts.context import check_measures
from data_contracts.findings import Finding
from data_contracts.whole import MICROSECONDS, of_periods, quoted, time_column
from tsa_model.evaluation.stability import N_BINS, N_VALUES, TIMES_THE_NOISE, population_stability
from tsa_model.events.arrays import is_text
from tsa_model.events.casting import MISSING_TEXTS, cast_number
from tsa_model.sequences.features.preprocessing import middle_half
from tsa_model.settings.dataset import PERIODS, DatasetDescription

if TYPE_CHECKING:
    import duckdb

BLOCK_ROWS = 2**20
LATER = PERIODS[1:]
Bins = Callable[[np.ndarray], tuple[np.ndarray, float]]
"""From a period's values to the count of every bin, and the share of values unknown to training."""


def measure_features(
    events: Path, dataset: DatasetDescription
) -> tuple[list[dict[str, Any]], dict[str, dict[str, int]]]:
    """Compare every raw feature of every later period with the training period.

    Args:
        events: validated events.
        dataset: their description.

    Returns:
        One dictionary per feature and later period that has orders: feature, period, psi, noise (the PSI that
        chance gives), unknown_rate (0 for numbers), middle_half (share of the scaled range that the middle
        half of the training period's values covers; None for categories). And category → word → rows.
    """
    inside = _inside_periods(events, dataset)
    if not inside["train"].any():
        return [], {}
    measures: list[dict[str, Any]] = []
    counts: dict[str, dict[str, int]] = {}
    for name in dict.fromkeys((*dataset.raw_categorical, *dataset.raw_numerical)):
        values, words = _values(events, name, dataset)
        if words:
            rows = np.bincount(values, minlength=len(words) + 1)[1:]
            counts[name] = dict(zip(words, rows.tolist(), strict=True))
        train = values[inside["train"]]
        bins, spread = _bins_of(train, name, dataset)
        expected, _ = bins(train)
        for period in LATER:
            if not inside[period].any():
                continue
            observed, rate = bins(values[inside[period]])
            psi, noise = population_stability(expected, observed)
            measures.append(
                {
                    "feature": name,
                    "period": period,
                    "psi": psi,
                    "noise": noise,
                    "unknown_rate": rate,
                    "middle_half": spread,
                }
            )
    return measures, counts


def count_words(events: Path, name: str, dataset: DatasetDescription) -> dict[str, int]:
    """Word → rows of a category of validated events."""
    codes, words = _values(events, name, dataset)
    rows = np.bincount(codes, minlength=len(words) + 1)[1:]
    return dict(zip(words, rows.tolist(), strict=True))


def measure_periods(
    connection: duckdb.DuckDBPyConnection, dataset: DatasetDescription, summary: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Compare history lengths and label rates of every later period with the training period.

    Args:
        connection: to validated events, see `whole.connect`.
        dataset: their description.
        summary: orders and labels of every period, see `whole.summarise_periods`.

    Returns:
        One dictionary per later period that has orders: period, history_ratio (the lowest over the keys),
        label_ratio (≥ 1 whichever way the rate moved; 1 where chance explains the difference).
    """
    counts = {entry["period"]: entry for entry in summary}
    if not counts["train"]["orders"]:
        return []
    lengths = [_mean_history_lengths(connection, dataset, key) for key in _keys(dataset)]
    measures = []
    for period in LATER:
        if not counts[period]["orders"]:
            continue
        ratios = [mean[period] / mean["train"] if mean["train"] else 1.0 for mean in lengths]
        label_ratio = _label_ratio(counts["train"], counts[period])
        measures.append({"period": period, "history_ratio": min(ratios), "label_ratio": label_ratio})
    return measures


def check_drift(
    features: Sequence[dict[str, Any]], periods: Sequence[dict[str, Any]], dataset: DatasetDescription
) -> list[Finding]:
    """Hold the measures against the levels of the description.

    Args:
        features: see `measure_features`.
        periods: see `measure_periods`.
        dataset: its `drift` section has the levels.
    """
    import pandas as pd

    findings: list[Finding] = []
    levels = dataset.drift
    if features:
        frame = pd.DataFrame(features)
        frame["which"] = frame["feature"] + " in " + frame["period"]
        frame["psi"] = frame["psi"].where(frame["psi"] > TIMES_THE_NOISE * frame["noise"], 0.0)
        warn = suites.steady_features(levels.psi_warn, levels.unknown_warn)
        stop = suites.steady_features(levels.psi_stop, levels.unknown_stop)
        findings += check_measures(frame, warn, "which", "warn") + check_measures(frame, stop, "which")
    if periods:
        frame = pd.DataFrame(periods)
        warn = suites.steady_periods(levels.history_warn, levels.label_warn)
        stop = suites.steady_periods(levels.history_stop, levels.label_stop)
        findings += check_measures(frame, warn, "period", "warn") + check_measures(frame, stop, "period")
    return findings


def _keys(dataset: DatasetDescription) -> Iterator[str]:
    yield dataset.customer_id
    if dataset.card_id is not None:
        yield dataset.card_id


def _inside_periods(events: Path, dataset: DatasetDescription) -> dict[str, np.ndarray]:
    """Period → [rows] bool."""
    with pq.ParquetFile(events, pre_buffer=False) as file:
        inside = {period: np.empty(file.metadata.num_rows, dtype=bool) for period in PERIODS}
        n_read = 0
        for batch in file.iter_batches(columns=[dataset.order_time]):
            column = batch[dataset.order_time]
            time_us = column.cast(pa.int64()).to_numpy()
            for period in PERIODS:
                start, end = (int(m.timestamp()) * MICROSECONDS for m in dataset.split.window(period))
                inside[period][n_read : n_read + len(batch)] = (time_us >= start) & (time_us < end)
            n_read += len(batch)
    return inside


def _values(events: Path, name: str, dataset: DatasetDescription) -> tuple[np.ndarray, list[str]]:
    """A number as float64, NaN where there is none; a category as int32 codes, 0 where there is none.

    Returns:
        The values, and the words of codes 1, 2, …
    """
    is_number = name in dataset.raw_numerical
    text = is_text(pq.read_schema(events).field(name).type)
    number: dict[str, int] = {}
    n_read = 0
    with pq.ParquetFile(
        events, read_dictionary=[name] if text and not is_number else [], pre_buffer=False
    ) as file:
        values = np.empty(file.metadata.num_rows, np.float64 if is_number else np.int32)
        for batch in file.iter_batches(columns=[name]):
            part = values[n_read : n_read + len(batch)]
            n_read += len(batch)
            if is_number:  # wide rows hold their numbers as text
                read = cast_number(batch[name], dataset.csv.decimal)
                part[:] = read.values.to_numpy(zero_copy_only=False)
                continue
            column = batch[name]
            encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
            table = [number.setdefault(str(word), len(number) + 1) for word in encoded.dictionary.to_pylist()]
            part[:] = np.array([*table, 0], np.int32)[pc.fill_null(encoded.indices, -1).to_numpy()]
    return values, list(number)


def _bins_of(train: np.ndarray, name: str, dataset: DatasetDescription) -> tuple[Bins, float | None]:
    """Fit the bins of a feature: quantiles of a number, the most frequent values of a category.

    Returns:
        The bins, and a number's `middle_half`.
    """
    if name in dataset.raw_numerical:
        present = train[~np.isnan(train)]
        quantiles = np.linspace(0, 1, N_BINS + 1)[1:-1]
        edges: np.ndarray = np.empty(0)
        spread = None
        if len(present):
            low, high = float(present.min()), float(present.max())
            more = [0.25, 0.75, dataset.scale_quantile]
            found = np.quantile(present, [*quantiles, *more], overwrite_input=True)
            edges = np.unique(found[: len(quantiles)])
            spread = middle_half(low, high, *found[-3:])
        del present  # of tens of millions of events a copy is a hundred megabytes

        def count_numbers(values: np.ndarray) -> tuple[np.ndarray, float]:
            counts = np.zeros(len(edges) + 2, dtype=np.int64)  # missing numbers have a bin of their own
            for first in range(0, len(values), BLOCK_ROWS):
                part = values[first : first + BLOCK_ROWS]
                bins = np.searchsorted(edges, part, side="right")
                bins[np.isnan(part)] = len(edges) + 1
                counts += np.bincount(bins, minlength=len(counts))
            return counts, 0.0

        return count_numbers, spread
    frequency = np.bincount(train)
    ranked = np.argsort(-frequency, kind="stable")[:N_VALUES]

    def count_categories(values: np.ndarray) -> tuple[np.ndarray, float]:
        counts = np.bincount(values, minlength=len(frequency))
        in_training = np.append(frequency, np.zeros(len(counts) - len(frequency), frequency.dtype))
        others = len(values) - counts[ranked].sum()
        in_training[0] = dataset.min_count  # a missing value has its own treatment, it is not an unknown one
        unknown = counts[in_training < dataset.min_count].sum()
        return np.append(counts[ranked], others), float(unknown / len(values))

    return count_categories, None


def _mean_history_lengths(
    connection: duckdb.DuckDBPyConnection, dataset: DatasetDescription, key: str
) -> dict[str, float]:
    """Period → mean number of earlier orders of an order's key, at most seq_len − 1 each; 0 without a key."""
    time_us = time_column(dataset)
    if dataset.layout == "wide":
        ids = f"CAST({quoted(f'cat_objectId_by_{key}')} AS VARCHAR)"
        missing = ", ".join(f"'{text}'" for text in MISSING_TEXTS)
        entries = f"length({ids}) - length(replace({ids}, '~', '')) + 1"
        length = f"CASE WHEN {ids} IN ({missing}) THEN 0 ELSE {entries} END"
    else:
        place = f"row_number() OVER (PARTITION BY {quoted(key)} ORDER BY {time_us}) - 1"
        length = f"CASE WHEN {quoted(key)} IS NULL THEN 0 ELSE {place} END"
    most = dataset.seq_len - 1
    lengths = f"SELECT {time_us} AS time_us, least(coalesce({length}, 0), {most}) AS length FROM events"
    means = of_periods(connection, "coalesce(avg(length) {0}, 0)", lengths, dataset)
    return {period: float(mean) for period, mean in means.items()}


def _label_ratio(train: dict[str, Any], later: dict[str, Any]) -> float:
    """Ratio of the two fraud rates, the larger over the smaller; half a count keeps it finite."""
    n, m = train["known_labels"], later["known_labels"]
    if not n or not m:
        return 1.0
    p, q = train["frauds"] / n, later["frauds"] / m
    pooled = (train["frauds"] + later["frauds"]) / (n + m)
    if abs(p - q) <= 3 * np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m)):
        return 1.0
    p, q = (train["frauds"] + 0.5) / (n + 1), (later["frauds"] + 0.5) / (m + 1)
    return float(max(p / q, q / p))
