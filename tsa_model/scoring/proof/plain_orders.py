"""One order and its histories in plain values, and the tensors they become: nothing is shared with the store.

What a raw value means is for `tsa_model.events`; vocabulary and scaler are data, read from the model folder.
All else is written again here as docs/MODEL.md says it (sections 1, 2 and 12), for one order at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsa_model.batch import ENGINEERED, Batch, Sequences, history_names
from tsa_model.events.units import MICROSECONDS
from tsa_model.sequences.features.preprocessing import Preprocessing, Scaler, Vocabulary
from tsa_model.settings.dataset import DatasetDescription

if TYPE_CHECKING:
    import torch

LONGEST_S = 1e7
LABEL_WORDS = {-1: "not yet known", 0: "genuine", 1: "fraud"}


@dataclass(frozen=True)
class PlainSequence:
    """n orders of one key, oldest first, the current one last."""

    time_us: list[int]
    label: list[int]
    """-1 = not known."""
    known_us: list[int]
    """From when on each label is known."""
    categories: list[list[str | None]]
    """n lists of Fc texts, without the known label."""
    numbers: list[list[float]]
    """n lists of Fn numbers; NaN = missing."""


@dataclass(frozen=True)
class PlainOrder:
    """An order rebuilt from its own rows of the events."""

    order_id: Any
    sequences: list[PlainSequence]
    """By the customer and, where there are two keys, by the card."""
    engineered: list[float]


def batch_of(
    orders: Sequence[PlainOrder],
    fitted: Preprocessing,
    description: DatasetDescription,
    sequences: Sequences,
) -> Batch:
    """The tensors of some orders, each made by itself.

    Args:
        orders: [B].
        fitted: vocabulary, scaler and defaults.
        description: lengths and the cap of times.
        sequences: which histories the network reads.

    Returns:
        The dictionary a network takes (TSA spec, section 1).
    """
    import torch

    names = history_names(sequences)
    rows: list[dict[str, NDArray[Any]]] = []
    for order in orders:
        row: dict[str, NDArray[Any]] = {}
        for tensors, sequence in zip(names, order.sequences, strict=False):
            row |= zip(tensors, _padded(sequence, fitted, description), strict=True)
        if fitted.engineered:
            scalers = fitted.engineered.values()
            scaled = [_scaled(x, scaler) for x, scaler in zip(order.engineered, scalers, strict=True)]
            row[ENGINEERED] = np.array(scaled, np.float32)
        rows.append(row)
    batch: dict[str, torch.Tensor] = {}
    for name in rows[0]:
        batch[name] = torch.from_numpy(np.stack([row[name] for row in rows]))
    return batch


def _padded(
    sequence: PlainSequence, fitted: Preprocessing, description: DatasetDescription
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Categories [L, Fc], numbers [L, Fn], seconds [L, 1] and mask [L + 1] of one sequence."""
    L, n = description.seq_len, len(sequence.time_us)
    vocabularies, scalers = list(fitted.categorical.values()), list(fitted.numerical.values())
    ages_us = [sequence.time_us[-1] - time_us for time_us in sequence.time_us]
    cat = np.zeros((L, len(fitted.categorical)), np.int64)
    num = np.zeros((L, len(fitted.numerical)), np.float32)
    time_s = np.zeros((L, 1), np.float32)
    mask = np.ones(L + 1, bool)
    mask[L - n :] = False
    for place in range(n):
        row = L - n + place
        words = list(sequence.categories[place])
        if description.known_label:
            known = place < n - 1 and sequence.known_us[place] <= sequence.time_us[-1]
            words.append(LABEL_WORDS[sequence.label[place] if known else -1])
        numbers = sequence.numbers[place]
        cat[row] = [_index(word, vocabulary) for word, vocabulary in zip(words, vocabularies, strict=True)]
        num[row] = [_scaled(value, scaler) for value, scaler in zip(numbers, scalers, strict=True)]
        time_s[row] = min(ages_us[place] / MICROSECONDS, LONGEST_S)
    if description.time_cap == "legacy" and max(ages_us) / MICROSECONDS > LONGEST_S:
        time_s[:] = LONGEST_S
    return cat, num, time_s, mask


def _index(word: str | None, vocabulary: Vocabulary) -> int:
    """Index of a category; a missing one stands for the default."""
    if word is None:
        word = vocabulary.default
    elif vocabulary.folded:
        word = folded(word)
    return vocabulary.unknown if word is None else vocabulary.values.get(word, vocabulary.unknown)


def folded(word: str) -> str:
    """A text without capitals, words apart by one space: `DatasetDescription.fold_text`."""
    apart = list(word)
    for first in range(len(apart)):
        last = first
        while last < len(apart) and (apart[last] in "-_" or apart[last].isspace()):
            last += 1
        inside = 0 < first < last < len(apart) and apart[first - 1].isalnum() and apart[last].isalnum()
        if inside:
            apart[first:last] = " " * (last - first)
    return " ".join("".join(apart).split()).casefold()


def _scaled(value: float, scaler: Scaler) -> float:
    """Scaled number; a missing one stands for the default."""
    known = scaler.default if math.isnan(value) else value
    return known * scaler.scale + scaler.min
