"""Wide rows, each with its own histories → `Prepared`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsa_model.events.arrays import MAX_HISTORY, flags
from tsa_model.events.casting import Cast, cast_label, cast_moment, cast_number
from tsa_model.events.errors import BadEvents
from tsa_model.events.ids import IdForm, cast_id, read_id_forms
from tsa_model.events.quarantine import REPEATED, BadRows
from tsa_model.events.reading import read_parts
from tsa_model.events.units import UNKNOWN_LABEL
from tsa_model.events.wide.duplicates import RepeatedOrders
from tsa_model.events.wide.histories import KEYS, UnusableRows, WideLayout, WideSequences, read_sequences
from tsa_model.events.wide.matching import Matching
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
    form = read_id_forms(events, description)[description.order_id]
    log = _WideLog(description, files, form)

    def parts(columns: Sequence[str]) -> Iterator[tuple[pa.Table, pa.Array]]:
        for _, part in read_parts(events, columns, PART_CELLS, description.csv):
            yield part, log.order_ids(part).values

    log.repeated = RepeatedOrders.find(parts, log.columns)
    n_rows = 0
    with BadRows(description, bad_path) as bad:
        for origin, part in read_parts(events, log.columns, PART_CELLS, description.csv):
            n_rows += len(part)
            log.add(origin, part, bad)
        bad.check(n_rows)
    if bad.n_rows == n_rows:
        raise BadEvents(f"{n_rows:,} rows were read and none is left to be used")
    log.check_histories()
    return log.prepared(n_quarantined=bad.n_rows)


class _WideLog:
    """Collects parsed rows in column files, in the order they come."""

    def __init__(self, description: DatasetDescription, files: ColumnFiles, form: IdForm) -> None:
        self._description, self._files, self._form = description, files, form
        self.repeated: RepeatedOrders | None = None
        suffixes = [description.customer_id, description.card_id]
        self._keys = {key: suffix for key, suffix in zip(KEYS, suffixes, strict=True) if suffix is not None}
        self._layout = WideLayout.of(description)
        self._matching = {suffix: Matching() for suffix in self._keys.values()}
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
        assert self.repeated is not None
        part = part.filter(pa.array(~self.repeated.later_copies(self.order_ids(part).values)))
        while len(part):
            try:
                rows = TextRows(part, self.columns, origin)
                for name, too_long in rows.too_long.items():
                    reason = f"longer than {MAX_HISTORY:,} bytes"
                    raise UnusableRows(rows, name, np.flatnonzero(too_long), reason)
                ids = self._checked(rows, self._description.order_id, self.order_ids(part), True)
                if len(conflicts := self.repeated.conflicts(ids)):
                    raise UnusableRows(rows, self._description.order_id, conflicts, REPEATED)
                parsed = {
                    key: read_sequences(rows, self._layout, suffix, self._description.seq_len)
                    for key, suffix in self._keys.items()
                }
                own = {"order_id": ids} | self._own_columns(rows, part)
            except UnusableRows as error:
                wrong = part.take(pa.array(error.rows))
                reasons = pa.repeat(error.reason, len(wrong))
                ids = wrong[self._description.order_id]
                bad.add(origin, ids, reasons, error.values, wrong)
                part = _without(part, error.rows)
                continue
            self._append(parsed, own)
            return

    def check_histories(self) -> None:
        """Refuse histories whose two sides do not match."""
        for suffix, matching in self._matching.items():
            matching.check(suffix)

    def _checked(self, rows: TextRows, column: str, cast: Cast, required: bool = False) -> pa.Array:
        is_missing = flags(pc.is_null(cast.values)) & ~cast.bad
        for bad, reason in ((cast.bad, cast.reason), (is_missing & required, "missing")):
            if bad.any():
                raise UnusableRows(rows, column, np.flatnonzero(bad), reason)
        return cast.values

    def order_ids(self, part: pa.Table) -> Cast:
        """The order ids of a part, in the form of their column."""
        return cast_id(part[self._description.order_id], self._form, self._description.missing_words)

    def _own_columns(self, rows: TextRows, part: pa.Table) -> dict[str, pa.Array]:
        """Time, label and engineered features of the orders themselves."""
        d, decimal = self._description, self._description.csv.decimal
        own = {
            "time_us": self._checked(rows, d.order_time, cast_moment(part[d.order_time]), True),
            "label": self._checked(rows, d.label, cast_label(part[d.label], decimal)),
        }
        for name in d.engineered:
            own[f"engineered {name}"] = self._checked(rows, name, cast_number(part[name], decimal))
        return own

    def _append(self, parsed: dict[str, WideSequences], own: dict[str, pa.Array]) -> None:
        self._ids.append(own.pop("order_id"))
        for name, values in own.items():
            self._files.append(name, values.to_numpy(zero_copy_only=False))
        for key, sequences in parsed.items():
            self._matching[self._keys[key]] += sequences.matching
            self._files.append(f"{key} length", sequences.length)
            self._files.append(f"{key} time_us", sequences.time_us)
            for name, codes in sequences.categorical.items():
                self._files.append(f"{key} cat {name}", self._texts[key, name].renumber(codes))
            for name, values in sequences.numerical.items():
                self._files.append(f"{key} num {name}", values)

    def prepared(self, n_quarantined: int) -> Prepared:
        """Put the rows in chronological order."""
        ids, time_us = self._ids.read(), self._files.read("time_us")
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


def _without(part: pa.Table, rows: np.ndarray) -> pa.Table:
    keep = np.ones(len(part), dtype=bool)
    keep[rows] = False
    return part.filter(pa.array(keep))
