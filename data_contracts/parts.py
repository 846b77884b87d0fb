"""One part of the raw events: cast, held against the contract, and sorted into good rows and bad."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts import suites
from data_contracts.columns import Column
from data_contracts.context import check
from data_contracts.findings import MAX_EXAMPLES, Example, Finding
from tsa_model.events.arrays import is_text, one_array, shown, value_type
from tsa_model.events.ids import IdForm
from tsa_model.events.known_labels import too_early
from tsa_model.events.problems import Problems
from tsa_model.events.roles import cast_role
from tsa_model.events.units import MICROSECONDS
from tsa_model.settings.dataset import DatasetDescription

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class CheckedPart:
    """A part after the checks: good rows, rows set aside, findings."""

    good: pa.Table
    """Rows that satisfy every rule, in canonical types."""
    findings: list[Finding]
    reasons: pa.Array
    """[rows of the part] text, the first rule a row breaks; null in good rows."""
    values: pa.Array
    """[rows of the part] text, the raw value that breaks it."""


def check_part(
    raw: pa.Table,
    columns: tuple[Column, ...],
    dataset: DatasetDescription,
    forms: Mapping[str, IdForm],
    first_row: int,
) -> CheckedPart:
    """Check consecutive rows.

    Args:
        raw: the described columns as read.
        columns: their description; the first is the order id.
        dataset: the data set's.
        forms: how each column of ids is read.
        first_row: position of the first row in the input, counted from 0.
    """
    problems = Problems(raw.num_rows)
    table, findings = _cast(raw, columns, dataset, forms, first_row, problems)
    # A value that could not be read is reported once, not as missing a second time.
    frame = _frame(table, columns, first_row)[~problems.bad]
    for finding in check(frame, suites.raw_events(columns), name=columns[0].name):
        findings.append(replace(finding, rows=raw.num_rows))
        is_bad = np.zeros(raw.num_rows, dtype=bool)
        is_bad[np.array(finding.positions, dtype=np.int64) - first_row] = True
        if finding.positions:
            assert finding.column is not None, "rules about rows are rules about a column"
            problems.note(finding.column, raw[finding.column], is_bad, f'not so: "{finding.sentence}"')
    if dataset.label_time is not None and dataset.label_time in table.column_names:
        findings.append(_label_in_time(raw, table, columns, dataset, first_row, problems))
    good = _canonical(table.filter(pa.array(~problems.bad)), columns)
    why = problems.columns()
    return CheckedPart(good, findings, why["problem"], why["value"])


def _label_in_time(
    raw: pa.Table,
    table: pa.Table,
    columns: tuple[Column, ...],
    dataset: DatasetDescription,
    first_row: int,
    problems: Problems,
) -> Finding:
    """No label is known before its order was placed; rows that say so are noted in `problems`."""
    name = dataset.label_time
    assert name is not None
    early = too_early(one_array(table[name]), one_array(table[dataset.order_time]))
    sentence = f"no {name} lies before the {dataset.order_time} of its order"
    problems.note(name, raw[name], early, f'not so: "{sentence}"')
    rows = np.flatnonzero(early)
    examples = _examples(raw, name, columns[0].name, rows, first_row)
    return Finding(sentence, name, raw.num_rows, len(rows), examples)


def cast_part(
    raw: pa.Table,
    columns: tuple[Column, ...],
    dataset: DatasetDescription,
    forms: Mapping[str, IdForm],
    first_row: int,
) -> tuple[pa.Table, list[Finding]]:
    """Cast consecutive rows without holding them against the rules; see `check_part`.

    Returns:
        The rows that can be cast, in canonical types, and what the casts found.
    """
    problems = Problems(raw.num_rows)
    table, findings = _cast(raw, columns, dataset, forms, first_row, problems)
    return _canonical(table.filter(pa.array(~problems.bad)), columns), findings


def _cast(
    raw: pa.Table,
    columns: tuple[Column, ...],
    dataset: DatasetDescription,
    forms: Mapping[str, IdForm],
    first_row: int,
    problems: Problems,
) -> tuple[pa.Table, list[Finding]]:
    arrays, findings = {}, []
    for column in columns:
        cast = cast_role(raw[column.name], column.kind, column.name, dataset, forms)
        arrays[column.name] = cast.values
        bad = np.flatnonzero(cast.bad)
        examples = _examples(raw, column.name, columns[0].name, bad, first_row)
        problems.note(column.name, raw[column.name], cast.bad, f'not so: "{column.sentence}"')
        findings.append(
            Finding(
                column.sentence,
                column.name,
                raw.num_rows,
                len(bad),
                examples,
                detail=cast.hint,
            )
        )
        if cast.words is not None:
            words = np.flatnonzero(cast.words)
            examples = _examples(raw, column.name, columns[0].name, words, first_row)
            sentence = f"every missing {column.name} is an empty text, not a word for one"
            findings.append(
                Finding(sentence, column.name, raw.num_rows, len(words), examples, severity="warn")
            )
    return pa.table(arrays), findings


def _examples(
    raw: pa.Table, column: str, order_id: str, rows: np.ndarray, first_row: int
) -> tuple[Example, ...]:
    rows = rows[:MAX_EXAMPLES]
    values, orders = _some(raw[column], rows), _some(raw[order_id], rows)
    positions = (first_row + rows + 1).tolist()
    return tuple(map(Example, values, orders, positions))


def _some(column: pa.ChunkedArray, rows: np.ndarray) -> list[Any]:
    """Values as they came; texts cut, for a thousand long ones would fill the memory."""
    values = shown(column, rows) if is_text(value_type(column.type)) else column.take(pa.array(rows))
    return values.to_pylist()


def _frame(table: pa.Table, columns: tuple[Column, ...], first_row: int) -> pd.DataFrame:
    """The columns the suite speaks of, times in seconds, indexed by position in the input."""
    import pandas as pd

    arrays = {}
    for column in columns:
        if column.kind == "time":
            arrays[column.name] = pc.divide(table[column.name], MICROSECONDS)
        elif column.kind in ("label", "number") or not column.nullable:
            arrays[column.name] = table[column.name]
    frame = pa.table(arrays).to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    frame.index = pd.RangeIndex(first_row, first_row + len(frame))
    return frame


def _canonical(table: pa.Table, columns: tuple[Column, ...]) -> pa.Table:
    arrays = {}
    for column in columns:
        values = table[column.name]
        if column.kind == "label":
            values = pc.if_else(pc.equal(values, -1), None, values).cast(pa.int8())
        elif column.dtype == "timestamp":
            values = values.cast(pa.timestamp("us", "UTC"))
        elif column.kind == "number" and column.nullable:
            values = pc.if_else(pc.is_nan(values), None, values)
        arrays[column.name] = values
    return pa.table(arrays)
