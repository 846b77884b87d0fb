"""Fitted on the training period: vocabulary, scaler and defaults, which turn raw values into inputs.

One index space serves all categorical features: 0 is padding; then, feature after feature, one index for
unknown and rare values followed by the values; the numerical features take the last rows, up to V.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import (
    NonNegativeInt,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from tsa_model.events.codes import Codes, fold
from tsa_model.files import write_json
from tsa_model.sealed import read_document
from tsa_model.sequences.columns.event_columns import Orders
from tsa_model.settings import Settings
from tsa_model.settings.dataset import KNOWN_LABEL, DatasetDescription

LABEL_VALUES = ("not yet known", "genuine", "fraud")
LEAST_MIDDLE_HALF = 1e-3
"""Of the scaled range: where the middle half of a column's values covers less, it says nothing any more."""


class Vocabulary(Settings):
    """Text → index of one categorical feature."""

    values: dict[str, PositiveInt]
    unknown: NonNegativeInt
    """Index of every other value; the legacy uses 0, the padding."""
    default: str | None = None
    """The value that a missing one stands for; None = it is unknown."""
    folded: bool = False
    """Values differ in more than case and spaces, and what is encoded is folded first."""

    @model_serializer(mode="wrap")
    def _leave_out_what_is_usual(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content = dump(self)
        if not self.folded:
            content.pop("folded", None)
        return content

    def encode(self, column: Codes) -> np.ndarray:
        """Return the column's indices, [N] int32."""
        default = self.unknown if self.default is None else self.values.get(self.default, self.unknown)
        texts = map(fold, column.values) if self.folded else column.values
        table = [self.values.get(value, self.unknown) for value in texts]
        return np.array([*table, default], dtype=np.int32)[column.code]


class Scaler(Settings):
    """Scaled value = x · scale + min, as the legacy writes it."""

    scale: float
    min: float
    default: float = 0.0
    """The value that a missing one stands for, before scaling."""

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return the scaled values, float64, with missing ones (NaN) replaced by the default's."""
        return scaled(values, self.scale, self.min, self.default)


def scaled(
    values: np.ndarray, scale: float | np.ndarray, low: float | np.ndarray, default: float | np.ndarray
) -> np.ndarray:
    """Values · scale + low, float64, with missing ones (NaN) replaced by the default."""
    return np.where(np.isnan(values), default, values) * scale + low


class Preprocessing(Settings):
    """Everything fitted, in one JSON file."""

    n_embedding: PositiveInt
    """V, the last usable row of the embedding table."""
    categorical: dict[str, Vocabulary]
    numerical: dict[str, Scaler]
    engineered: dict[str, Scaler] = {}

    @classmethod
    def load(cls, source: Preprocessing | Mapping | str | Path) -> Preprocessing:
        """Return the preprocessing in a JSON file, a dictionary, or itself."""
        if isinstance(source, Preprocessing):
            return source
        if isinstance(source, Mapping):
            return cls.model_validate(source)
        return read_document(Path(source), cls, "a vocabulary with its scalers")

    @classmethod
    def from_legacy(cls, meta: Mapping[str, Any]) -> Preprocessing:
        """Take over the legacy's dictionaries, in which unknown is 0, scalers and defaults.

        Args:
            meta: as `parse_wide_rows` takes it. Engineered features stay as they are unless
                `engineered_scale` and `engineered_min` are given.
        """
        defaults = meta.get("default_values", {})
        engineered = meta.get("engineered", ())
        scales = {
            "numerical": (meta["numerical"], meta["numerical_scale"], meta["numerical_min"]),
            "engineered": (
                engineered,
                meta.get("engineered_scale", [1.0] * len(engineered)),
                meta.get("engineered_min", [0.0] * len(engineered)),
            ),
        }
        return cls(
            n_embedding=meta["n_embedding"],
            categorical={
                name: Vocabulary(values=meta["categorical_map"][name], unknown=0, default=defaults.get(name))
                for name in meta["categorical"]
            },
            **{
                role: {
                    name: Scaler(scale=scale, min=low, default=float(defaults.get(name, 0)))
                    for name, scale, low in zip(*columns, strict=True)
                }
                for role, columns in scales.items()
            },
        )

    def save(self, path: str | Path) -> None:
        """Write the JSON file that `load` reads."""
        write_json(path, self.model_dump(mode="json"))

    def check_covers(self, description: DatasetDescription) -> None:
        """Refuse a preprocessing that was made for other features.

        Raises:
            ValueError: a feature of the description is missing here, or the order differs.
        """
        wanted = {
            "categorical": [*description.categorical, *([KNOWN_LABEL] if description.known_label else [])],
            "numerical": [*description.numerical],
            "engineered": [*description.engineered],
        }
        for role, names in wanted.items():
            if list(getattr(self, role)) != names:
                raise ValueError(
                    f"the preprocessing has the {role} features {list(getattr(self, role))}, "
                    f"the description {names}: they must be the same, in the same order"
                )
        indices = [
            index for one in self.categorical.values() for index in (one.unknown, *one.values.values())
        ]
        last = self.n_embedding - len(self.numerical)
        if max(indices) > last:
            raise ValueError(
                f"vocabulary overflow: index {max(indices)}, but n_embedding={self.n_embedding} leaves "
                f"1..{last} to categorical values ({len(self.numerical)} numerical features take the rest)"
            )


def fit(orders: Orders, description: DatasetDescription) -> Preprocessing:
    """Fit vocabularies, scalers and defaults on the training period.

    Args:
        orders: all orders; only those of the training window are looked at.
        description: features, training window, rare-value threshold and vocabulary limit.

    Raises:
        ValueError: no events in the training window, or more distinct values than `max_values`.
    """
    window = orders.between(*description.split.window("train"))
    if window.start == window.stop:
        start, end = description.split.window("train")
        raise ValueError(f"no orders in the training window [{start}, {end}): nothing to fit on")
    vocabularies: dict[str, Vocabulary] = {}
    next_index = 1
    for name in description.categorical:
        vocabularies[name] = _fit_vocabulary(name, orders.categorical[name], window, next_index, description)
        next_index += 1 + len(vocabularies[name].values)
    if description.known_label:
        indices = {value: next_index + offset for offset, value in enumerate(LABEL_VALUES)}
        vocabularies[KNOWN_LABEL] = Vocabulary(values=indices, unknown=next_index)
        next_index += len(LABEL_VALUES)

    def scaling(name: str) -> Scaler:
        return _fit_scaling(name, orders.numerical[name][window], description.scale_quantile)

    return Preprocessing(
        n_embedding=next_index - 1 + len(description.numerical),
        categorical=vocabularies,
        numerical={name: scaling(name) for name in description.numerical},
        engineered={name: scaling(name) for name in description.engineered},
    )


def _fit_vocabulary(
    name: str, column: Codes, window: slice, first_index: int, description: DatasetDescription
) -> Vocabulary:
    if description.fold_text:
        column = column.folded()
    code = column.code[window]
    counts = np.bincount(code[code >= 0], minlength=len(column.values))
    frequent = [(-int(counts[i]), column.values[i]) for i in np.flatnonzero(counts >= description.min_count)]
    if len(frequent) > description.max_values:
        raise ValueError(
            f"vocabulary overflow: column {name!r} has {len(frequent)} values seen at least "
            f"min_count={description.min_count} times in the training window, more than "
            f"max_values={description.max_values}; raise one of the two"
        )
    ordered = [value for _, value in sorted(frequent)]
    return Vocabulary(
        values={value: first_index + 1 + rank for rank, value in enumerate(ordered)},
        unknown=first_index,
        default=ordered[0] if ordered else None,
        folded=description.fold_text,
    )


def middle_half(low: float, high: float, first: float, third: float, quantile: float) -> float | None:
    """Share of the scaled range 0…1 that the middle half of the values covers.

    Args:
        low: the smallest value.
        high: the largest.
        first: the first quartile.
        third: the third quartile.
        quantile: the `scale_quantile`, which becomes 1 unless it is the smallest value.

    Returns:
        The share; None where the middle half is one value, which no scaling can spread.
    """
    top = quantile if quantile > low else high
    return (third - first) / (top - low) if third > first and top > low else None


def squeezed(name: str, share: float) -> str:
    """What to say of a column whose middle half covers less than `LEAST_MIDDLE_HALF`."""
    return (
        f"column {name!r}: the middle half of its training values covers {share:.1e} of the range they are "
        "scaled to, because a few are huge, and the network cannot tell them apart; set scale_quantile, such "
        "as 0.99"
    )


def _fit_scaling(name: str, values: np.ndarray, quantile: float) -> Scaler:
    """Map the training window's smallest value to 0 and its quantile to 1; a missing one is its median.

    Where the quantile is the smallest value, as in a column of mostly zeros, the largest becomes 1.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return Scaler(scale=1.0, min=0.0)
    low, high = float(known.min()), float(np.quantile(known, quantile))
    first, third = np.quantile(known, [0.25, 0.75])
    share = middle_half(low, float(known.max()), first, third, high)
    if share is not None and share < LEAST_MIDDLE_HALF:
        warnings.warn(squeezed(name, share), stacklevel=2)
    high = high if high > low else float(known.max())
    scale = 1.0 / (high - low) if high > low else 1.0
    return Scaler(scale=scale, min=-low * scale, default=float(np.median(known)))
