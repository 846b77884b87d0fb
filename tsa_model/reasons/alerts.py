"""Reasons of many orders, such as those that a model would have stopped, one by one, in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsa_model.batch import sequences_of
from tsa_model.files import atomic_file
from tsa_model.reasons.attribution import BRIEF, Effort, ranked_sides
from tsa_model.reasons.explanation import Explained, Explanation, OrderFacts, OrderId, explain
from tsa_model.reasons.game import HISTORY_SIDES, Case, Rules
from tsa_model.reasons.parts import Side

if TYPE_CHECKING:
    import pyarrow as pa

    from tsa_model.sequences import SequenceStore

Progress = Callable[[int, int], None]
REASONS_TABLE = "reasons.parquet"


@dataclass(frozen=True)
class Moved:
    """How far a score moved when parts of an order were taken away, in log-odds.

    Attributes:
        top: the three parts that raise it most.
        random: three parts drawn at random.
    """

    top: float
    random: float


@dataclass(frozen=True)
class ExplainedRow:
    """One of many explained orders."""

    row: int
    explanation: Explanation
    moved: Moved


def explain_rows(
    rules: Rules,
    store: SequenceStore,
    rows: NDArray[Any],
    effort: Effort = BRIEF,
    show: Progress | None = None,
    seconds: float = float("inf"),
) -> list[ExplainedRow]:
    """Explain orders of a store, as many as there is time for.

    An order's reasons do not depend on the others, so that an early end leaves out orders and changes none.

    Args:
        rules: of the model.
        store: the sequence store.
        rows: [n] row numbers, the most important ones first.
        effort: how much is computed for each.
        show: called with (orders done, orders altogether).
        seconds: after which no further order is begun.
    """
    began, found = time.monotonic(), []
    sequences = sequences_of(rules.session.input_names)
    for done, row in enumerate(rows.tolist(), 1):
        batch = store.arrays(np.array([row]), sequences)
        explained = explain(rules, batch, facts_of(store, row), effort)
        found.append(ExplainedRow(row, explained.explanation, moved_by(explained)))
        if show is not None:
            show(done, rows.size)
        if time.monotonic() - began > seconds:
            break
    return found


def rank_sides(
    rules: Rules, store: SequenceStore, rows: NDArray[Any], seconds: float = float("inf")
) -> dict[OrderId, tuple[Side, ...]]:
    """The sides of orders, the strongest first, as `explain_rows` finds them, without what lies within.

    Args:
        rules: of the model.
        store: the sequence store.
        rows: [n] row numbers.
        seconds: after which no further order is begun.

    Returns:
        Order id → sides, for as many orders as there is time for.
    """
    began, found = time.monotonic(), {}
    sequences = sequences_of(rules.session.input_names)
    for row in rows.tolist():
        if time.monotonic() - began > seconds:
            break
        order_id: OrderId = store.ids_of(np.array([row])).tolist()[0]
        found[order_id] = ranked_sides(Case(rules, store.arrays(np.array([row]), sequences)), BRIEF)
    return found


def facts_of(store: SequenceStore, row: int) -> OrderFacts:
    """The ids of an order and of those in its histories."""
    order_id: OrderId = store.ids_of(np.array([row])).tolist()[0]
    earlier: dict[Side, Sequence[OrderId]] = {
        side: store.ids_of(rows).tolist()
        for side, rows in zip(HISTORY_SIDES, store.earlier(row).values(), strict=False)
    }
    return OrderFacts(order_id, earlier)


DELETED = 3


def moved_by(explained: Explained) -> Moved:
    """Take the top three parts away, and three random ones; see `Moved`.

    The random ones are drawn by the order's own number of parts, so that they are the same every time.
    """
    case, found = explained.case, explained.attribution
    place = {part: k for k, part in enumerate(case.parts)}
    top = [place[each.part] for each in found.parts[:DELETED]]
    drawn = np.random.default_rng(len(case.parts)).permutation(len(case.parts))[:DELETED].tolist()
    n_draws = min(BRIEF.draws, len(case.rules.described.background))
    present = np.ones((2, len(case.parts)), dtype=bool)
    present[0, top] = present[1, drawn] = False
    logits = case.logits(np.repeat(present, n_draws, axis=0), np.tile(np.arange(n_draws), 2))
    left = logits.reshape(2, n_draws).mean(axis=1)
    return Moved(float(abs(found.logit - left[0])), float(abs(found.logit - left[1])))


def reasons_table(found: Sequence[ExplainedRow]) -> pa.Table:
    """One line for each reason, in the sequence of the explanations."""
    import pyarrow as pa

    lines = [
        {
            "order_id": each.explanation.order_id,
            "score": each.explanation.score,
            "rank": rank,
            "level": reason.level,
            "side": reason.side,
            "about_order": None if reason.order_id is None else str(reason.order_id),
            "feature": reason.feature,
            "contribution": reason.contribution,
            "error": reason.error,
            "words": reason.words,
        }
        for each in found
        for rank, reason in enumerate(each.explanation.reasons, 1)
    ]
    is_text = any(isinstance(line["order_id"], str) for line in lines)
    schema = pa.schema(
        [
            ("order_id", pa.string() if is_text else pa.int64()),
            ("score", pa.float64()),
            ("rank", pa.int32()),
            ("level", pa.string()),
            ("side", pa.string()),
            ("about_order", pa.string()),
            ("feature", pa.string()),
            ("contribution", pa.float64()),
            ("error", pa.float64()),
            ("words", pa.string()),
        ]
    )
    return pa.Table.from_pylist(lines, schema=schema)


def write_reasons(found: Sequence[ExplainedRow], path: Path) -> None:
    """Write `reasons.parquet`, the same bytes for the same reasons."""
    import pyarrow.parquet as pq

    with atomic_file(path) as temporary:
        pq.write_table(reasons_table(found), temporary, compression="zstd")
