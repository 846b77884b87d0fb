"""What a check measured and what the gate concluded: the content of the verdict file."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, Literal

from tsa_model.settings import Settings


class Measurement(Settings):
    """One number held against one bound."""

    name: str
    value: float | None
    """What was measured; null = not a finite number."""
    bound: float | None = None
    """null = the value is reported and cannot fail."""
    relation: Literal["<=", ">="] = "<="
    """The measurement holds when `value relation bound`."""
    passed: bool
    where: str = ""
    """Where the worst value lies: tensor, order id."""

    @property
    def margin(self) -> float | None:
        """How many times the value fits below its bound; null where that says nothing."""
        if self.value is None or self.bound is None or self.relation == ">=":
            return None
        return math.inf if self.value <= 0 else self.bound / self.value


class Plot(Settings):
    """A small chart of the report."""

    title: str
    kind: Literal["bars", "points"]
    x_label: str
    y_label: str
    labels: list[str]
    series: dict[str, list[float | None]]
    """Name → one value per label."""
    bound: float | None = None
    log_y: bool = False


class CheckResult(Settings):
    """The outcome of one check of the gate."""

    number: int
    name: str
    question: str
    """What the check asks, in words a reader without the code understands."""
    passed: bool
    reason: str
    """One sentence: why it failed, or what was shown."""
    measurements: list[Measurement]
    notes: list[str] = []
    plots: list[Plot] = []
    seconds: float = 0.0


class Verdict(Settings):
    """The gate's verdict on one model: the content of the verdict file."""

    format: Literal[1] = 1
    passed: bool
    verdict_id: str
    """Hex SHA-256 of everything else in this file but `seconds` and `environment`."""
    reason: str
    """One sentence: what was proven, or the first check that failed and why."""
    weights_sha256: str
    store_digest: str
    sample: dict[str, Any]
    """The compared rows: how many, their digest, what they cover."""
    config: dict[str, Any]
    """The shipped network's configuration."""
    checks: list[CheckResult]
    environment: dict[str, Any]
    seconds: float


def at_most(name: str, value: float, bound: float, where: str = "") -> Measurement:
    """Hold `value <= bound`; a value that is not finite fails."""
    return _measurement(name, value, bound, "<=", value <= bound, where)


def at_least(name: str, value: float, bound: float, where: str = "") -> Measurement:
    """Hold `value >= bound`; a value that is not finite fails."""
    return _measurement(name, value, bound, ">=", value >= bound, where)


def reported(name: str, value: float, where: str = "") -> Measurement:
    """A number for the reader, without a bound."""
    finite = math.isfinite(value)
    return Measurement(name=name, value=float(value) if finite else None, passed=True, where=where)


def _measurement(
    name: str, value: float, bound: float, relation: Literal["<=", ">="], holds: bool, where: str
) -> Measurement:
    finite = math.isfinite(value)
    return Measurement(
        name=name,
        value=float(value) if finite else None,
        bound=float(bound),
        relation=relation,
        passed=bool(holds and finite),
        where=where,
    )


def conclude(
    number: int,
    name: str,
    question: str,
    measurements: list[Measurement],
    shown: str,
    notes: list[str] | None = None,
    plots: list[Plot] | None = None,
    blame: str = "",
) -> CheckResult:
    """Turn measurements into a check's result; without any measurement the check fails.

    Args:
        number: of the check.
        name: of the check.
        question: what it asks.
        measurements: all must hold.
        shown: the reason given when they do.
        notes: remarks for the reader.
        plots: charts for the report.
        blame: the reason given when they do not hold; the default lists the failed measurements.
    """
    failed = [measurement for measurement in measurements if not measurement.passed]
    if not measurements:
        reason = "nothing was compared"
    elif failed and blame:
        reason = blame
    elif failed:
        reason = "; ".join(describe(measurement) for measurement in failed[:3])
        if len(failed) > 3:
            reason += f"; and {len(failed) - 3} more"
    else:
        reason = shown
    return CheckResult(
        number=number,
        name=name,
        question=question,
        passed=bool(measurements) and not failed,
        reason=reason,
        measurements=measurements,
        notes=notes or [],
        plots=plots or [],
    )


def describe(measurement: Measurement) -> str:
    """A failed measurement in words."""
    assert measurement.bound is not None
    value = "not a finite number" if measurement.value is None else f"{measurement.value:.3g}"
    wanted = "at most" if measurement.relation == "<=" else "at least"
    where = f" at {measurement.where}" if measurement.where else ""
    return f"{measurement.name} is {value}, must be {wanted} {measurement.bound:.3g}{where}"


def digest_of(content: Any) -> str:
    """Hex SHA-256 of JSON content, whatever the order of its keys."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
