"""One order of raw files, explained with a model folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tsa_model.reasons.attribution import THOROUGH, Effort
from tsa_model.reasons.explanation import Explained, OrderFacts, OrderId, explain
from tsa_model.reasons.game import HISTORY_SIDES
from tsa_model.scoring.given import GivenOrders
from tsa_model.scoring.model import ScoringModel
from tsa_model.sequences import SequenceStore


@dataclass(frozen=True)
class ExplainedOrder:
    """An explained order, and when it was placed."""

    found: Explained
    placed_at: str
    """UTC, ISO 8601."""


def explain_order(
    model_dir: str | Path,
    events: Any,
    order_id: str,
    history: str | Path | None = None,
    effort: Effort = THOROUGH,
) -> ExplainedOrder:
    """Explain the score that a model gives an order.

    Args:
        model_dir: a model folder, or the folder of the export.
        events: path or paths of raw orders, or a table; they hold the order and the earlier ones.
        order_id: of the order.
        history: path of earlier orders that lie apart.
        effort: how much is computed.

    Raises:
        ValueError: the order is not there, the events do not fit the model, or the model's folder holds no
            background.
    """
    model = ScoringModel.load(model_dir)
    rules = model.rules()
    given = GivenOrders.open(events, history, model.dataset)
    with TemporaryDirectory(prefix="tsa-explain-") as scratch:
        store = given.build_store(model, Path(scratch) / "store")
        row = _row_of(store, order_id, given)
        batch = {
            name: tensor.numpy()
            for name, tensor in store.batch_rows(np.array([row]), model.config.sequences).items()
        }
        found = explain(rules, batch, facts_of(store, row), effort, model.description.onnx_sha256)
        placed_at = str(store.times_of(np.array([row]))[0].astype("datetime64[s]"))
    return ExplainedOrder(found, placed_at)


def facts_of(store: SequenceStore, row: int) -> OrderFacts:
    """The ids of an order and of those in its histories."""
    order_id: OrderId = store.ids_of(np.array([row])).tolist()[0]
    earlier = {
        side: store.ids_of(rows).tolist()
        for side, rows in zip(HISTORY_SIDES, store.earlier(row).values(), strict=False)
    }
    return OrderFacts(order_id, earlier)


def _row_of(store: SequenceStore, order_id: str, given: GivenOrders) -> int:
    is_number = store.ids_of(np.zeros(1, np.int64)).dtype.kind == "i"
    try:
        wanted: OrderId = int(order_id) if is_number else order_id
        return int(store.rows_of([wanted])[0])
    except (ValueError, OverflowError):
        count = len(store)
        raise ValueError(
            f"there is no order {order_id!r} among the {count:,} orders of --events: its column "
            f"{given.dataset.order_id!r} has no such id"
        ) from None
