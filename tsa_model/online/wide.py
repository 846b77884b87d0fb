"""Orders that bring their own histories, as the legacy's handler takes them: scored, and nothing is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsa_model.batch import ENGINEERED, history_names
from tsa_model.batch import Sequences as SequencesKind
from tsa_model.events.arrays import MAX_HISTORY, flags
from tsa_model.events.casting import cast_number
from tsa_model.events.units import UNKNOWN_LABEL
from tsa_model.events.wide.histories import KEYS, UnusableRows, WideLayout, WideSequences, read_sequences
from tsa_model.events.wide.texts import TextRows
from tsa_model.online.cells import WrongOrder
from tsa_model.sequences import Preprocessing
from tsa_model.sequences.columns.event_columns import Columns
from tsa_model.sequences.features.encoding import Encoding, Role
from tsa_model.sequences.store.gather import SequenceGather, SortedEvents
from tsa_model.settings.dataset import DatasetDescription

REMEDY = "send the columns of the wide layout as texts, histories joined by ~, oldest first"


def needs_more_than_rows(description: DatasetDescription) -> str:
    """Why wide rows do not hold all that a model reads; empty where they do."""
    if description.known_label:
        return "the model reads the labels of earlier orders (known_label), which wide rows do not hold"
    if description.derived:
        columns = ", ".join(sorted(description.derived))
        return f"the model reads columns that are derived from earlier orders ({columns})"
    return ""


class WideRows:
    """Rows of the wide layout → batches, by the functions that read a log of them.

    Args:
        description: the columns' roles.
        fitted: vocabulary, scaler and defaults.
        sequences: the histories that the network reads.

    Raises:
        ValueError: wide rows do not hold all that the model reads.
    """

    def __init__(
        self, description: DatasetDescription, fitted: Preprocessing, sequences: SequencesKind
    ) -> None:
        if problem := needs_more_than_rows(description):
            raise ValueError(f"{problem}: send raw orders to /score instead")
        is_wide = description.layout == "wide"
        suffixes = (description.customer_id, description.card_id) if is_wide else KEYS
        self._keys = [name for name in suffixes[: 1 + (description.card_id is not None)] if name is not None]
        self._layout, self._d = WideLayout.of(description), description
        self._encoding, self._gather = Encoding(fitted), SequenceGather(description, fitted)
        self._names = history_names(sequences)
        wanted = [*self._layout.columns(self._keys), *description.engineered]
        self.columns = list(dict.fromkeys(wanted))

    def example(self) -> dict[str, Any]:
        """A made-up row without histories, to warm up with."""
        d = self._d
        row: dict[str, Any] = dict.fromkeys(self.columns)
        row |= dict.fromkeys((*d.numerical, *d.engineered), "1")
        return row | {d.order_id: "0", d.order_time: d.split.test_start.isoformat()}

    def batch(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        """The tensors of wide rows.

        Args:
            rows: the columns of the wide layout; other columns are left aside.

        Raises:
            WrongOrder: a column is missing, or a value cannot be parsed.
        """
        texts = TextRows(
            [self._texts(row, place) for place, row in enumerate(rows)], self.columns, "the request"
        )
        batch: dict[str, np.ndarray] = {}
        try:
            for key, names in zip(self._keys, self._names, strict=False):
                sequences = read_sequences(texts, self._layout, key, self._d.seq_len)
                if problem := sequences.matching.problem(key):
                    raise WrongOrder(0, f"cat_objectId_by_{key}", None, f"of no use: {problem}", REMEDY)
                batch |= zip(names, self._padded(sequences), strict=True)
        except UnusableRows as error:
            column, _, problem = error.reason.removeprefix("column ").partition(": ")
            value = error.values[0].as_py()
            raise WrongOrder(int(error.rows[0]), column, value, problem, REMEDY) from None
        if self._d.engineered:
            batch[ENGINEERED] = self._engineered(texts, rows)
        return batch

    def _texts(self, row: Mapping[str, Any], place: int) -> dict[str, str]:
        texts = {}
        for column in self.columns:
            if column not in row:
                raise WrongOrder(place, column, None, "not there", REMEDY)
            value = row[column]
            if isinstance(value, (dict, list)):
                raise WrongOrder(place, column, None, f"a {type(value).__name__}, not a single value", REMEDY)
            text = "" if value is None else str(value)
            if len(text.encode("utf-8", "replace")) > MAX_HISTORY or "\x00" in text:
                asked = f"at most {MAX_HISTORY:,} bytes, none of them zero"
                raise WrongOrder(place, column, text, f"not a text of {asked}", REMEDY)
            if not text.isascii():
                try:
                    text.encode()
                except UnicodeEncodeError:
                    problem = "a text with half a character"
                    raise WrongOrder(place, column, None, problem, REMEDY) from None
            texts[column] = text
        return texts

    def _padded(self, sequences: WideSequences) -> tuple[np.ndarray, ...]:
        columns = Columns(
            time_us=sequences.time_us, label=np.full(len(sequences.time_us), UNKNOWN_LABEL, np.int8)
        )
        for name, codes in sequences.categorical.items():
            columns.categorical.add(name, partial(_itself, codes))
        for name, values in sequences.numerical.items():
            columns.numerical.add(name, partial(_itself, values))
        end = np.cumsum(sequences.length)
        events = SortedEvents(
            self._matrix("categorical", columns),
            self._matrix("numerical", columns),
            np.append(columns.time_us, 0),
            np.append(columns.label, np.int8(UNKNOWN_LABEL)),
            position=end - 1,
            start=end - sequences.length,
            end=end - 1,
        )
        rows = np.arange(len(end))
        return self._gather(events, rows, columns.time_us[end - 1])

    def _matrix(self, role: Role, columns: Columns) -> np.ndarray:
        names = self._encoding.names(role, columns)
        matrix = np.zeros((len(columns) + 1, len(names)), self._encoding.dtype(role))
        for place, name in enumerate(names):
            matrix[:-1, place] = self._encoding.column(role, columns, name)
        return matrix

    def _engineered(self, texts: TextRows, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        columns = Columns(time_us=np.zeros(len(rows), np.int64), label=np.zeros(len(rows), np.int8))
        for name in self._d.engineered:
            cast = cast_number(texts.column(name), self._d.csv.decimal)
            is_missing = flags(pc.is_null(cast.values)) & (name not in self._d.may_be_missing)
            for row in np.flatnonzero(cast.bad | is_missing).tolist():
                reason = cast.reason if cast.bad[row] else "missing"
                raise WrongOrder(row, name, rows[row][name], reason, REMEDY)
            columns.numerical.add(name, partial(_itself, pc.cast(cast.values, pa.float64()).to_numpy(False)))
        return self._matrix("engineered", columns)[:-1]


def positional(value: float) -> str:
    """A number without an exponent, in the shortest form that reads back as the same number."""
    return np.format_float_positional(value, trim="-")


def _itself(values: Any) -> Any:
    return values
