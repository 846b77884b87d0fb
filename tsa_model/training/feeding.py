"""Batches straight from the sequence store: shuffled row numbers, one gather per batch, no workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tsa_model.batch import MARGIN
from tsa_model.sequences import SequenceStore

Rows = NDArray[np.integer]
Sequences = Literal["single", "dual"]
Batch = dict[str, Tensor]


class ShuffledBatches:
    """The row numbers of every training batch, a function of (seed, epoch, rank) alone.

    Ranks × `batch_size` rows make a step. The epoch's shuffled rows are cut into steps first, and each step
    into contiguous shares of the ranks, so two ranks of 64 rows see the steps that one of 128 sees. Shares
    are equal (gradients are averaged over ranks), so the last step may leave out up to world_size - 1 rows.

    Args:
        rows: row numbers of the training targets.
        batch_size: rows per step and rank.
        seed: of the shuffles.
        rank: this process, in [0, world_size).
        world_size: number of processes.
    """

    def __init__(self, rows: Rows, batch_size: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        if len(rows) < world_size:
            raise ValueError(f"{len(rows)} training rows cannot be shared by {world_size} processes")
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the shuffle; Lightning calls it before every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        step_size = self.batch_size * self.world_size
        full, rest = divmod(len(self.rows), step_size)
        return full + (rest >= self.world_size)

    def batches(self, first: int = 0) -> Iterator[Rows]:
        """Yield this rank's row numbers of the epoch's batches `first`, `first` + 1, ..."""
        shuffled = np.random.default_rng([self.seed, self.epoch]).permutation(self.rows)
        step_size = self.batch_size * self.world_size
        for k in range(first, len(self)):
            step = shuffled[k * step_size : (k + 1) * step_size]
            share = len(step) // self.world_size
            yield step[self.rank * share : (self.rank + 1) * share]


class TrainBatches:
    """The training data as Lightning takes it: sized, and resumable inside an epoch.

    Args:
        store: the sequence store.
        sequences: which histories a batch holds.
        sampler: which rows make which batch.
        margin_of: row numbers [B] → the margin each of them is given, float32 [B]; None = none is.
    """

    def __init__(
        self,
        store: SequenceStore,
        sequences: Sequences,
        sampler: ShuffledBatches,
        margin_of: Callable[[Rows], Tensor] | None = None,
    ) -> None:
        self.store = store
        self.margin_of = margin_of
        self.sequences = sequences
        self.sampler = sampler
        self._resume_at = 0
        self._n_read = 0

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        self._n_read, self._resume_at = self._resume_at, 0
        for rows in self.sampler.batches(self._n_read):
            self._n_read += 1
            batch = read_batch(self.store, rows, self.sequences)
            yield batch if self.margin_of is None else {**batch, MARGIN: self.margin_of(rows)}

    def state_dict(self) -> dict[str, Any]:
        """The position inside the epoch; the epoch itself is Lightning's."""
        return {"n_read": self._n_read}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue the epoch behind the batches already read; behind the last one the next epoch begins."""
        self._resume_at = state["n_read"] % len(self)


class EvaluationBatches:
    """Every row once, in order, as whole batches dealt to the ranks in turn.

    A batch holds the same rows for any number of ranks, so scores do not depend on it. Where batches
    do not divide evenly the last ones are repeated, because ranks must take the same number of steps;
    `drop_duplicates` removes the repeats from the gathered result.

    Args:
        store: the sequence store.
        sequences: which histories a batch holds.
        rows: row numbers to evaluate.
        batch_size: rows per step and rank.
        rank: this process, in [0, world_size).
        world_size: number of processes.
    """

    def __init__(
        self,
        store: SequenceStore,
        sequences: Sequences,
        rows: Rows,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.store = store
        self.sequences = sequences
        self.rows = rows
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return -(-self._n_batches // self.world_size)

    @property
    def _n_batches(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for k in range(len(self)):
            i = (k * self.world_size + self.rank) % self._n_batches
            rows = self.rows[i * self.batch_size : (i + 1) * self.batch_size]
            yield read_batch(self.store, rows, self.sequences)


def read_batch(store: SequenceStore, rows: Rows, sequences: Sequences) -> Batch:
    """The store's batch of `rows`, with the row numbers themselves under `row`, int64 [B]."""
    return {**store.batch_rows(rows, sequences), "row": torch.from_numpy(rows.astype(np.int64))}


def drop_duplicates(row: Tensor, *columns: Tensor) -> tuple[Tensor, ...]:
    """Keep the first of the entries that share a row number, in ascending row number.

    Args:
        row: row numbers, int64 [N].
        columns: tensors [N, ...] that belong to them.

    Returns:
        `row` and the columns, [M, ...] with M <= N.
    """
    row, order = torch.sort(row, stable=True)
    first = torch.ones_like(row, dtype=torch.bool)
    first[1:] = row[1:] != row[:-1]
    return row[first], *(column[order][first] for column in columns)
