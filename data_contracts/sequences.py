"""The contract of the sequences: rules for every batch that a network reads, target by target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_contracts import suites
from data_contracts.context import check
from data_contracts.findings import Finding
from data_contracts.result import publish_result
from tsa_model.batch import ENGINEERED, KEYS, LABEL, History, histories, sequences_of
from tsa_model.settings.dataset import PERIODS
from tsa_model.settings.run import RunConfig
from tsa_model.signing import require_key

if TYPE_CHECKING:
    import pandas as pd

    from tsa_model.sequences import SequenceStore

MAX_TARGETS = 200_000
"""Targets looked at, evenly spaced over each period; a larger store is sampled."""
BATCH = 4_096


def validate_sequences(
    store_dir: str | Path, run: RunConfig, report_path: str | Path, result_path: str | Path
) -> dict[str, Any]:
    """Check the batches that a sequence store assembles for its targets.

    Args:
        store_dir: the sequence store.
        run: the run description.
        report_path: HTML page to write.
        result_path: JSON result to write, with the offending order ids.

    Returns:
        Figures: rows, checks, and a `summary` in words.

    Raises:
        ContractViolation: a sequence breaks the contract.
    """
    from tsa_model.sequences import SequenceStore

    require_key(run.signing)
    store = SequenceStore.open(store_dir)
    frame = measure_store(store)
    findings = check_sequences(frame, store.n_embedding)
    rows = len(frame)
    facts = {
        "dataset": run.dataset.name,
        "events_sha256": store.manifest.events_sha256,
        "store_sha256": store.digest,
        "rows": rows,
        "bad_rows": _bad_rows(findings),
        "tables": [_summary(frame)] if rows else [],
    }
    result = publish_result("sequences", str(store_dir), facts, findings, report_path, result_path)
    return {
        "rows": rows,
        "checks": len(result["findings"]),
        "summary": f"{rows:,} targets keep {len(result['findings'])} rules",
    }


def measure_store(store: SequenceStore) -> pd.DataFrame:
    """Measure the targets of a store, see `measure_batch`; the column `period` names the period of each."""
    import pandas as pd

    frames = [_measure_period(store, period).assign(period=period) for period in PERIODS]
    return pd.concat(frames, ignore_index=True)


def check_sequences(frame: pd.DataFrame, n_embedding: int) -> list[Finding]:
    """Hold measured targets against the suite.

    Args:
        frame: see `measure_batch`; with a column `outside_period_s` the targets' times are checked too.
        n_embedding: V, the highest index a categorical value may have.
    """
    if not len(frame):
        return [Finding("there are targets", detail="the store has none")]
    sequences = [name.removeprefix("least_time_s_") for name in frame if name.startswith("least_time_s_")]
    expectations = suites.sequences(sequences, n_embedding)
    if "outside_period_s" in frame:
        expectations += suites.targets()
    return check(frame, expectations, name="order_id")


def measure_batch(batch: Mapping[str, Any], order_ids: np.ndarray) -> pd.DataFrame:
    """Reduce a batch to a few numbers per target, which the suite speaks of.

    Args:
        batch: tensors or arrays named as in TSA spec, section 1, single or dual, and `label`.
        order_ids: [B] names of the targets.

    Returns:
        One row per target: `order_id`, `label`, `engineered_not_finite`, per sequence the columns of
        `_measure_sequence`, and for a dual batch `differing_last`, the number of features in which the two
        last orders differ.
    """
    import pandas as pd

    arrays = {name: np.asarray(value) for name, value in batch.items()}
    engineered = arrays.get(ENGINEERED, np.zeros((len(order_ids), 0)))
    columns: dict[str, Any] = {
        "order_id": order_ids,
        "label": arrays[LABEL],
        "engineered_not_finite": (~np.isfinite(engineered)).sum(axis=1),
    }
    found = histories(arrays, sequences_of(arrays))
    for key, history in zip(KEYS, found, strict=False):
        columns |= _measure_sequence(history, key)
    if len(found) > 1:
        cid, ccid = found
        columns["differing_last"] = (cid.cat[:, -1] != ccid.cat[:, -1]).sum(axis=1) + (
            cid.num[:, -1] != ccid.num[:, -1]
        ).sum(axis=1)
    return pd.DataFrame(columns)


def _measure_sequence(history: History[np.ndarray], key: str) -> dict[str, np.ndarray]:
    """Figures of one history, [B] each; the names end in the key."""
    cat, num, mask = history.cat, history.num, history.mask
    time_s = history.time[..., 0]
    real = ~mask[:, :-1]
    both_real = real[:, 1:] & real[:, :-1]
    steps = np.where(both_real, np.diff(time_s, axis=1), -np.inf)
    filled = (cat != 0).sum(axis=2) + (num != 0).sum(axis=2) + (time_s != 0)
    measures = {
        "earlier_orders": real.sum(axis=1) - 1,
        "least_time_s": time_s.min(axis=1),
        "greatest_time_s": time_s.max(axis=1),
        "time_of_last_s": time_s[:, -1],
        "step_back_s": steps.max(axis=1, initial=0.0),
        "last_padded": mask[:, -2].astype(int),
        "dummy_masked": mask[:, -1].astype(int),
        "holes": (real[:, :-1] & ~real[:, 1:]).sum(axis=1),
        "filled_padding": np.where(real, 0, filled).sum(axis=1),
        "least_index": cat.min(axis=(1, 2)),
        "greatest_index": cat.max(axis=(1, 2)),
        "not_finite": (~np.isfinite(num)).sum(axis=(1, 2)),
    }
    return {f"{name}_{key}": values for name, values in measures.items()}


def _measure_period(store: SequenceStore, period: str) -> pd.DataFrame:
    import pandas as pd

    start, end = (moment.timestamp() for moment in store.description.split.window(period))
    frames = [pd.DataFrame()]
    for places in _places(len(store.targets(period))):
        rows = store.targets(period)[places]
        frame = measure_batch(store.batch_rows(rows), store.ids_of(rows))
        seconds = store.order_times(period)[places].astype("datetime64[us]").astype(np.int64) / 1e6
        frame["outside_period_s"] = np.maximum(start - seconds, 0) + np.where(
            seconds >= end, seconds - end + 1e-6, 0
        )
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _places(n_targets: int) -> Iterator[np.ndarray]:
    step = max(1, -(-n_targets * len(PERIODS) // MAX_TARGETS))
    places = np.arange(0, n_targets, step)
    for first in range(0, len(places), BATCH):
        yield places[first : first + BATCH]


def _summary(frame: pd.DataFrame) -> dict[str, Any]:
    """A table for the page: how much history the targets of each period have."""
    names = [name.removeprefix("earlier_orders_") for name in frame if name.startswith("earlier_orders_")]
    rows = []
    for period, targets in frame.groupby("period", sort=False):
        row = [period, f"{len(targets):,}", f"{(targets['label'] == 1).mean():.2%}"]
        for name in names:
            earlier = targets[f"earlier_orders_{name}"]
            row += [f"{earlier.mean():.1f}", f"{(earlier == 0).mean():.1%}"]
        rows.append(row)
    columns = ["period", "targets", "fraud rate"]
    for name in names:
        columns += [f"earlier orders of the {suites.WHOSE[name]}", "none at all"]
    return {"title": "Histories", "columns": columns, "rows": rows}


def _bad_rows(findings: list[Finding]) -> int:
    return max((finding.bad_rows for finding in findings), default=0)
