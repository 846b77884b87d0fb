"""What a run's own files say about it: every figure with the file and the place in it that it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

Pointer = tuple[str | int, ...]
Kind = Literal["share", "count", "number", "words"]
MOST_BYTES = 2**26
"""A larger file is not read for a page."""

METRICS = "generate-scores/scores/metrics.json"
TRAINED = "train-model/executor_output.json"
TRAINED_METADATA: Pointer = ("artifacts", "model", "artifacts", 0, "metadata")
VERDICT = "check-equivalence/verdict"
ONNX = "export-onnx/onnx/onnx.json"
COMPARISON = "compare-champion/comparison"
CONTRACTS = {
    "raw events": "validate-events/result",
    "sequences": "build-sequences/result",
    "scores": "generate-scores/contract_result",
    "online": "check-online/result",
}


class Place(NamedTuple):
    """Where a figure of every run lies."""

    name: str
    file: str
    """Below the run's `stages`."""
    pointer: Pointer
    kind: Kind


PLACES = (
    Place("Test AUC", METRICS, ("test", "auc"), "share"),
    Place("Test average precision", METRICS, ("test", "average_precision"), "share"),
    Place("Recall at 1 % alerts", METRICS, ("test", "recall@1.0%"), "share"),
    Place("Recall at 5 % alerts", METRICS, ("test", "recall@5.0%"), "share"),
    Place("Test orders", METRICS, ("orders", "test"), "count"),
    Place("Test frauds", METRICS, ("frauds", "test"), "count"),
    Place("Validation AUC", TRAINED, (*TRAINED_METADATA, "val/auroc"), "share"),
    Place("Epochs", TRAINED, (*TRAINED_METADATA, "epochs"), "count"),
    Place("Training seconds", TRAINED, (*TRAINED_METADATA, "seconds"), "number"),
    Place("Weights", VERDICT, ("weights_sha256",), "words"),
    Place("Gate", VERDICT, ("reason",), "words"),
    Place("Parity, worst share of the tolerance", ONNX, ("parity", "worst_share_of_tolerance"), "number"),
)


class Figure(NamedTuple):
    """A figure of one run."""

    name: str
    value: float | str
    low: float | None
    high: float | None
    kind: Kind
    file: str
    """Relative to the run's folder."""
    pointer: Pointer

    @property
    def text(self) -> str:
        """As people read it."""
        if isinstance(self.value, str):
            return self.value[:12] if self.name == "Weights" else self.value
        form = {"share": "{:.4f}", "count": "{:,.0f}"}.get(self.kind, "{:.3g}")
        return form.format(self.value)

    @property
    def interval(self) -> str:
        """Its interval; empty = none is known."""
        return "" if self.low is None or self.high is None else f"[{self.low:.4f}, {self.high:.4f}]"


class Check(NamedTuple):
    """Something that passed or not, with its words."""

    name: str
    passed: bool
    words: str
    file: str


def figures(run: Path) -> list[Figure]:
    """The figures of a run; what a run did not write is left out.

    Args:
        run: its folder.
    """
    return [found for place in PLACES if (found := _figure(run, place)) is not None]


def _figure(run: Path, place: Place) -> Figure | None:
    file = f"stages/{place.file}"
    value = at(read(run / file), place.pointer)
    low = high = None
    if isinstance(value, dict):
        low, high, value = value.get("low"), value.get("high"), value.get("value")
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    return Figure(place.name, value, low, high, place.kind, file, place.pointer)


def checks(run: Path) -> list[Check]:
    """What the run's gate, contracts and comparison decided, as far as it got."""
    found = []
    verdict = read(run / "stages" / VERDICT)
    if isinstance(verdict, dict) and "passed" in verdict:
        words = str(verdict.get("reason", ""))
        found.append(Check("Equivalence gate", verdict["passed"] is True, words, f"stages/{VERDICT}"))
    for name, file in CONTRACTS.items():
        result = read(run / "stages" / file)
        if isinstance(result, dict) and "passed" in result:
            bad = [str(one.get("sentence", "")) for one in _failed(result)]
            words = (
                f"{len(bad)} findings: {'; '.join(bad)}"
                if bad
                else str(result.get("reason", "nothing found"))
            )
            title = "Online as in the batch" if name == "online" else f"Contract of {name}"
            found.append(Check(title, result["passed"] is True, words, f"stages/{file}"))
    comparison = read(run / "stages" / COMPARISON)
    if isinstance(comparison, dict) and "checks" in comparison:
        bad = [f"{one['name']}: {one['reason']}" for one in comparison["checks"] if not one["passed"]]
        words = "; ".join(bad) or f"{len(comparison['checks'])} checks passed"
        passed = comparison.get("passed") is True
        found.append(Check("Against the champion", passed, words, f"stages/{COMPARISON}"))
    return found


def _failed(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for one in result.get("findings", ()):
        if isinstance(one, dict) and one.get("passed") is False:
            yield one


def settings(run: Path) -> dict[str, str]:
    """The settings that a run was started with: dotted name → value as JSON."""
    arguments = read(run / "arguments.json")
    if not isinstance(arguments, dict):
        return {}
    flat = {name: value for name, value in arguments.items() if name != "config"}
    with suppress(ValueError):  # a shipped description's name
        flat |= json.loads(arguments.get("config", "{}"))
    return dict(_flat("", flat))


def _flat(prefix: str, content: Any) -> Iterator[tuple[str, str]]:
    if isinstance(content, dict) and content:
        for name, value in content.items():
            yield from _flat(f"{prefix}.{name}" if prefix else str(name), value)
    else:
        yield prefix, json.dumps(content)


def read(file: Path) -> Any:
    """The JSON of a file; None = there is none, it is no JSON, or it is too large for a page."""
    try:
        if file.stat().st_size > MOST_BYTES:
            return None
        return json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def at(content: Any, pointer: Pointer) -> Any:
    """The value at a place; None = there is none."""
    for step in pointer:
        try:
            content = content[step]
        except (KeyError, IndexError, TypeError):
            return None
    return content
