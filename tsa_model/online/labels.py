"""Labels as windows count them."""

from __future__ import annotations

import numpy as np

from tsa_model.events.units import UNKNOWN_LABEL
from tsa_model.online.derived import label_due_us
from tsa_model.online.history import LABELS, LATE_LABELS, Columns, KeyKind, Stream, Transaction
from tsa_model.online.records import Records


def count_label(
    transaction: Transaction, kind: KeyKind, key: bytes, record: Records, is_gone: bool = False
) -> None:
    """Count the label of an order, where it has one and windows look at labels; or count it no more.

    Args:
        transaction: to write in.
        kind: of the key whose labels are counted.
        key: the key.
        record: one row.
        is_gone: the label stands no more.
    """
    columns = transaction.columns
    if kind not in columns.labelled or record.label[0] == UNKNOWN_LABEL:
        return
    stream, counted = label_of(record, kind, columns)
    if is_gone:
        transaction.remove(stream, key, counted)
    else:
        transaction.insert(stream, key, counted)


def label_of(record: Records, kind: KeyKind, columns: Columns) -> tuple[Stream, Records]:
    """The label of an order as it is kept for windows, and where.

    Args:
        record: one row with a known label.
        kind: of the key whose labels are counted.
        columns: the store's.
    """
    if columns.has_label_times:
        return LABELS[kind], labels_by_moment(record, columns)
    due_us = label_due_us(int(record.time_us[0]), columns.label_delay_us)
    known_us = int(record.known_us[0])
    stream = LABELS[kind] if known_us <= due_us else LATE_LABELS[kind]
    return stream, as_labels(record, columns, np.array([due_us], np.int64), record.known_us)


def labels_of(records: Records, columns: Columns) -> Records:
    """Labels of a loaded log that are known in time, sorted by the moment from which they count."""
    if columns.has_label_times:
        return labels_by_moment(records, columns)
    due_us = label_due_us(records.time_us, columns.label_delay_us)
    return as_labels(records, columns, due_us, records.known_us)


def labels_by_moment(records: Records, columns: Columns) -> Records:
    """Labels by the moments from which they are known; in place of it they hold their orders' times."""
    by_moment = np.lexsort((records.order_id, records.known_us))
    return as_labels(records, columns, records.known_us, records.time_us).take(by_moment)


def as_labels(records: Records, columns: Columns, moment_us: np.ndarray, other_us: np.ndarray) -> Records:
    """Records of labels, with the numbers that windows sum of known frauds.

    Args:
        records: [N] orders.
        columns: the store's.
        moment_us: [N] int64, by which they are kept.
        other_us: [N] int64, another moment of each.
    """
    none = np.empty((len(records), 0), np.uint64)
    numbers = records.numbers[:, [columns.numerical.index(name) for name in columns.fraud_summed]]
    return Records(moment_us, other_us, records.label, none, numbers, records.order_id)
