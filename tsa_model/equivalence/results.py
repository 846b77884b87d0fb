"""What a check measured and what the gate concluded: the content of the verdict file."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import ConfigDict

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


class VerdictHead(Settings):
    """What the next stages ask of a verdict file; the rest of it is for people."""

    model_config = ConfigDict(extra="ignore")

    passed: bool
    verdict_id: str
    weights_sha256: str


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


def describe(measurement: Measurement) -> str:
    """A failed measurement in words."""
    assert measurement.bound is not None
    value = "not a finite number" if measurement.value is None else f"{measurement.value:.3g}"
    wanted = "at most" if measurement.relation == "<=" else "at least"
    where = f" at {measurement.where}" if measurement.where else ""
    return f"{measurement.name} is {value}, must be {wanted} {measurement.bound:.3g}{where}"
