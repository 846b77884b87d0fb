"""Columns of some orders that a store does not keep, read from the orders as they came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tsa_model.evaluation.rival import current_orders
from tsa_model.events.arrays import flags, one_array
from tsa_model.events.casting import cast_number
from tsa_model.events.cleaning import as_category
from tsa_model.events.errors import BadEvents
from tsa_model.events.ids import IdForm, cast_id, read_id_forms
from tsa_model.events.reading import open_events
from tsa_model.settings.dataset import DatasetDescription

if TYPE_CHECKING:
    from tsa_model.sequences import SequenceStore

ColumnKind = Literal["category", "number", "id"]


def read_order_columns(
    events: Any,
    dataset: DatasetDescription,
    columns: Mapping[str, ColumnKind],
    order_ids: NDArray[Any],
) -> dict[str, NDArray[Any]]:
    """Read columns of some orders, whatever the role of the columns.

    Args:
        events: the orders; see `open_events`.
        dataset: how ids, numbers and categories are written.
        columns: name → how it is read.
        order_ids: [N] ids, int64 or text; one may stand there twice.

    Returns:
        Column → its values, [N]: float64 with NaN where a number is missing, else text with None.

    Raises:
        BadEvents: a column is missing, or one of the orders is not there.
    """
    ids = [dataset.order_id, *(name for name, kind in columns.items() if kind == "id")]
    sources = open_events(events, dataset.csv).sources
    forms = read_id_forms(sources, dataset, list(dict.fromkeys(ids)))
    distinct, place = np.unique(order_ids, return_inverse=True)
    wanted = pa.array(distinct, pa.string() if distinct.dtype.kind == "U" else pa.int64())
    found = {
        name: np.full(len(distinct), np.nan) if kind == "number" else np.full(len(distinct), None, object)
        for name, kind in columns.items()
    }
    is_read = np.zeros(len(distinct), bool)
    names = list(dict.fromkeys([dataset.order_id, *columns]))
    for source in sources:
        for part in source.parts(names):
            part_ids = _cast(part, dataset.order_id, "id", dataset, forms)
            rows = pc.index_in(part_ids.cast(wanted.type), value_set=wanted)
            kept = flags(pc.is_valid(rows))
            at = rows.filter(pa.array(kept)).to_numpy(zero_copy_only=False).astype(np.int64)
            is_read[at] = True
            for name, kind in columns.items():
                values = _cast(part, name, kind, dataset, forms).filter(pa.array(kept))
                found[name][at] = _as_numpy(values, kind)
    if not is_read.all():
        raise BadEvents(f"order {distinct[~is_read][0].item()!r} is not among the orders that were given")
    return {name: values[place] for name, values in found.items()}


def _cast(
    part: pa.Table, name: str, kind: ColumnKind, dataset: DatasetDescription, forms: Mapping[str, IdForm]
) -> pa.Array:
    raw = one_array(part[name])
    if kind == "id":
        return cast_id(raw, forms[name], dataset.missing_words).values
    if kind == "number":
        return cast_number(raw, dataset.csv.decimal).values
    return as_category(raw, name, dataset).values


def _as_numpy(values: pa.Array, kind: ColumnKind) -> NDArray[Any]:
    if kind == "number":
        return pc.fill_null(values.cast(pa.float64()), np.nan).to_numpy(zero_copy_only=False)
    return values.cast(pa.string()).to_numpy(zero_copy_only=False)


def store_amounts(store: SequenceStore, rows: NDArray[Any], column: str | None) -> NDArray[np.float64]:
    """Raw amounts of orders, as exact as the store's float32 keeps them.

    Args:
        store: the sequence store.
        rows: [N] row numbers.
        column: the numerical or engineered column.

    Raises:
        ValueError: the store was made without it.
    """
    fitted = store.preprocessing
    scalings = [*fitted.numerical.items(), *fitted.engineered.items()]
    place = next((i for i, (name, _) in enumerate(scalings) if name == column), None)
    if place is None:
        raise ValueError(
            f"{store.directory} was made without the amount column {column!r}: score with the dataset "
            "description of the same run"
        )
    scaling = scalings[place][1]
    _, values = current_orders(store, rows)
    return ((values[:, place] - scaling.min) / scaling.scale).clip(0.0)
