"""Encoded orders as people know them: texts and numbers instead of vocabulary indices and scaled values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsa_model.batch import ENGINEERED, History
from tsa_model.sequences.features.preprocessing import LABEL_VALUES, Preprocessing, Scaler
from tsa_model.settings.dataset import KNOWN_LABEL

SECOND, MINUTE, HOUR, DAY = 1, 60, 3_600, 86_400


@dataclass(frozen=True)
class SeenOrder:
    """One order as the network saw it.

    Attributes:
        texts: categorical column → its value; None = one that the vocabulary lacks.
        numbers: numerical or engineered column → its value, not scaled.
        ago_s: seconds before the order that is explained.
        is_known_fraud: its label was known and 1.
    """

    texts: Mapping[str, str | None]
    numbers: Mapping[str, float]
    ago_s: float
    is_known_fraud: bool = False


class Decoder:
    """Turns what was fitted round.

    Args:
        fitted: vocabulary and scalers.
    """

    def __init__(self, fitted: Preprocessing) -> None:
        self._fitted = fitted
        self._texts = {
            column: {index: text for text, index in vocabulary.values.items()}
            for column, vocabulary in fitted.categorical.items()
        }

    def text(self, column: str, index: int) -> str | None:
        """The value of a vocabulary index."""
        return self._texts[column].get(index)

    def numbers(self, scaled: NDArray[Any], engineered: bool = False) -> dict[str, float]:
        """Columns → values that are not scaled.

        Args:
            scaled: [Fn] numerical features, or [Fe] engineered ones.
            engineered: which of the two.
        """
        scalers = self._fitted.engineered if engineered else self._fitted.numerical
        return {
            name: unscaled(scaler, value)
            for (name, scaler), value in zip(scalers.items(), scaled.tolist(), strict=True)
        }

    def history(self, row: Mapping[str, NDArray[Any]], names: History[str]) -> list[SeenOrder]:
        """The orders of one history, the current one first, then the latest, and so on."""
        real = np.flatnonzero(~row[names.mask][0, :-1])
        seen = [
            self._seen(row[names.cat][0, at], row[names.num][0, at], float(row[names.time][0, at, 0]))
            for at in real[::-1]
        ]
        if ENGINEERED in row and seen:
            now = seen[0]
            more = self.numbers(row[ENGINEERED][0], engineered=True)
            seen[0] = SeenOrder(now.texts, {**more, **now.numbers}, now.ago_s)
        return seen

    def _seen(self, categories: NDArray[Any], scaled: NDArray[Any], ago_s: float) -> SeenOrder:
        texts = {
            column: self.text(column, index)
            for column, index in zip(self._fitted.categorical, categories.tolist(), strict=True)
        }
        label = texts.pop(KNOWN_LABEL, None)
        return SeenOrder(texts, self.numbers(scaled), ago_s, label == LABEL_VALUES[2])


def unscaled(scaler: Scaler, value: float) -> float:
    """The value that was scaled, to the digits that float32 keeps."""
    if not scaler.scale:
        return scaler.default
    return float(f"{(value - scaler.min) / scaler.scale:.6g}")


def shown_number(value: float) -> str:
    """A number as people write it: 812.40, 3, 0.052, 12,400."""
    if abs(value - round(value)) < 1e-4 * max(1.0, abs(value)):
        return f"{round(value):,}"
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.2g}"


def duration(seconds: float) -> str:
    """A length of time in words: 40 seconds, 20 minutes, 3 hours, 5 days."""
    for unit, name, up_to in ((SECOND, "second", 90), (MINUTE, "minute", 90), (HOUR, "hour", 48)):
        count = round(seconds / unit)
        if count < up_to:
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{round(seconds / DAY):,} days"
