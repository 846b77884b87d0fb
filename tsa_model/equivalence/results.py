"""What a check measured and what the gate concluded: the content of the verdict file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from tsa_model.network.description import config_digest
from tsa_model.sealed import Digest, Signed, digest_of, read_sealed
from tsa_model.settings import Settings
from tsa_model.settings.gate import GateConfig
from tsa_model.settings.model import ModelConfig
from tsa_model.version import Program


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
    def holds(self) -> bool:
        """Whether the value keeps the bound."""
        if self.bound is None:
            return True
        if self.value is None:
            return False
        return self.value <= self.bound if self.relation == "<=" else self.value >= self.bound

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


class Verdict(Signed):
    """The gate's verdict on one model: the content of the verdict file."""

    format: Literal[2] = 2
    passed: bool
    verdict_id: Digest
    """Hex SHA-256 of what was judged and what was found: of everything else in this file but times, the
    environment and the seal."""
    reason: str
    """One sentence: what was proven, or the first check that failed and why."""
    program: Program
    """The code that was judged, and that judged it."""
    weights_sha256: str
    """Of the weights file; empty where it could not be read."""
    config_sha256: str
    """Of the configuration below, but for `moe_eval`; empty where there is none."""
    store_digest: str
    """Of the manifest of the sequence store, vocabulary and scaler included; empty where it was not read."""
    sample: dict[str, Any]
    """The compared rows: how many, their digest, what they cover."""
    config: dict[str, Any]
    """The shipped network's configuration."""
    settings: GateConfig
    """Of the run description: baselines, rows, and the thresholds of the decisions."""
    checks: list[CheckResult]
    environment: dict[str, Any]
    seconds: float

    def content_id(self) -> str:
        """What `verdict_id` must be."""
        not_counted = {"verdict_id": True, "environment": True, "seconds": True}
        seal = {"signature": True, "sha256": True}
        times = {"checks": {"__all__": {"seconds"}}}
        return digest_of(self.model_dump(mode="json", exclude={**not_counted, **seal, **times}))


def read_verdict(path: str | Path) -> Verdict:
    """The verdict in a file, whether the model passed or not.

    Raises:
        ValueError: it is missing, of another format, was edited, or contradicts itself.
    """
    missing = "only a model that passed the gate is exported; run it first"
    verdict = read_sealed(Path(path), Verdict, "a verdict", missing)
    if verdict.verdict_id != verdict.content_id():
        raise ValueError(f"{path} was edited: its content has not the verdict_id {verdict.verdict_id[:12]}")
    problem = _contradiction(verdict)
    if problem:
        raise ValueError(f"{path} was edited: {problem}")
    return verdict


def _contradiction(verdict: Verdict) -> str:
    """How a verdict contradicts itself, in words; empty where it does not."""
    for check in verdict.checks:
        for measurement in check.measurements:
            if measurement.passed != measurement.holds or (check.passed and not measurement.passed):
                return f"check {check.number} says passed: {check.passed}, with {describe(measurement)}"
    failed = [check.name for check in verdict.checks if not check.passed]
    if verdict.passed != (bool(verdict.checks) and not failed):
        found = f"failed are {', '.join(failed[:3])}" if failed else "none failed"
        return f"it says passed: {verdict.passed} of {len(verdict.checks)} checks, {found}"
    if verdict.config:
        config = config_digest(ModelConfig.model_validate(verdict.config))
        if config != verdict.config_sha256:
            return f"its configuration is {config[:12]}, not the {verdict.config_sha256[:12]} it states"
    return ""


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
    if measurement.bound is None:
        return measurement.name
    value = "not a finite number" if measurement.value is None else f"{measurement.value:.3g}"
    wanted = "at most" if measurement.relation == "<=" else "at least"
    where = f" at {measurement.where}" if measurement.where else ""
    return f"{measurement.name} is {value}, must be {wanted} {measurement.bound:.3g}{where}"
