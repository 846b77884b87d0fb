"""How the first ids of a store are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from tsa_model.events.ids import id_columns, read_id_forms
from tsa_model.settings.dataset import DatasetDescription


def id_forms_of(orders: Sequence[Mapping[str, Any]], description: DatasetDescription) -> dict[str, bool]:
    """Whether the ids of some orders are whole numbers, by column; the first id of a column decides.

    Args:
        orders: raw orders, for a store that does not know it yet.
        description: names the columns.
    """
    found: dict[str, bool] = {}
    for name in id_columns(description):
        first = next((order[name] for order in orders if order.get(name) is not None), None)
        if first is not None:
            table = pa.table({name: pa.array([_text(first)], pa.string())})
            found[name] = read_id_forms(table, description, [name])[name].is_whole
    return found


def _text(value: Any) -> str:
    return str(value).encode("utf-8", "replace").decode()
