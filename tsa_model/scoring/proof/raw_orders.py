"""The events behind a score file, read in passes: every order's own line, then all rows of some keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tsa_model.events.arrays import flags, one_array
from tsa_model.events.casting import cast_label, cast_moment
from tsa_model.events.cleaning import clean, split_bad, wanted_columns
from tsa_model.events.ids import IdForm, cast_id, read_id_forms
from tsa_model.events.reading import open_events
from tsa_model.events.units import DAY_US, UNKNOWN_LABEL
from tsa_model.settings.dataset import DatasetDescription

MOST_ROWS = 2_000_000
"""Rows of the events that are held at once."""


class TooManyRows(Exception):
    """The histories of the sampled orders hold more rows than are kept in memory."""


@dataclass(frozen=True)
class Lines:
    """What n rows of the events say of the orders themselves."""

    order_id: pa.Array
    """int64, or text."""
    customer: pa.Array | None
    """None in the wide layout, whose rows carry their histories."""
    card: pa.Array | None
    time_us: NDArray[np.int64]
    label: NDArray[np.int64]
    """-1 = not known."""
    known_us: NDArray[np.int64]
    """From when on the label is known."""
    is_scored: bool
    """False for the earlier orders that come from a file of their own."""


class RawOrders:
    """Events and how their columns are read.

    Args:
        events: see `open_events`.
        description: the columns' roles.
        history: earlier orders that are not scored, in a file of their own; None = they lie in `events`.
    """

    def __init__(self, events: Any, description: DatasetDescription, history: Any = None) -> None:
        self.description = description
        self._sources = [
            (source, is_scored)
            for given, is_scored in ((history, False), (events, True))
            if given is not None
            for source in open_events(given, description.csv, optional=description.label_columns).sources
        ]
        sources = [source for source, _ in self._sources]
        self.forms: dict[str, IdForm] = read_id_forms(sources, description, self.id_columns)

    @property
    def id_columns(self) -> list[str]:
        """The columns of ids that are read, the order's first."""
        d = self.description
        keys = [] if d.layout == "wide" else [d.customer_id, d.card_id]
        return [d.order_id, *(key for key in keys if key is not None)]

    def parts(self, columns: list[str]) -> Iterator[tuple[str, pa.Table, bool]]:
        """Parts of all rows: where they come from, the columns, and whether they are to be scored."""
        for source, is_scored in self._sources:
            yield from ((str(source), part, is_scored) for part in source.parts(columns))

    def lines(self) -> Iterator[Lines]:
        """Every usable row's id, keys, time and label, part by part."""
        d = self.description
        columns = list(dict.fromkeys([*self.id_columns, d.order_time, *d.label_columns]))
        for _, part, is_scored in self.parts(columns):
            ids = {name: self.ids(part, name) for name in self.id_columns}
            moment = cast_moment(one_array(part[d.order_time])).values
            usable = pc.and_(pc.is_valid(ids[d.order_id]), pc.is_valid(moment))
            kept = {name: values.filter(usable) for name, values in ids.items()}
            time_us = moment.filter(usable).cast(pa.int64()).to_numpy(zero_copy_only=False)
            label = cast_label(one_array(part[d.label]), d.csv.decimal).values.filter(usable)
            label = pc.fill_null(label, UNKNOWN_LABEL).to_numpy(zero_copy_only=False).astype(np.int64)
            known_us = time_us + round(d.label_delay_days * DAY_US)
            if d.label_time is not None:
                told = pc.fill_null(cast_moment(one_array(part[d.label_time])).values.filter(usable), -1)
                told_us = told.to_numpy(zero_copy_only=False)
                known_us = np.where(told_us >= 0, told_us, known_us)
            wide = d.layout == "wide"
            customer = None if wide else kept[d.customer_id]
            card = None if wide or d.card_id is None else kept[d.card_id]
            yield Lines(kept[d.order_id], customer, card, time_us, label, known_us, is_scored)

    def ids(self, part: pa.Table, name: str) -> pa.Array:
        """A column of ids; null where there is none."""
        return cast_id(one_array(part[name]), self.forms[name], self.description.missing_words).values

    def rows_of(self, keys: dict[str, pa.Array]) -> pa.Table:
        """All usable rows of some keys, cleaned (see `clean`), an exact duplicate once.

        Args:
            keys: column of ids → the ids whose rows are wanted.

        Raises:
            TooManyRows: there are more than `MOST_ROWS`.
        """
        kept: list[pa.Table] = []
        n_rows = 0
        for _, part, _ in self.parts(wanted_columns(self.description)):
            wanted = np.zeros(len(part), bool)
            for name, ids in keys.items():
                wanted |= flags(pc.is_in(self.ids(part, name), value_set=ids))
            if not wanted.any():
                continue
            part = part.filter(pa.array(wanted))
            cleaned, _ = split_bad(part, clean(part, self.description, self.forms), self.description)
            kept.append(cleaned)
            n_rows += len(cleaned)
            if n_rows > MOST_ROWS:
                raise TooManyRows
        table = pa.concat_tables(kept)
        return self._without_conflicts(table.group_by(table.column_names).aggregate([]))

    def _without_conflicts(self, table: pa.Table) -> pa.Table:
        """Without the rows of an order id that stands for different rows: which is right is unknown."""
        if self.description.on_bad_rows == "stop":
            return table  # such events make no store, and so no scores
        ids = table["order_id"].combine_chunks()
        other_rows = []
        for _, part, _ in self.parts(wanted_columns(self.description)):
            part = part.filter(pc.is_in(self.ids(part, self.description.order_id), value_set=ids))
            cleaned, _ = split_bad(part, clean(part, self.description, self.forms), self.description)
            other_rows.append(cleaned)
        every = pa.concat_tables([table, *other_rows])
        distinct = every.group_by(every.column_names).aggregate([])
        counts = distinct.group_by("order_id").aggregate([([], "count_all")])
        conflicting = counts.filter(pc.greater(counts["count_all"], 1))["order_id"].combine_chunks()
        return table.filter(pc.invert(pc.is_in(table["order_id"], value_set=conflicting)))
