"""One key's histories of many targets → padded arrays.

A history is a slice of the sorted events. Its positions and the target's own become one row of an index,
filled up with the position of the padding, a row of zeros; each matrix is gathered by that index at once:

    history [7, 10), target at 11, padding at 99, L = 6   →   99  99   7   8   9  11
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsa_model.events.units import DAY_US, MICROSECONDS, UNKNOWN_LABEL
from tsa_model.sequences.features.preprocessing import LABEL_VALUES, Preprocessing
from tsa_model.sequences.store.buffers import BufferPool
from tsa_model.settings.dataset import KNOWN_LABEL, DatasetDescription

if TYPE_CHECKING:
    import torch

MAX_TIME_S = 1e7
BLOCK = 2**13
"""Events gathered at a time before they are widened, so that they are still in the cache."""
FEW = 2**9
"""Events of a batch that is gathered without torch, as every batch is in a process that has not loaded it."""


@dataclass(frozen=True)
class SortedEvents:
    """The files of one ordering; the last row of the first four is the padding: zeros, label unknown."""

    categorical: np.ndarray
    numerical: np.ndarray
    time_us: np.ndarray
    label: np.ndarray
    position: np.ndarray
    start: np.ndarray
    end: np.ndarray
    known_us: np.ndarray | None = None
    """From when on labels are known, like the first four; None = the label delay after their orders."""

    @cached_property
    def categorical_rows(self) -> torch.Tensor:
        """The categorical matrix as a tensor over the same memory; only read."""
        return _tensor_over(self.categorical)

    @cached_property
    def numerical_rows(self) -> torch.Tensor:
        """The numerical matrix as a tensor over the same memory; only read."""
        return _tensor_over(self.numerical)


class PaddedSequences(NamedTuple):
    """Sequences of B targets, as a network takes them (TSA spec, section 1)."""

    x_cat: np.ndarray
    """[B, L, Fc] int64."""
    x_num: np.ndarray
    """[B, L, Fn] float32."""
    time_s: np.ndarray
    """[B, L, 1] float32, seconds before the target."""
    mask: np.ndarray
    """[B, L + 1] bool, True = ignore."""


class SequenceGather:
    """Assembles padded sequences, in memory that is used again once they are gone."""

    def __init__(self, description: DatasetDescription, fitted: Preprocessing) -> None:
        self._seq_len = description.seq_len
        self._caps_whole_sequence = description.time_cap == "legacy"
        self._n_cat = len(fitted.categorical)
        self._label_index: np.ndarray | None = None
        """Vocabulary index of label -1, 0, 1, then of padding."""
        if description.known_label:
            values = fitted.categorical[KNOWN_LABEL].values
            self._label_index = np.array([*(values[name] for name in LABEL_VALUES), 0])
        self._label_delay_us = round(description.label_delay_days * DAY_US)
        self._memory = BufferPool()

    def __call__(self, events: SortedEvents, rows: np.ndarray, now_us: np.ndarray) -> PaddedSequences:
        """Gather the sequences of some targets.

        Args:
            events: one ordering.
            rows: [B] row numbers of the targets.
            now_us: [B] int64, their moments.
        """
        padding = len(events.time_us) - 1
        index = self._memory.empty((len(rows), self._seq_len), np.int64)
        np.add(events.end[rows][:, None], np.arange(1 - self._seq_len, 1), out=index)
        np.copyto(index, padding, where=index < events.start[rows][:, None])
        index[:, -1] = events.position[rows]
        is_padding = index == padding
        delta_us = self._memory.empty(index.shape, np.int64)
        events.time_us.take(index, out=delta_us, mode="clip")  # without a mode, `out` is buffered
        np.subtract(now_us[:, None], delta_us, out=delta_us)
        np.copyto(delta_us, 0, where=is_padding)
        x_cat, x_num = self._features(events, index)
        if self._label_index is not None:
            if events.known_us is None:
                is_known = delta_us >= self._label_delay_us
            else:
                is_known = events.known_us.take(index, mode="clip") <= now_us[:, None]
            x_cat[..., -1] = self._known_labels(events, index, is_known, is_padding)
        mask = np.zeros((len(rows), self._seq_len + 1), dtype=bool)
        mask[:, :-1] = is_padding
        return PaddedSequences(x_cat, x_num, self._capped_seconds(delta_us)[..., None], mask)

    def _features(self, events: SortedEvents, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gather both matrices, with all cores that torch has; a known label is left to be filled in."""
        x_cat = self._memory.empty((*index.shape, self._n_cat), np.int64)
        n_stored, n_num = events.categorical.shape[1], events.numerical.shape[1]
        x_num = self._memory.empty((*index.shape, n_num), np.float32)
        if index.size < FEW or "torch" not in sys.modules:  # calling it takes longer; so does loading it
            np.take(events.numerical, index, axis=0, out=x_num, mode="clip")
            stored = self._memory.empty((*index.shape, n_stored), events.categorical.dtype)
            x_cat[..., :n_stored] = np.take(events.categorical, index, axis=0, out=stored, mode="clip")
            return x_cat, x_num
        import torch

        flat = torch.from_numpy(index).view(-1)
        torch.index_select(events.numerical_rows, 0, flat, out=torch.from_numpy(x_num).view(-1, n_num))

        narrow = torch.from_numpy(self._memory.empty((BLOCK, n_stored), events.categorical.dtype))
        wide = torch.from_numpy(x_cat).view(-1, self._n_cat)[:, :n_stored]
        for part, into in zip(flat.split(BLOCK), wide.split(BLOCK), strict=True):
            gathered = narrow[: len(part)]
            torch.index_select(events.categorical_rows, 0, part, out=gathered)
            into.copy_(gathered)
        return x_cat, x_num

    def _known_labels(
        self, events: SortedEvents, index: np.ndarray, is_known: np.ndarray, is_padding: np.ndarray
    ) -> np.ndarray:
        """Each order's label as it was known at the target's moment, as vocabulary indices."""
        assert self._label_index is not None
        is_known[:, -1] = False  # the target's own label is never known, with any delay
        place = np.where(is_known, events.label.take(index, mode="clip") - UNKNOWN_LABEL, 0)
        np.copyto(place, len(LABEL_VALUES), where=is_padding)
        return self._label_index[place]

    def _capped_seconds(self, delta_us: np.ndarray) -> np.ndarray:
        time_s = self._memory.empty(delta_us.shape, np.float64)
        np.divide(delta_us, MICROSECONDS, out=time_s)  # exact: subtracted as integers, far below 2**53
        if self._caps_whole_sequence:
            time_s[(time_s > MAX_TIME_S).any(axis=1)] = MAX_TIME_S
        capped = self._memory.empty(delta_us.shape, np.float32)
        return np.minimum(time_s, MAX_TIME_S, out=capped, casting="same_kind")


def _tensor_over(array: np.ndarray) -> torch.Tensor:
    import torch

    with warnings.catch_warnings():
        # The file is mapped read-only, which torch cannot express; nothing here writes.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
