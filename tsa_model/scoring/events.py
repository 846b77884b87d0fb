"""Raw orders to score files, outside any pipeline."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from tsa_model.events.ids import cast_id, read_id_forms
from tsa_model.events.reading import read_parts
from tsa_model.files import atomic_folder
from tsa_model.outputs import check_output_folder
from tsa_model.scoring.files import ScoredOrders, provenance_of, score_table, write_manifest, write_scores
from tsa_model.scoring.model import ScoringModel
from tsa_model.scoring.rows import Progress, score_rows
from tsa_model.scoring.usual import Tell, check_categories, check_histories
from tsa_model.scratch import scratch_folder
from tsa_model.sequences import SequenceStore
from tsa_model.settings.dataset import DatasetDescription


def score_events(
    model_dir: str | Path,
    events: Any,
    output_dir: str | Path,
    orders: str = "auto",
    since: datetime | None = None,
    show: Progress | None = None,
    history: str | Path | None = None,
    allow_short_histories: bool = False,
    tell: Tell = warnings.warn,
) -> int:
    """Score raw orders and write the score files.

    Args:
        model_dir: a model folder, or the folder of the export.
        events: path or paths of raw orders, or a table; see `SequenceStore.build`.
        output_dir: the folder to create.
        orders: `test` = the labelled orders of the test period, as the pipeline scores them; `all` = every
            order; `auto` = `test` where the file has any, else `all`.
        since: leave out orders before this moment; UTC where it names no zone.
        show: called with (orders done, orders altogether).
        history: path of the earlier orders, which are not scored; None = they lie in `events` too.
        allow_short_histories: score orders whose histories are far shorter than in training.
        tell: called with each warning.

    Returns:
        How many orders were scored.

    Raises:
        ValueError: the events do not fit the model, there is nothing to score, the histories are missing
            (`drift.history_stop`), or the output folder holds what this program did not write.
    """
    check_output_folder(output_dir, {"the model": model_dir, "the history": history}, "output")
    model = ScoringModel.load(model_dir)
    output_dir = Path(output_dir)
    with scratch_folder(output_dir) as scratch:
        everything = events if history is None else [history, events]
        store = SequenceStore.build(
            everything, model.dataset, scratch / "store", preprocessing=model.preprocessing_path
        )
        rows = select_rows(store, orders, since)
        if history is not None:
            rows = rows[np.isin(rows, store.rows_of(_order_ids(events, everything, model.dataset)))]
        check_histories(store, rows, model, allow_short_histories, tell)
        check_categories(store, rows, model, tell)
        scored = score_rows(store, model.session, rows, show)
        table = score_table(
            scored.score, ScoredOrders.of(store, rows), model.percentiles(), model.calibrator()
        )
    with atomic_folder(output_dir) as folder:
        provenance = provenance_of(model.description, model.directory)
        counts = {"test": write_scores(table, provenance, folder)}
        write_manifest(folder, provenance, counts)
    return rows.size


def select_rows(store: SequenceStore, orders: str, since: datetime | None) -> NDArray[np.int64]:
    """Row numbers of the orders to score, in time order.

    Raises:
        ValueError: there are none.
    """
    rows = store.targets("test").astype(np.int64)
    if orders == "all" or (orders == "auto" and not rows.size):
        rows = np.arange(len(store))
    if since is not None:
        moment = since if since.tzinfo is None else since.astimezone(UTC).replace(tzinfo=None)
        rows = rows[store.times_of(rows) >= np.datetime64(moment, "us")]
    if not rows.size:
        window = store.description.split.window("test")
        raise ValueError(
            f"no order to score among the {len(store)} orders: --orders {orders}"
            + (f", --since {since}" if since else "")
            + f"; the test period is {window[0]} to {window[1]}"
        )
    return rows


def _order_ids(events: Any, everything: Any, dataset: DatasetDescription) -> NDArray[Any]:
    """The order ids in some of the events of a store, as the store reads them."""
    column = dataset.order_id
    form = read_id_forms(everything, dataset, [column])[column]
    parts = [
        pc.drop_null(cast_id(part[column], form, dataset.missing_words).values)
        for _, part in read_parts(events, [column], csv=dataset.csv)
    ]
    return np.concatenate([part.to_numpy(zero_copy_only=False) for part in parts])
