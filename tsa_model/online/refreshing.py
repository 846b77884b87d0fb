"""Kept columns of younger orders, derived anew where an order or a label came late."""

from __future__ import annotations

from collections.abc import Mapping

from tsa_model.online.derived import Past
from tsa_model.online.history import Entry, KeyKind, Transaction
from tsa_model.online.inputs import InputBuilder


def refresh(
    transaction: Transaction,
    inputs: InputBuilder,
    entry: Entry,
    reach_us: Mapping[KeyKind, int],
    since_us: int,
    until_us: int,
) -> None:
    """Derive the kept columns of younger orders anew.

    Args:
        transaction: to write in.
        inputs: derives them.
        entry: the order that came late, or whose label did.
        reach_us: how much later an order may be that this changes, by key.
        since_us: orders up to this moment do not change.
        until_us: the moment from which the reach counts.
    """
    for kind, key in zip(inputs.kinds, entry.keys, strict=False):
        if not key or not reach_us[kind]:
            continue
        younger = transaction.later(kind, key, since_us, until_us + reach_us[kind])
        for row in range(len(younger)):
            record = younger.take(slice(row, row + 1))
            past = Past(transaction, kind, key, int(record.time_us[0]))
            latest = past.latest(inputs.derived.most_back(kind), record.take(slice(0, 0)))
            renewed = inputs.with_kept(record, inputs.derive(past, record, latest))
            known = transaction.entry(record.name())
            owners = entry.keys if known is None else known.keys
            for each, owner in zip(inputs.kinds, owners, strict=False):
                if owner:
                    transaction.replace(each, owner, renewed)
