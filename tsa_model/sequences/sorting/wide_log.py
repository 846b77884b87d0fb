"""Wide rows, each with its own histories → `Prepared`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsa_model.events.casting import Cast, cast_id, cast_label, cast_moment, cast_number, is_plain_whole
from tsa_model.events.quarantine import REPEATED, BadRows
from tsa_model.events.reading import BadEvents, are_text_files, one_array, read_parts
from tsa_model.events.units import UNKNOWN_LABEL
from tsa_model.events.wide.histories import KEYS, UnusableRows, WideLayout, WideSequences, read_sequences
from tsa_model.events.wide.texts import TextRows
from tsa_model.sequences.columns.column_files import ColumnFiles, IdColumn, TextColumn
from tsa_model.sequences.columns.event_columns import Columns, KeyedEvents, Orders, Prepared
from tsa_model.settings.dataset import DatasetDescription

PART_CELLS = 250_000
"""Values read at a time; one is a whole history."""


def prepare_wide_log(
    events: Any, description: DatasetDescription, files: ColumnFiles, bad_path: Path
) -> Prepared:
    """Read wide rows.

    Args:
        events: see `read_parts`.
        description: roles, and what to do with bad rows.
        files: where the columns are written; the result maps them.
        bad_path: where the quarantine file is written, if there is anything to write.

    Raises:
        BadEvents: the rows cannot be used.
    """
    repeated = _repeated_ids(events, description.order_id)
    log = _WideLog(description, files, repeated)
    n_rows = 0
    with BadRows(description, bad_path) as bad:
        for origin, part in read_parts(events, log.columns, PART_CELLS):
            n_rows += len(part)
            log.add(origin, part, bad)
        bad.check(n_rows)
    if bad.n_rows == n_rows:
        raise BadEvents(f"{n_rows:,} rows were read and none is left to be used")
    return log.prepared(whole_ids=are_text_files(events), n_quarantined=bad.n_rows)


def _repeated_ids(events: Any, column: str) -> pa.Array:
    """Order ids, as text, that more than one row has."""
    parts = [one_array(part[column]).cast(pa.string()) for _, part in read_parts(events, [column])]
    counts = pc.value_counts(pa.chunked_array(parts, pa.string()))
    return counts.field("values").filter(pc.greater(counts.field("counts"), 1))


class _WideLog:
    """Collects parsed rows in column files, in the order they come."""

    def __init__(self, description: DatasetDescription, files: ColumnFiles, repeated: pa.Array) -> None:
        self._description, self._files, self._repeated = description, files, repeated
        suffixes = [description.customer_id, description.card_id]
        self._keys = {key: suffix for key, suffix in zip(KEYS, suffixes, strict=True) if suffix is not None}
        self._layout = WideLayout(
            order_id=description.order_id,
            order_time=description.order_time,
            categorical=description.categorical,
            numerical=description.numerical,
            numeric_categorical=frozenset(description.numeric_categorical),
            float_categorical=frozenset(description.float_categorical),
        )
        names = [*self._layout.columns(list(self._keys.values())), description.label, *description.engineered]
        self.columns = list(dict.fromkeys(names))
        self._ids = IdColumn(files)
        self._texts = {
            (key, name): TextColumn(name, 10 * description.max_values)
            for key in self._keys
            for name in description.categorical
        }

    def add(self, origin: str, part: pa.Table, bad: BadRows) -> None:
        """Parse one part; rows that cannot be parsed go to `bad`."""
        while len(part):
            try:
                rows = TextRows(part, self.columns, origin)
                self._refuse_repeated(rows)
                parsed = {
                    key: read_sequences(rows, self._layout, suffix, self._description.seq_len)
                    for key, suffix in self._keys.items()
                }
                own = self._own_columns(rows)
            except UnusableRows as error:
                wrong = part.take(pa.array(error.rows))
                reasons = pa.repeat(error.reason, len(wrong))
                ids = wrong[self._description.order_id]
                bad.add(origin, ids, reasons, error.values, wrong)
                keep = np.ones(len(part), dtype=bool)
                keep[error.rows] = False
                part = part.filter(pa.array(keep))
                continue
            self._append(parsed, own)
            return

    def _refuse_repeated(self, rows: TextRows) -> None:
        column = self._description.order_id
        bad = np.flatnonzero(pc.is_in(rows.column(column), self._repeated).to_numpy(zero_copy_only=False))
        if len(bad):
            raise UnusableRows(rows, column, bad, REPEATED)

    def _own_columns(self, rows: TextRows) -> dict[str, pa.Array]:
        """Id, time, label and engineered features of the orders themselves."""
        d = self._description

        def checked(column: str, cast: Cast, required: bool) -> pa.Array:
            is_missing = _flags(pc.is_null(cast.values)) & ~cast.bad
            for bad, reason in ((cast.bad, f"not {cast.asked}"), (is_missing & required, "missing")):
                if bad.any():
                    raise UnusableRows(rows, column, np.flatnonzero(bad), reason)
            return cast.values

        own = {
            "order_id": checked(d.order_id, cast_id(rows.column(d.order_id)), True),
            "time_us": checked(d.order_time, cast_moment(rows.column(d.order_time)), True),
            "label": checked(d.label, cast_label(rows.column(d.label)), False),
        }
        for name in d.engineered:
            own[f"engineered {name}"] = checked(name, cast_number(rows.column(name)), False)
        return own

    def _append(self, parsed: dict[str, WideSequences], own: dict[str, pa.Array]) -> None:
        self._ids.append(own.pop("order_id"))
        for name, values in own.items():
            self._files.append(name, values.to_numpy(zero_copy_only=False))
        for key, sequences in parsed.items():
            self._files.append(f"{key} length", sequences.length)
            self._files.append(f"{key} time_us", sequences.time_us)
            for name, codes in sequences.categorical.items():
                self._files.append(f"{key} cat {name}", self._texts[key, name].renumber(codes))
            for name, values in sequences.numerical.items():
                self._files.append(f"{key} num {name}", values)

    def prepared(self, whole_ids: bool, n_quarantined: int) -> Prepared:
        """Put the rows in chronological order."""
        ids, time_us = self._ids.read(), self._files.read("time_us")
        if whole_ids and is_plain_whole(pa.array(ids, pa.binary()).cast(pa.string())):
            ids = ids.astype(np.int64)
        order = np.lexsort((ids, time_us))
        keyed = {key: self._keyed(key, order) for key in self._keys}
        first = keyed[KEYS[0]]
        current = first.places["rows"][first.places["position"]]
        orders = Orders(
            order_id=ids[order],
            time_us=time_us[order],
            label=self._files.read("label")[order],
        )
        for name, codes in first.columns.categorical.items():
            self._files.put(f"current {name}", codes.code[current])
            orders.categorical.add(
                name, partial(self._texts[KEYS[0], name].codes, self._files, f"current {name}")
            )
        for name, values in first.columns.numerical.items():
            self._files.put(f"current number {name}", values[current])
            orders.numerical.add(name, partial(self._files.read, f"current number {name}"))
        for name in self._description.engineered:
            self._files.put(f"order {name}", self._files.read(f"engineered {name}")[order])
            orders.numerical.add(name, partial(self._files.read, f"order {name}"))
        return Prepared(orders=orders, keyed=keyed, n_quarantined=n_quarantined)

    def _keyed(self, key: str, order: np.ndarray) -> KeyedEvents:
        """Concatenate the sequences in the orders' order; a history is then what lies before its order."""
        length = self._files.read(f"{key} length")
        begin = np.cumsum(length) - length
        end = np.cumsum(length[order])
        start = end - length[order]
        rows = np.repeat(begin[order] - start, length[order]) + np.arange(end[-1])
        time_us = self._files.read(f"{key} time_us")
        columns = Columns(time_us=time_us, label=np.broadcast_to(np.int8(UNKNOWN_LABEL), len(time_us)))
        for name in self._description.categorical:
            columns.categorical.add(
                name, partial(self._texts[key, name].codes, self._files, f"{key} cat {name}")
            )
        for name in self._description.numerical:
            columns.numerical.add(name, partial(self._files.read, f"{key} num {name}"))
        places = {"rows": rows, "position": end - 1, "start": start, "end": end - 1}
        places = {name: values.astype(np.int32) for name, values in places.items()}
        return KeyedEvents(columns=columns, places=self._files.put_all(f"{key} place", places))


def _flags(values: pa.Array) -> np.ndarray:
    return values.to_numpy(zero_copy_only=False).astype(bool)
