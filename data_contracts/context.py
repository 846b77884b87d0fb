"""The one place that meets Great Expectations' context: ephemeral, silent, without analytics."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from data_contracts.findings import MAX_EXAMPLES, Example, Finding, Severity

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.expectations.expectation import Expectation


def check(
    frame: pd.DataFrame,
    expectations: list[Expectation],
    name: str | None = None,
    noun: str = "order",
    severity: Severity = "stop",
) -> list[Finding]:
    """Hold a frame against a suite; the description of every expectation becomes its finding's sentence.

    Args:
        frame: rows to check; its index is their position in the input, counted from 0.
        expectations: the suite.
        name: column that names the rows in examples; None = there is none.
        noun: what that column names.
        severity: what a broken expectation means for the run.

    Returns:
        One finding per expectation, in the suite's order.

    Raises:
        RuntimeError: an expectation could not be computed at all.
    """
    findings: list[Finding] = []
    if not expectations:
        return findings
    for expectation, result in zip(expectations, _validate(frame, expectations), strict=True):
        column = getattr(expectation, "column", None)
        details = result.result or {}
        rows = [] if result.success else details.get("unexpected_index_list") or []
        findings.append(
            Finding(
                sentence=expectation.description or "",
                column=column,
                rows=len(frame),
                bad_rows=len(rows),
                examples=tuple(_example(frame, row, column, name, noun) for row in rows[:MAX_EXAMPLES]),
                severity=severity,
                positions=tuple(rows),
                detail="" if result.success or rows else f"it is {details.get('observed_value')}",
            )
        )
    return findings


def _validate(frame: pd.DataFrame, expectations: list[Expectation]) -> list[Any]:
    context = _context()
    from great_expectations import ExpectationSuite

    asset = context.data_sources.add_pandas("frames").add_dataframe_asset("frame")
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": frame})
    # The results come back in an order of their own, so each carries its place.
    suite = ExpectationSuite(name="suite")
    for place, expectation in enumerate(expectations):
        suite.add_expectation(expectation.copy(update={"meta": {"place": place}}))
    format_ = {"result_format": "COMPLETE", "return_unexpected_index_query": False}
    results = batch.validate(suite, result_format=format_).results
    for result in results:
        if result.exception_info.get("raised_exception"):
            raise RuntimeError(f"{result.expectation_config}: {result.exception_info}")
    return sorted(results, key=lambda result: result.expectation_config.meta["place"])


def _context() -> Any:
    """Build a context that lives in memory only and talks to nobody."""
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


def _example(frame: pd.DataFrame, row: Any, column: Any, name: str | None, noun: str) -> Example:
    called = None if name is None else _plain(frame.at[row, name])
    return Example(_plain(frame.at[row, column]), called, int(row) + 1, noun)


def _plain(value: Any) -> Any:
    import pandas as pd

    if value is pd.NA or value is None:
        return None
    return value.item() if hasattr(value, "item") else value
