"""Findings of a contract: plain values from which message, JSON result and page are made."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

MAX_EXAMPLES = 1_000
"""Offending rows kept per check; the count is always complete."""

SHOWN_CHARACTERS = 80
"""Longer values are cut in messages and on the page; the JSON result has them whole."""

Severity = Literal["stop", "warn"]


class ContractViolation(ValueError):
    """The data break their contract; the message names the column, how many rows, and an example."""


@dataclass(frozen=True)
class Example:
    """One offending row."""

    value: Any
    order_id: int | str | None = None
    row: int | None = None
    """Position in the input, counted from 1, header not counted."""

    def __str__(self) -> str:
        shown = "missing" if self.value is None else shorten(repr(self.value))
        if self.order_id is not None:
            return f"{shown} (order {self.order_id})"
        return shown if self.row is None else f"{shown} (row {self.row:,})"

    def as_json(self) -> dict[str, Any]:
        """The example with JSON types only."""
        return {"order_id": _plain(self.order_id), "row": self.row, "value": _plain(self.value)}


@dataclass(frozen=True)
class Finding:
    """Outcome of one check: of `rows` rows, `bad_rows` break the rule that `sentence` states."""

    sentence: str
    column: str | None = None
    rows: int = 0
    bad_rows: int = 0
    examples: tuple[Example, ...] = ()
    severity: Severity = "stop"
    detail: str = ""
    """The value that was found instead. A broken rule that is not about rows has nothing else to show."""
    is_missing: bool = False
    """The column is not there at all, so that no single row is to blame."""
    positions: tuple[int, ...] = field(default=(), repr=False, compare=False)
    """All bad rows of one part, by their index in the frame or table that was checked."""

    @property
    def passed(self) -> bool:
        """Whether the rule holds."""
        return not self.bad_rows and not self.detail

    @property
    def stops(self) -> bool:
        """Whether the run must not go on."""
        return not self.passed and self.severity == "stop"

    def __str__(self) -> str:
        if self.is_missing:
            orders = [example.order_id for example in self.examples if example.order_id is not None]
            first = f", the first is order {orders[0]}" if orders else ""
            return f"{self.detail} ({self.rows:,} rows{first})"
        text = self.sentence if self.passed else f'broken: "{self.sentence}"'
        if self.bad_rows:
            text = f'{self.bad_rows:,} of {self.rows:,} rows break "{self.sentence}"'
        if self.column is not None:
            text = f"column {self.column}: {text}"
        if self.detail:
            text += f": {self.detail}"
        return f"{text}, e.g. {self.examples[0]}" if self.examples else text

    def as_json(self) -> dict[str, Any]:
        """The finding with JSON types only."""
        return {
            "sentence": self.sentence,
            "column": self.column,
            "passed": self.passed,
            "severity": self.severity,
            "rows": self.rows,
            "bad_rows": self.bad_rows,
            "detail": self.detail,
            "examples": [example.as_json() for example in self.examples[:20]],
            "offending_order_ids": [_plain(e.order_id) for e in self.examples if e.order_id is not None],
        }


def shorten(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def merge(findings: Iterable[Finding]) -> list[Finding]:
    """Add up findings of the same rule over several parts of the data, in order of first appearance."""
    merged: dict[tuple[str, str | None], Finding] = {}
    for finding in findings:
        key = (finding.sentence, finding.column)
        if key in merged:
            earlier = merged[key]
            finding = replace(
                earlier,
                rows=earlier.rows + finding.rows,
                bad_rows=earlier.bad_rows + finding.bad_rows,
                positions=(),
                examples=(earlier.examples + finding.examples)[:MAX_EXAMPLES],
                detail=earlier.detail or finding.detail,
            )
        merged[key] = replace(finding, positions=())
    return list(merged.values())


def raise_if_stopped(findings: Iterable[Finding], subject: str, result: str, report: str) -> None:
    """Raise `ContractViolation` when a finding stops the run.

    Args:
        findings: everything that was checked.
        subject: the checked data, the first words of the message.
        result: where the complete result lies.
        report: where the page made from it lies.
    """
    broken = [finding for finding in findings if finding.stops]
    if not broken:
        return
    shown = "\n".join(f"  {finding}" for finding in broken[:10])
    more = f"\n  and {len(broken) - 10} more" if len(broken) > 10 else ""
    raise ContractViolation(
        f"{subject}: contract broken\n{shown}{more}\nAll checks: {result}\nReport: {report}"
    )


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
