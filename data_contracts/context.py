"""The one place that meets Great Expectations' context: ephemeral, silent, without analytics."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from data_contracts.findings import MAX_EXAMPLES, Example, Finding, Severity

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.expectations.expectation import Expectation
    from great_expectations.validator.validator import Validator


def check(
    frame: pd.DataFrame,
    expectations: list[Expectation],
    name: str | None = None,
    severity: Severity = "stop",
) -> list[Finding]:
    """Hold a frame of orders against a suite; every expectation's description is its finding's sentence.

    Args:
        frame: rows to check; its index is their position in the input, counted from 0.
        expectations: the suite.
        name: column that names the rows in examples, the order id; None = there is none.
        severity: consequence of a broken expectation for the run.

    Returns:
        One finding per expectation, in the suite's order.

    Raises:
        RuntimeError: an expectation could not be computed at all.
    """
    findings = []
    if frame.empty:  # nothing can break a rule, and finding that out takes as long as for a million rows
        named = ((each.description or "", getattr(each, "column", None)) for each in expectations)
        return [Finding(sentence, column, severity=severity) for sentence, column in named]
    for expectation, rows in _with_broken_rows(frame, expectations):
        column = expectation.column
        examples = tuple(_example(frame, row, column, name) for row in rows[:MAX_EXAMPLES])
        sentence = expectation.description or ""
        findings.append(
            Finding(sentence, column, len(frame), len(rows), examples, severity, positions=tuple(rows))
        )
    return findings


def check_measures(
    frame: pd.DataFrame, expectations: list[Expectation], name: str, severity: Severity = "stop"
) -> list[Finding]:
    """Hold measures of the whole data against a suite.

    Args:
        frame: one row per thing measured, such as a feature or a period.
        expectations: the suite.
        name: column with the name of the measured quantity.
        severity: consequence of a broken expectation for the run.

    Returns:
        One finding per expectation; its detail lists every value that breaks it.
    """
    findings = []
    for finding in check(frame, expectations, name, severity):
        values = "; ".join(f"{example.order_id}: {_short(example.value)}" for example in finding.examples)
        findings.append(Finding(finding.sentence, severity=severity, detail=values))
    return findings


def _with_broken_rows(
    frame: pd.DataFrame, expectations: list[Expectation]
) -> Iterator[tuple[Any, list[Any]]]:
    """Every expectation with the index of the rows that break it."""
    rows: list[list[Any]] = [[] for _ in expectations]
    if not expectations:
        return zip(expectations, rows, strict=True)
    validator = _validator(frame)
    # To ask which rows break a rule takes several times as long as to ask whether any does.
    results = _validate(validator, expectations, "BOOLEAN_ONLY")
    broken = [place for place, result in enumerate(results) if not result.success]
    found = _validate(validator, [expectations[place] for place in broken], "COMPLETE") if broken else []
    for place, result in zip(broken, found, strict=True):
        rows[place] = result.result["unexpected_index_list"]
    return zip(expectations, rows, strict=True)


def _validate(validator: Validator, expectations: list[Expectation], result_format: str) -> list[Any]:
    """One result per expectation, in the suite's order."""
    # The results come back in an order of their own, so each carries its place.
    placed = [each.copy(update={"meta": {"place": place}}) for place, each in enumerate(expectations)]
    results: list[Any] = [None] * len(expectations)
    format_ = {"result_format": result_format, "return_unexpected_index_query": False}
    configurations = [each.configuration for each in placed]
    found: list[Any] = validator.graph_validate(configurations, {"result_format": format_})
    for result in found:
        if result.exception_info.get("raised_exception"):
            raise RuntimeError(f"{result.expectation_config}: {result.exception_info}")
        results[result.expectation_config.meta["place"]] = result
    return results


def _validator(frame: pd.DataFrame) -> Validator:
    """Great Expectations over one frame.

    A batch of a data source would digest the whole frame to give it a name, several times for each suite.
    """
    context = _context()  # first: the environment is read at import
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.validator.validator import Validator

    return Validator(PandasExecutionEngine(batch_data_dict={"frame": frame}), data_context=context)


@cache
def _context() -> Any:
    """A context that lives in memory only and sends nothing."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read at import
    import great_expectations as gx
    from great_expectations.data_context.types import base

    return gx.get_context(
        mode="ephemeral",
        project_config=base.DataContextConfig(
            analytics_enabled=False,
            progress_bars=base.ProgressBarsConfig(globally=False, metric_calculations=False),
            store_backend_defaults=base.InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        ),
    )


def _example(frame: pd.DataFrame, row: Any, column: str, name: str | None) -> Example:
    called = None if name is None else _plain(frame.at[row, name])
    value = _plain(frame.at[row, column])
    is_missing_text = value != value and frame[column].dtype.kind != "f"  # pandas shows it as NaN
    return Example(None if is_missing_text else value, called, int(row) + 1)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    import pandas as pd

    if value is pd.NA or value is None:
        return None
    return value.item() if hasattr(value, "item") else value
