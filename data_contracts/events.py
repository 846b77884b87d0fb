"""The contract of the raw events: read, check, and write them in their canonical types, or refuse them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from data_contracts.columns import FOR_CHAMPION, Column, event_columns
from data_contracts.drift import check_drift, measure_features, measure_periods
from data_contracts.fetching import local_copy
from data_contracts.findings import Example, Finding, merge
from data_contracts.histories import Histories
from data_contracts.oddities import find_oddities
from data_contracts.parts import check_part
from data_contracts.result import publish_result
from data_contracts.sources import open_sources
from data_contracts.spellings import check_spellings
from data_contracts.whole import check_periods, connect, repeated_orders, summarise_periods
from data_contracts.writing import CanonicalFile, RowsAside, without_repeated
from tsa_model.events.errors import BadEvents
from tsa_model.events.files import EventFile
from tsa_model.events.ids import read_id_forms
from tsa_model.events.reading import Opened, Source
from tsa_model.events.roles import suits
from tsa_model.files import atomic_file, sha256
from tsa_model.settings.dataset import DatasetDescription
from tsa_model.settings.run import RunConfig
from tsa_model.signing import require_key

SHOWN_COLUMNS = 30
SHOWN_FILES = 100


@dataclass
class _Reading:
    """Counts and findings of the parts read so far."""

    columns: tuple[Column, ...]
    """What the orders must have."""
    about_input: list[Finding] = field(default_factory=list)
    """Rules about files, columns and periods."""
    about_rows: list[Finding] = field(default_factory=list)
    """Rules about single rows, which may be set aside instead."""
    rows: int = 0
    bad_rows: int = 0
    copies: int = 0
    """Rows left out because the same row stands before them."""
    read: list[tuple[str, int, str]] = field(default_factory=list)
    """Every file: its name, its rows, and what there is to say of it."""
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """Files that were not read, with the reason."""
    ignored: list[str] = field(default_factory=list)
    """Columns of the input that the description does not name."""
    periods: list[dict[str, Any]] = field(default_factory=list)
    drift: list[dict[str, Any]] = field(default_factory=list)


def validate_events(
    events: str,
    run: RunConfig,
    events_path: str | Path,
    report_path: str | Path,
    result_path: str | Path,
    quarantine_path: str | Path | None = None,
    champion: DatasetDescription | None = None,
) -> dict[str, Any]:
    """Check raw events against the dataset description and write them in canonical types.

    Report and result are always written; the events only when the contract holds.

    Args:
        events: CSV, gzipped CSV or Parquet file, or a folder of them, here or in an object store
            (s3://bucket/orders); empty = simulate (`run.simulation`).
        run: the run description.
        events_path: Parquet file to write: ids int64 or text, order time as timestamp (µs, UTC), label
            int8 or null, categories text, numbers float64; input order is kept.
        report_path: HTML page to write.
        result_path: JSON result to write, with the offending order ids.
        quarantine_path: CSV file for rows set aside (`on_bad_rows: quarantine`), with reasons; None = beside
            the result, as `<result_path>.quarantine.csv`.
        champion: what the champion reads of the orders: columns that only it needs are asked for and written
            too. None = there is no champion.

    Returns:
        Figures for the stage table: rows, bad_rows, frauds, fraud_rate, checks, warnings, key_figure.

    Raises:
        ContractViolation: the events break the contract; nothing is written to `events_path`.
    """
    require_key(run.signing)
    subject = str(events) or "simulated orders"
    reading = _Reading(event_columns(run.dataset, champion))
    with (
        atomic_file(events_path) as temporary,
        RowsAside(run.dataset, Path(quarantine_path or f"{result_path}.quarantine.csv")) as aside,
    ):
        try:
            with local_copy(events, temporary.parent) as path:
                _read(open_sources(path, run), Path(path), run.dataset, reading, temporary, aside)
        except BadEvents as error:
            reading.about_input.append(Finding("the events can be read", detail=str(error)))
        findings = _judge(reading, run.dataset)
        facts = {**_facts(run.dataset, reading), "events_sha256": _digest_of(temporary, findings)}
        result = publish_result("raw events", subject, facts, findings, report_path, result_path)
    return _figures(result)


def _digest_of(events: Path, findings: list[Finding]) -> str | None:
    """Of the validated events; None where they are refused."""
    return None if any(finding.stops for finding in findings) else sha256(events)


def _read(
    opened: Opened,
    root: Path,
    dataset: DatasetDescription,
    reading: _Reading,
    target: Path,
    aside: RowsAside,
) -> None:
    """Check the input's columns, then its rows part by part, then the whole; write the good rows."""
    columns = reading.columns
    described = {column.name for column in columns}
    reading.left_out = [(_named(path, root), reason) for path, reason in opened.left_out]
    for source in opened.sources:
        reading.ignored += [n for n in source.schema.names if n not in described | set(reading.ignored)]
        reading.about_input += _check_columns(source, columns)
    if any(finding.stops for finding in reading.about_input):
        return
    _read_rows(opened.sources, root, dataset, reading, target, aside)
    good_rows = reading.rows - reading.bad_rows
    nothing = "" if good_rows else f"0 of {reading.rows:,} rows"
    reading.about_input.append(Finding("there are orders that can be used", detail=nothing))
    if good_rows:
        repeated = repeated_orders(target, dataset.order_id, good_rows)
        reading.about_rows += repeated.findings
        if repeated.conflicting or repeated.duplicated:
            reading.bad_rows += repeated.findings[0].bad_rows
            reading.copies = repeated.copies
            without_repeated(target, dataset.order_id, repeated, aside)
        reading.drift, words = measure_features(target, dataset)
        with connect(target) as connection:
            reading.periods = summarise_periods(connection, dataset)
            moved = measure_periods(connection, dataset, reading.periods)
            oddities = find_oddities(connection, dataset, reading.drift, words)
        reading.about_input += check_periods(reading.periods)
        reading.about_input += check_drift(reading.drift, moved, dataset)
        reading.about_input += oddities
        by_period = {entry["period"]: entry for entry in moved}
        reading.periods = [entry | by_period.get(entry["period"], {}) for entry in reading.periods]


def _check_columns(source: Source, columns: tuple[Column, ...]) -> list[Finding]:
    """Check that every described column is there, in a type that can hold its kind of value."""
    findings = []
    names = source.schema.names
    hint = source.hint([column.name for column in columns])
    for column in columns:
        name = column.name
        is_missing = name not in names
        if names.count(name) > 1:
            raise BadEvents(f"{source} has more than one column named {name}")
        if is_missing and hint:
            raise BadEvents(f"{source}: {hint} (it has no column {name!r} as it is read now)")
        if is_missing:
            sentence = f"there is a column {name}"
            asked = f", {column.meaning}," if column.meaning == FOR_CHAMPION else ""
            detail = f"the column {name!r}{asked} is missing; {source} has: {_listed(names)}"
        elif not suits(source.schema.field(name).type, column.kind):
            sentence = column.sentence
            detail = f"the column's type in {source} is {source.schema.field(name).type}"
        else:
            continue
        rows = source.count_rows()
        example = _first_row(source, name, columns[0].name)
        findings.append(Finding(sentence, name, rows, rows, example, detail=detail, is_missing=is_missing))
    return findings


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_COLUMNS} more" if len(names) > SHOWN_COLUMNS else ""
    return ", ".join(names[:SHOWN_COLUMNS]) + more


def _first_row(source: Source, column: str, order_id: str) -> tuple[Example, ...]:
    wanted = [name for name in dict.fromkeys((column, order_id)) if name in source.schema.names]
    first = next(source.parts(wanted), None) if wanted else None
    if first is None or not first.num_rows:
        return ()
    row = first.slice(0, 1).to_pylist()[0]
    return (Example(row.get(column), row.get(order_id), 1),)


def _read_rows(
    sources: list[Source],
    root: Path,
    dataset: DatasetDescription,
    reading: _Reading,
    target: Path,
    aside: RowsAside,
) -> None:
    columns = reading.columns
    names = [column.name for column in columns]
    forms = read_id_forms(sources, dataset, [column.name for column in columns if column.kind == "id"])
    reading.about_input += check_spellings(forms)
    histories = Histories(dataset)
    with CanonicalFile(target) as file:
        for source in sources:
            rows_before = reading.rows
            for raw in source.parts(names):
                part = check_part(raw, columns, dataset, forms, reading.rows)
                reading.about_rows = merge([*reading.about_rows, *part.findings])
                reading.rows += raw.num_rows
                is_bad = pc.is_valid(part.reasons)
                if pc.any(is_bad, min_count=0).as_py():
                    reading.bad_rows += pc.sum(is_bad).as_py()
                    bad = (part.reasons.filter(is_bad), part.values.filter(is_bad), raw.filter(is_bad))
                    aside.add(str(source), *bad)
                histories.note(str(source), part.good)
                file.write(str(source), part.good)
            if isinstance(source.events, EventFile):
                rows = reading.rows - rows_before
                note = source.events.note if rows else "no rows"
                reading.read.append((_named(source.events.path, root), rows, note))
    reading.about_input += histories.findings()


def _named(path: Path, root: Path) -> str:
    """A file's path inside the folder that was given; its name where it was given itself."""
    return str(path.relative_to(root)) if path != root and path.is_relative_to(root) else path.name


def _judge(reading: _Reading, dataset: DatasetDescription) -> list[Finding]:
    """All findings; bad rows only warn where they are few enough to be set aside."""
    allowed = dataset.max_bad_share * reading.rows if dataset.on_bad_rows == "quarantine" else 0
    about_rows = merge(reading.about_rows)
    if reading.bad_rows <= allowed:
        about_rows = [replace(finding, severity="warn") for finding in about_rows]
    return [*reading.about_input, *about_rows]


def _facts(dataset: DatasetDescription, reading: _Reading) -> dict[str, Any]:
    return {
        "dataset": dataset.name,
        "rows": reading.rows,
        "bad_rows": reading.bad_rows,
        "duplicate_rows": reading.copies,
        "files": {
            "read": [{"file": file, "rows": rows, "note": note} for file, rows, note in reading.read],
            "left_out": [{"file": file, "reason": reason} for file, reason in reading.left_out],
        },
        "tables": _tables(reading),
        "columns": [asdict(column) for column in reading.columns],
        "ignored_columns": reading.ignored,
        "periods": reading.periods,
        "drift": reading.drift,
        "drift_levels": dataset.drift.model_dump(),
    }


def _tables(reading: _Reading) -> list[dict[str, Any]]:
    """What was read and what was not, for the page."""
    rows = [[file, f"{rows:,}", note] for file, rows, note in reading.read]
    rows += [[file, "not read", reason] for file, reason in reading.left_out]
    if len(rows) > SHOWN_FILES:
        rows = [*rows[:SHOWN_FILES], [f"and {len(rows) - SHOWN_FILES:,} more, see the result", "", ""]]
    return [{"title": "Files", "columns": ["file", "rows", "note"], "rows": rows}] if rows else []


def _figures(result: dict[str, Any]) -> dict[str, Any]:
    frauds = sum(period["frauds"] for period in result["periods"])
    known = sum(period["known_labels"] for period in result["periods"])
    rate = frauds / known if known else 0.0
    aside = f", {result['bad_rows']:,} set aside" if result["bad_rows"] else ""
    return {
        "rows": result["rows"],
        "bad_rows": result["bad_rows"],
        "frauds": frauds,
        "fraud_rate": rate,
        "checks": len(result["findings"]),
        "warnings": sum(not finding["passed"] for finding in result["findings"]),
        "key_figure": f"{result['rows']:,} orders, {rate:.2%} fraud{aside}",
    }
