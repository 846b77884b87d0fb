"""One order of raw files, explained with a model folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tsa_model.reasons.alerts import facts_of
from tsa_model.reasons.attribution import THOROUGH, Effort
from tsa_model.reasons.explanation import Explained, OrderId, explain
from tsa_model.reasons.game import HISTORY_SIDES
from tsa_model.reasons.page import Context, render_explanation
from tsa_model.reasons.parts import Side
from tsa_model.scoring.given import GivenOrders
from tsa_model.scoring.model import ScoringModel
from tsa_model.sequences import SequenceStore

_WEIGHTS = "attention_weights"
_STACKS = {1: ("order_attention.",), 2: ("order_attention_cid.", "order_attention_ccid.")}
"""Number of histories → where the trace of the network keeps them."""


@dataclass(frozen=True)
class ExplainedOrder:
    """An explained order, and when it was placed."""

    found: Explained
    context: Context

    def page(self) -> str:
        """One HTML page, complete in itself."""
        return render_explanation(self.found, self.context)


def explain_order(
    model_dir: str | Path,
    events: Any,
    order_id: str,
    history: str | Path | None = None,
    effort: Effort = THOROUGH,
    with_attention: bool = False,
) -> ExplainedOrder:
    """Explain the score that a model gives an order.

    Args:
        model_dir: a model folder, or the folder of the export.
        events: path or paths of raw orders, or a table; they hold the order and the earlier ones.
        order_id: of the order.
        history: path of earlier orders that lie apart.
        effort: how much is computed.
        with_attention: look into the network, too; it needs torch and the trained weights.

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
    percentiles, calibrator = model.percentiles(), model.calibrator()
    score = np.array([found.explanation.score])
    context = Context(
        placed_at,
        None if percentiles is None else float(percentiles.percentile(score)[0]),
        None if calibrator is None else float(calibrator.probability(score)[0]),
        attention_of(model, found) if with_attention else None,
    )
    return ExplainedOrder(found, context)


def attention_of(model: ScoringModel, found: Explained) -> dict[Side, list[float]] | None:
    """The weights by which the last layer reads each earlier order, the latest first, averaged over heads.

    Returns:
        Side → weights, averaged over members where there are several; None without trained weights.
    """
    if model.weights_dir is None:
        return None
    import torch

    from tsa_model.network.checkpoint import load_model
    from tsa_model.network.networks import members_of
    from tsa_model.network.trace import Trace

    batch = {name: torch.from_numpy(values) for name, values in found.case.row.items()}
    sums: dict[Side, np.ndarray] = {}
    members = members_of(load_model(model.weights_dir, "reference"))
    for member in members:
        trace = Trace()
        with torch.no_grad():
            member.twin("reference", moe_eval="deterministic").eval()(batch, trace=trace)
        for side, stack in zip(HISTORY_SIDES, _STACKS[len(found.case.sides) - 1], strict=False):
            names = sorted(
                name for name in trace.tensors if name.startswith(stack) and name.endswith(_WEIGHTS)
            )
            count = found.case.earlier(side)
            if not names or not trace.tensors[names[-1]].numel():
                continue  # the gate left the card's history out
            read = trace.tensors[names[-1]][0, :, -1].double().mean(dim=0).numpy()
            latest_first = read[:-2][::-1][:count]
            sums[side] = sums.get(side, np.zeros(count)) + latest_first / len(members)
    return {side: sums.get(side, np.zeros(found.case.earlier(side))).tolist() for side in HISTORY_SIDES}


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
