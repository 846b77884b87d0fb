"""The contract of the raw events: read, check, and write them in their canonical types, or refuse them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts import casting, suites
from data_contracts.columns import Column, event_columns
from data_contracts.context import check
from data_contracts.findings import MAX_EXAMPLES, ContractViolation, Example, Finding, merge, raise_if_stopped
from data_contracts.periods import repeated_orders, summarise_periods
from data_contracts.report import write_report
from data_contracts.sources import EventFile, EventTable, find_files
from tsa_model.dataset import DatasetDescription
from tsa_model.files import atomic_file, write_json
from tsa_model.run_config import RunConfig

if TYPE_CHECKING:
    import pandas as pd

Source = EventFile | EventTable


@dataclass
class _Reading:
    """What was seen while the events were read part by part."""

    findings: list[Finding] = field(default_factory=list)
    rows: int = 0
    ignored: list[str] = field(default_factory=list)
    """Columns of the input that the description does not name."""


def validate_events(
    events: str,
    run: RunConfig,
    events_path: str | Path,
    report_path: str | Path,
    result_path: str | Path,
) -> dict[str, Any]:
    """Check raw events against the dataset description and write them in canonical types.

    The report and the result are written whatever the verdict; the events only when the contract holds.

    Args:
        events: CSV, gzipped CSV or Parquet file, or a folder of them; empty = simulate (`run.simulation`).
        run: the run description.
        events_path: Parquet file to write: ids int64 or text, order time int64 epoch seconds UTC, label
            int8 or null, categories text, numbers float64; input order is kept.
        report_path: HTML page to write.
        result_path: JSON result to write, with the offending order ids.

    Returns:
        Figures for the stage table: rows, frauds, fraud_rate, checks, warnings, key_figure.

    Raises:
        ContractViolation: the events break the contract; nothing is written to `events_path`.
    """
    subject = str(events) or "simulated orders"
    reading, periods = _Reading(), []
    with atomic_file(events_path) as temporary:
        try:
            _read(_sources(events, run), run.dataset, reading, temporary)
            if not any(finding.stops for finding in reading.findings):
                reading.findings += _check_whole(temporary, run.dataset, reading.rows)
                periods = summarise_periods(temporary, run.dataset)
                reading.findings += _check_periods(periods)
        except ContractViolation as error:
            reading.findings.append(Finding("the events can be read", detail=str(error)))
        reading.findings = merge(reading.findings)
        result = _result(subject, run.dataset, reading, periods)
        write_json(result_path, result)
        write_report(report_path, result)
        raise_if_stopped(reading.findings, subject, str(result_path))
    return _figures(result)


def _sources(events: str, run: RunConfig) -> list[Source]:
    if events:
        return list(find_files(events))
    if run.simulation is None:
        raise ContractViolation("no events are given, and the run description has no simulation section")
    from tsa_model.simulate import simulate_orders

    return [EventTable(pa.Table.from_pandas(simulate_orders(run.simulation), preserve_index=False))]


def _read(sources: list[Source], dataset: DatasetDescription, reading: _Reading, target: Path) -> None:
    """Cast and check part by part; write the canonical rows to `target` while nothing is broken."""
    columns = event_columns(dataset)
    for source in sources:
        reading.findings += _check_schema(source, columns, reading)
    if any(finding.stops for finding in reading.findings):
        return
    whole_ids = _whole_ids(sources, columns)
    suite = suites.raw_events(columns)
    with closing(_CanonicalFile(target)) as file:
        for raw in _parts(sources, columns):
            table, findings = _cast(raw, columns, whole_ids, reading.rows)
            findings += check(_checked_frame(table, columns), suite, name=dataset.order_id)
            reading.findings = merge([*reading.findings, *findings])
            reading.rows += raw.num_rows
            if not any(finding.stops for finding in reading.findings):
                file.write(_canonical(table, columns))


def _parts(sources: list[Source], columns: tuple[Column, ...]) -> Iterator[pa.Table]:
    names = [column.name for column in columns]
    for source in sources:
        yield from source.parts(names)


def _check_schema(source: Source, columns: tuple[Column, ...], reading: _Reading) -> list[Finding]:
    schema = source.schema()
    names = [column.name for column in columns]
    reading.ignored += [name for name in schema.names if name not in names + reading.ignored]
    findings = []
    for column in columns:
        if column.name not in schema.names:
            detail = f"{source} has no such column, only {', '.join(schema.names)}"
        elif not source.is_text and not casting.suits(schema.field(column.name).type, column.kind):
            detail = f"{source} holds {schema.field(column.name).type}"
        else:
            continue
        rows = source.count_rows()
        example = _first_row(source, column.name, columns[0].name)
        sentence = casting.sentence(column.kind, column.name)
        findings.append(Finding(sentence, column.name, rows, rows, example, detail=detail))
    return findings


def _first_row(source: Source, column: str, order_id: str) -> tuple[Example, ...]:
    wanted = [name for name in dict.fromkeys((column, order_id)) if name in source.schema().names]
    first = next(iter(source.parts(wanted)), None) if wanted else None
    if first is None or not first.num_rows:
        return ()
    row = first.slice(0, 1).to_pylist()[0]
    return (Example(row.get(column), row.get(order_id), 1),)


def _whole_ids(sources: list[Source], columns: tuple[Column, ...]) -> frozenset[str]:
    """Text id columns that hold plain whole numbers only: read as such, CSV and Parquet give the same ids."""
    text_sources = [source for source in sources if source.is_text]
    whole = {column.name for column in columns if column.kind == "id"} if text_sources else set()
    for source in text_sources:
        for part in source.parts(sorted(whole)) if whole else ():
            whole -= {name for name in whole if not casting.is_plain_whole(part[name])}
            if not whole:
                break
    return frozenset(whole)


def _cast(
    raw: pa.Table, columns: tuple[Column, ...], whole_ids: frozenset[str], offset: int
) -> tuple[pa.Table, list[Finding]]:
    """Cast a part; rows with an unreadable value are reported once and left out of the table."""
    arrays, findings = {}, []
    unreadable = np.zeros(raw.num_rows, dtype=bool)
    for column in columns:
        cast = casting.cast(raw[column.name], column, column.name in whole_ids)
        arrays[column.name] = cast.values
        unreadable |= cast.unreadable
        bad = np.flatnonzero(cast.unreadable)
        examples = tuple(
            Example(raw[column.name][row].as_py(), raw[columns[0].name][row].as_py(), offset + row + 1)
            for row in bad[:MAX_EXAMPLES].tolist()
        )
        sentence = casting.sentence(column.kind, column.name)
        findings.append(Finding(sentence, column.name, raw.num_rows, len(bad), examples))
    arrays[_ROW] = pa.array(np.arange(offset, offset + raw.num_rows))
    table = pa.table(arrays)
    return (table.filter(pa.array(~unreadable)) if unreadable.any() else table), findings


_ROW = "__row__"
"""Position in the input, kept beside the values while they are checked."""


def _checked_frame(table: pa.Table, columns: tuple[Column, ...]) -> pd.DataFrame:
    import pandas as pd

    names = [c.name for c in columns if c.kind in ("time", "label", "number") or not c.nullable]
    nullable = {pa.int64(): pd.Int64Dtype()}
    frame = table.select(names).to_pandas(types_mapper=nullable.get)
    frame.index = pd.Index(table[_ROW].to_numpy())
    return frame


def _canonical(table: pa.Table, columns: tuple[Column, ...]) -> pa.Table:
    arrays = {}
    for column in columns:
        values = table[column.name]
        if column.kind == "label":
            values = pc.if_else(pc.equal(values, -1), None, values).cast(pa.int8())
        arrays[column.name] = values
    return pa.table(arrays)


class _CanonicalFile:
    """A Parquet file whose schema the first part decides."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None

    def write(self, table: pa.Table) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._path, table.schema, compression="zstd", write_page_checksum=True
            )
        if table.schema != self._writer.schema:
            raise ContractViolation(f"files differ in their types: {self._writer.schema} and {table.schema}")
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def _check_whole(path: Path, dataset: DatasetDescription, rows: int) -> list[Finding]:
    """Rules about all rows together."""
    if not rows:
        return [Finding("there are orders", detail="0 rows")]
    return [Finding("there are orders", rows=rows), repeated_orders(path, dataset.order_id, rows)]


def _check_periods(periods: list[dict[str, Any]]) -> list[Finding]:
    import pandas as pd

    frame = pd.DataFrame(periods)
    learned = frame["period"].isin(["train", "vali"])
    findings = check(frame[learned], suites.learnable_periods(), name="period", noun="period")
    findings += check(frame[~learned], suites.scorable_periods(), "period", "period", severity="warn")
    return [replace(finding, rows=int(learned.sum())) for finding in findings]


def _result(
    subject: str, dataset: DatasetDescription, reading: _Reading, periods: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "contract": "raw events",
        "subject": subject,
        "dataset": dataset.name,
        "passed": not any(finding.stops for finding in reading.findings),
        "rows": reading.rows,
        "findings": [finding.as_json() for finding in reading.findings],
        "columns": [vars(column) for column in event_columns(dataset)],
        "ignored_columns": reading.ignored,
        "periods": periods,
    }


def _figures(result: dict[str, Any]) -> dict[str, Any]:
    frauds = sum(period["frauds"] for period in result["periods"])
    known = sum(period["known_labels"] for period in result["periods"])
    rate = frauds / known if known else 0.0
    return {
        "rows": result["rows"],
        "frauds": frauds,
        "fraud_rate": rate,
        "checks": len(result["findings"]),
        "warnings": sum(not finding["passed"] for finding in result["findings"]),
        "key_figure": f"{result['rows']:,} orders, {rate:.2%} fraud",
    }
