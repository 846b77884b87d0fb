"""What a card says, read from the model folder and from the scores or the registry it lies in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from tsa_model.audit.links import Audit
from tsa_model.audit.model import audit_model, registry_of
from tsa_model.export.description import OnnxDescription, read_onnx_folder
from tsa_model.export.file_names import DATASET_FILE, NETWORK_FOLDER
from tsa_model.promotion.figures import METRICS_FILE
from tsa_model.promotion.registry import Entry, Registry
from tsa_model.scoring.files import MANIFEST_FILE, read_score_folder
from tsa_model.scoring.model import CALIBRATOR_FILE
from tsa_model.sealed import check_together, read_document, read_json
from tsa_model.settings.dataset import PERIODS, DatasetDescription

FEW_FRAUDS = 100
"""With fewer frauds in the test period its figures are uncertain."""
COUNTS = ("orders", "frauds")
WEIGHTS_FILE = "model.safetensors"


class Measured(NamedTuple):
    """A figure with its interval."""

    name: str
    value: float
    low: float | None
    high: float | None

    @property
    def interval(self) -> str:
        """As people read it; empty = none."""
        return "" if self.low is None or self.high is None else f"[{self.low:.4f}, {self.high:.4f}]"


class Group(NamedTuple):
    """A group of a slice."""

    name: str
    orders: int
    frauds: int
    figures: tuple[Measured, ...]
    too_small: str
    """Why it has no figures; empty where it has."""


class Card(NamedTuple):
    """Everything on the page."""

    folder: Path
    about: OnnxDescription
    dataset: DatasetDescription
    parameters: int | None
    audit: Audit
    counts: dict[str, tuple[int, int]]
    """Period → orders and frauds; empty where no scores are at hand."""
    figures: tuple[Measured, ...]
    rival: tuple[Measured, ...]
    """Of a logistic regression on the order alone."""
    slices: dict[str, tuple[Group, ...]]
    calibration: str
    entry: Entry | None
    """How it came into use; None = it lies in no registry."""
    is_champion: bool
    limits: tuple[str, ...]


def read_card(folder: Path) -> Card:
    """Everything that is known of a model folder.

    Args:
        folder: of scoring, or of a registry.

    Raises:
        ValueError: it is no model folder, or it or what it lies in was changed.
    """
    about = read_onnx_folder(folder)
    if not (folder / DATASET_FILE).is_file():
        raise ValueError(
            f"{folder} has no {DATASET_FILE}: name the folder `model` of a run's scores, or a registry's"
        )
    dataset = read_document(folder / DATASET_FILE, DatasetDescription, "a dataset description")
    entry, is_champion = _promoted(folder)
    metrics = _metrics(folder, about)
    counted = {name: metrics.get(name, {}) for name in COUNTS}
    counts = {
        period: (int(counted["orders"][period]), int(counted["frauds"].get(period, 0)))
        for period in PERIODS
        if period in counted["orders"]
    }
    figures = tuple(_figures(metrics.get("test", {})))
    if not figures and entry is not None:
        figures = tuple(Measured(name, *one) for name, one in _carried(entry))
    rival = tuple(_figures(metrics.get("baseline", {})))
    calibration = str(metrics.get("calibration", "")) if (folder / CALIBRATOR_FILE).is_file() else "none"
    return Card(
        folder=folder,
        about=about,
        dataset=dataset,
        parameters=_parameters(folder),
        audit=audit_model(folder),
        counts=counts,
        figures=figures,
        rival=rival,
        slices=dict(_slices(metrics.get("slices", {}))),
        calibration=calibration,
        entry=entry,
        is_champion=is_champion,
        limits=tuple(_limits(about, dataset, counts, figures, rival, calibration)),
    )


def _metrics(folder: Path, about: OnnxDescription) -> dict[str, Any]:
    """The metrics of the scores that a model folder lies in; empty where it lies alone."""
    scores = folder.resolve().parent
    if not (scores / MANIFEST_FILE).is_file() or not (scores / METRICS_FILE).is_file():
        return {}
    manifest = read_score_folder(scores)
    stated = (scores / MANIFEST_FILE, manifest.model_digest)
    check_together("the ONNX file is", stated, (folder, about.onnx_sha256), "score again")
    return read_json(scores / METRICS_FILE, "the metrics of scores")


def _promoted(folder: Path) -> tuple[Entry | None, bool]:
    place = registry_of(folder)
    pointer = None if place is None else Registry(place).pointer()
    if pointer is None:
        return None, False
    found = [entry for entry in pointer.history if entry.id == folder.resolve().name]
    return (found[-1] if found else None), pointer.current.id == folder.resolve().name


def _carried(entry: Entry) -> Iterator[tuple[str, tuple[float, float | None, float | None]]]:
    for name, one in entry.figures.items():
        yield name, (one.value, one.low, one.high)


def _parameters(folder: Path) -> int | None:
    """Number of trained values; None in folders of former versions, which have no weights."""
    path = folder / NETWORK_FOLDER / WEIGHTS_FILE
    if not path.is_file():
        return None
    from math import prod

    from safetensors import safe_open

    with safe_open(path, framework="numpy") as weights:
        return sum(prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118


def _figures(content: Any) -> Iterator[Measured]:
    for name, one in content.items() if isinstance(content, dict) else ():
        fields = one if isinstance(one, dict) else {"value": one}
        value = fields.get("value")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield Measured(name, float(value), fields.get("low"), fields.get("high"))


def _slices(content: Any) -> Iterator[tuple[str, tuple[Group, ...]]]:
    """Slices as the metrics hold them: slice → group → orders, frauds and figures."""
    for name, groups in content.items() if isinstance(content, dict) else ():
        found = [
            Group(
                group,
                int(one["orders"]),
                int(one.get("frauds", 0)),
                tuple(_figures({key: value for key, value in one.items() if key not in COUNTS})),
                str(one.get("too_small", "")),
            )
            for group, one in (groups.items() if isinstance(groups, dict) else ())
            if isinstance(one, dict) and isinstance(one.get("orders"), int)
        ]
        if found:
            yield name, tuple(found)


def _limits(
    about: OnnxDescription,
    dataset: DatasetDescription,
    counts: dict[str, tuple[int, int]],
    figures: tuple[Measured, ...],
    rival: tuple[Measured, ...],
    calibration: str,
) -> Iterator[str]:
    """What the model must not be trusted with, one sentence each."""
    split = dataset.split
    yield (
        f"It knows nothing of orders after {_day(split.train_end)}: fraud that has changed since is seen "
        "only as far as it resembles the old. The contract of a later run says how far its orders have moved."
    )
    yield (
        f"An order's history has the last {about.network.seq_len} orders of its keys, strictly earlier ones. "
        "A new customer has none, and is judged by the order alone."
    )
    yield (
        f"Values that were rarer than {dataset.min_count} in training are all one value to it: a new country "
        "or product is read as unknown."
    )
    if dataset.target_positive_rate is not None:
        yield (
            f"Genuine orders were thinned until {dataset.target_positive_rate:.0%} of the training targets "
            "were frauds: its raw score is a rank, not a probability."
        )
    if calibration == "none":
        yield "It is not calibrated: a score of 0.8 does not mean that 8 of 10 such orders are frauds."
    if counts.get("test", (0, FEW_FRAUDS))[1] < FEW_FRAUDS:
        yield (
            f"Its test period has {counts['test'][1]:,} frauds: the figures are as uncertain as their "
            "intervals say."
        )
    better = [
        one for one in rival for own in figures if one.name == own.name == "auc" and one.value > own.value
    ]
    if better:
        yield f"A logistic regression on the order alone ranks better here (AUC {better[0].value:.4f})."
    if not figures:
        yield "No scores lie beside it: how good it is stands in the report of the run that made it."
    yield (
        "The gate proves that the numbers are those of the formulas, not that the formulas find fraud; and "
        "nothing here says that its errors fall on all groups of customers alike."
    )


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
