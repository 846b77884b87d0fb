"""How the later periods differ from the training period: features, categories, histories, labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts import casting, suites
from data_contracts.columns import Column
from data_contracts.context import check_measures
from data_contracts.findings import Finding
from data_contracts.whole import MICROSECONDS
from tsa_model.dataset import PERIODS, DatasetDescription
from tsa_model.sequences.casting import MISSING_TEXTS
from tsa_model.sequences.reading import is_text, one_array

N_BINS = 10
"""Bins of a number: quantiles of the training period."""
N_VALUES = 50
"""Most frequent training values of a category that are counted one by one."""
LATER = PERIODS[1:]


def population_stability(expected: np.ndarray, observed: np.ndarray) -> tuple[float, float]:
    """Population stability index of two histograms, and the value that chance alone gives.

    Args:
        expected: [bins] counts of the training period.
        observed: [bins] counts of the later period.

    Returns:
        PSI (every bin gets half a count more, so that an empty one does not make it infinite), and its
        expectation (bins − 1)(1/n + 1/m) for two samples of n and m from one distribution.
    """
    used = (expected + observed) > 0
    p, q = expected[used] + 0.5, observed[used] + 0.5
    p, q = p / p.sum(), q / q.sum()
    psi = float(((p - q) * np.log(p / q)).sum())
    noise = (used.sum() - 1) * (1 / max(expected.sum(), 1) + 1 / max(observed.sum(), 1))
    return psi, float(noise)


def measure_features(events: Path, dataset: DatasetDescription) -> list[dict[str, Any]]:
    """Compare every raw feature of every later period with the training period.

    Args:
        events: validated events.
        dataset: their description.

    Returns:
        One dictionary per feature and later period that has orders: feature, period, psi, noise (the PSI that
        chance gives), unknown_rate (0 for numbers).
    """
    rows = _period_rows(events, dataset)
    if not len(rows["train"]):
        return []
    measures = []
    for name in dict.fromkeys((*dataset.raw_categorical, *dataset.raw_numerical)):
        column = _column(events, name)
        codes, n_codes, unknown = _bins(column, rows["train"], dataset, name)
        expected = np.bincount(codes[rows["train"]], minlength=n_codes)
        for period in LATER:
            if not len(rows[period]):
                continue
            psi, noise = population_stability(expected, np.bincount(codes[rows[period]], minlength=n_codes))
            rate = float(unknown[rows[period]].mean()) if unknown is not None else 0.0
            measures.append(
                {"feature": name, "period": period, "psi": psi, "noise": noise, "unknown_rate": rate}
            )
    return measures


def measure_periods(
    events: Path, dataset: DatasetDescription, summary: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Compare history lengths and label rates of every later period with the training period.

    Args:
        events: validated events.
        dataset: their description.
        summary: orders and labels of every period, see `whole.summarise_periods`.

    Returns:
        One dictionary per later period that has orders: period, history_ratio (the lowest over the keys),
        label_ratio (≥ 1 whichever way the rate moved; 1 where chance explains the difference).
    """
    rows = _period_rows(events, dataset)
    counts = {entry["period"]: entry for entry in summary}
    if not len(rows["train"]):
        return []
    lengths = {key: _history_lengths(events, dataset, key) for key in _keys(dataset)}
    measures = []
    for period in LATER:
        if not len(rows[period]):
            continue
        ratios = [_mean_ratio(length[rows[period]], length[rows["train"]]) for length in lengths.values()]
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
        frame["psi"] = frame["psi"].where(frame["psi"] > 3 * frame["noise"], 0.0)
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


def _column(events: Path, name: str) -> pa.Array:
    """One column; text as a dictionary, whose codes take little memory."""
    text = is_text(pq.read_schema(events).field(name).type)
    column = pq.read_table(events, columns=[name], read_dictionary=[name] if text else [])[name]
    return one_array(column.unify_dictionaries() if text else column)


def _numbers(column: pa.Array) -> np.ndarray:
    """Values as float64, NaN where there is none; wide rows hold their numbers as text."""
    read = casting.cast(pa.chunked_array([column]), Column("", "number", "", "", True, ""))
    return read.values.to_numpy(zero_copy_only=False)


def _codes(column: pa.Array) -> tuple[np.ndarray, int]:
    """Number of every value, and the number that stands for a missing one."""
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    missing = len(encoded.dictionary)
    return pc.fill_null(encoded.indices.cast(pa.int64()), missing).to_numpy(), missing


def _times(events: Path, dataset: DatasetDescription) -> np.ndarray:
    """Order times in microseconds."""
    column = _column(events, dataset.order_time)
    unit = 1 if pa.types.is_timestamp(column.type) else MICROSECONDS
    return column.cast(pa.int64()).to_numpy() * unit


def _period_rows(events: Path, dataset: DatasetDescription) -> dict[str, np.ndarray]:
    time_us = _times(events, dataset)
    rows = {}
    for period in PERIODS:
        start, end = (int(m.timestamp()) * MICROSECONDS for m in dataset.split.window(period))
        rows[period] = np.flatnonzero((time_us >= start) & (time_us < end))
    return rows


def _bins(
    column: pa.Array, train: np.ndarray, dataset: DatasetDescription, name: str
) -> tuple[np.ndarray, int, np.ndarray | None]:
    """Bin of every row, the number of bins, and for categories where the value is unknown to training."""
    if name in dataset.raw_numerical:
        values = _numbers(column)
        present = values[train][~np.isnan(values[train])]
        edges: np.ndarray = (
            np.unique(np.quantile(present, np.linspace(0, 1, N_BINS + 1)[1:-1]))
            if len(present)
            else np.empty(0)
        )
        # Missing numbers have a bin of their own, the last.
        codes = np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))
        return codes, len(edges) + 2, None
    codes, missing = _codes(column)
    counts = np.bincount(codes[train], minlength=missing + 1)
    rank = np.empty(missing + 1, dtype=np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(missing + 1)
    known = counts >= dataset.min_count
    known[missing] = True  # a missing value has its own treatment, it is not an unknown one
    return np.minimum(rank, N_VALUES)[codes], N_VALUES + 1, ~known[codes]


def _history_lengths(events: Path, dataset: DatasetDescription, key: str) -> np.ndarray:
    """Earlier orders of each order's key, at most seq_len − 1; 0 without a key."""
    if dataset.layout == "wide":
        ids = _column(events, f"cat_objectId_by_{key}").cast(pa.string())
        n_ids = pc.if_else(pc.is_in(ids, pa.array(MISSING_TEXTS)), 0, pc.add(pc.count_substring(ids, "~"), 1))
        return np.minimum(pc.fill_null(n_ids, 0).to_numpy(), dataset.seq_len - 1)
    keys, missing = _codes(_column(events, key))
    by_key = np.lexsort((_times(events, dataset), keys))
    ordered = keys[by_key]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    place = np.arange(len(keys)) - np.repeat(first, np.diff(np.r_[first, len(keys)]))
    lengths = np.empty(len(keys), dtype=np.int64)
    lengths[by_key] = np.where(ordered == missing, 0, np.minimum(place, dataset.seq_len - 1))
    return lengths


def _mean_ratio(later: np.ndarray, train: np.ndarray) -> float:
    return float(later.mean() / train.mean()) if train.any() else 1.0


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
