"""Made-up orders that a model scores before the first request, so that it finds all in place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tsa_model.online.derived import Past
from tsa_model.online.histories import Histories
from tsa_model.online.inputs import Target
from tsa_model.online.records import Records
from tsa_model.online.scorer import OnlineScorer
from tsa_model.online.wide import WideRows

WARM_UPS = 8


def warm_up(scorer: OnlineScorer, wide: WideRows | None) -> None:
    """Score made-up orders, with and without a history; nothing is recorded.

    Args:
        scorer: an opened model.
        wide: its reader of wide rows; None where it takes none.
    """
    if wide is not None:
        scorer.outputs_of(wide.batch([wide.example()]))
    if scorer.store is None:
        return
    histories = scorer.histories
    order = example_of(histories)
    for _ in range(WARM_UPS):
        for target in (order, _with_full_histories(order, scorer.description.seq_len - 1)):
            scorer.outputs_of(histories.inputs.batch([target]))


def example_of(histories: Histories) -> Target:
    """A made-up order without histories."""
    d = histories.description
    row: dict[str, Any] = {d.order_time: d.split.test_start.timestamp()}
    row |= dict.fromkeys(d.raw_categorical) | dict.fromkeys(d.raw_numerical, 1.0)
    if d.card_id is not None:
        row[d.card_id] = None
    for name in (d.order_id, d.customer_id):
        row[name] = "0"
    (clean,) = histories.read([row])
    none = clean.record.take(slice(0, 0))
    derived: dict[str, float] = {}
    for kind in histories.inputs.kinds:
        past = Past(None, kind, b"", clean.time_us)
        derived |= histories.inputs.derive(past, clean.record, none)
    record = histories.inputs.with_kept(clean.record, derived)
    return Target(record, dict.fromkeys(histories.inputs.kinds, none), derived)


def _with_full_histories(target: Target, n: int) -> Target:
    record = target.record
    earlier = replace(record, time_us=record.time_us - 1)
    return replace(target, histories={kind: Records.joined([earlier] * n) for kind in target.histories})
