"""The rows and the call shapes of the parity check: few rows, each of them in calls of many shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tsa_model.batch import ENGINEERED, LABEL, ORDER_ID, as_dtype, history_names, sequences_of
from tsa_model.equivalence.evidence.generated import MAX_TIME_S, edge_rows, random_rows
from tsa_model.export.network import input_names
from tsa_model.export.row_loop import rows_per_piece
from tsa_model.settings.model import ModelConfig

Batch = Mapping[str, Tensor]
MAX_BATCH_SIZE = 256
"""Rows of a call that a model server is allowed to make."""
LAYOUT_SIZES = (1, 63, 64, 65, 128, MAX_BATCH_SIZE - 1, MAX_BATCH_SIZE)
"""Rows per call that are tried with every number of threads."""
MORE_SIZES = (2, 7, MAX_BATCH_SIZE + 1)
FEWEST_MADE, MOST_MADE = 64, 256
ROWS_PER_LENGTH = 3
OF_PADDING_S = -1e9
"""exp of its difference to any order's time is infinite in float32."""


@dataclass(frozen=True)
class DistinctRows:
    """Rows that differ from each other, each with a name for messages."""

    batch: dict[str, Tensor]
    """The network's inputs, all rows padded to the same number of orders."""
    titles: list[str]
    columns: NDArray[np.int64]
    """Orders that a call must have for this row, at least 1, [rows, histories]."""
    equal: list[NDArray[np.int64]]
    """Groups of row numbers whose histories are all equally long."""

    def __len__(self) -> int:
        return len(self.titles)

    @property
    def width(self) -> tuple[int, ...]:
        """Orders of each history, padding included."""
        names = history_names(sequences_of(self.batch))
        return tuple(self.batch[each.num].shape[1] for each in names)

    def taken(self, rows: NDArray[np.int64], columns: tuple[int, ...] | None = None) -> dict[str, Tensor]:
        """Some rows, with their `columns` latest orders of each history; None = all."""
        part = {name: x[torch.from_numpy(rows)] for name, x in self.batch.items()}
        for names, n in zip(history_names(sequences_of(part)), columns or self.width, strict=True):
            for name in names:
                part[name] = part[name][:, -(n + 1 if name == names.mask else n) :]
        return part


@dataclass(frozen=True)
class ShapedCall:
    """One call: which rows, and how many orders of each history."""

    rows: NDArray[np.int64]
    columns: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, orders of the longest history)."""
        return len(self.rows), max(self.columns)


def distinct_rows(config: ModelConfig, batch: Batch, seed: int) -> DistinctRows:
    """The given rows, random ones of every history length, edge cases, and rows of equal lengths.

    Args:
        config: of the network.
        batch: real rows; order ids under `order_id`, if any, name them in messages.
        seed: of the random rows.
    """
    names = input_names(config)
    n_real, L = len(batch[names[0]]), config.seq_len
    n_made = min(MOST_MADE, max(FEWEST_MADE, L + 1))
    edge, edge_titles = edge_rows(config, seed)
    lengths = sorted({0, 1, min(2, L), (L + 1) // 2, L})
    even = [length for length in lengths for _ in range(ROWS_PER_LENGTH)]
    equal = random_rows(config, [even] * len(history_names(config.sequences)), seed + 1)
    _spread_to_the_cap(equal, config)
    parts = [as_dtype({name: batch[name] for name in names}, torch.float32)]
    parts += [{name: part[name] for name in names} for part in (made_rows(config, n_made, seed), edge, equal)]
    titles = [_title(batch, row) for row in range(n_real)]
    titles += [f"made row {row}" for row in range(n_made)] + [f"made row ({title})" for title in edge_titles]
    titles += [f"made row (histories of {length})" for length in even]
    joined = _joined(parts, config)
    first = len(titles) - len(even)
    groups = [first + np.arange(i, i + ROWS_PER_LENGTH) for i in range(0, len(even), ROWS_PER_LENGTH)]
    return DistinctRows(joined, titles, _columns(joined), groups)


def more_rows(config: ModelConfig, seed: int) -> DistinctRows:
    """Further random rows, of every history length."""
    names = input_names(config)
    made = made_rows(config, FEWEST_MADE, seed)
    batch = {name: made[name] for name in names}
    titles = [f"made row {row} of seed {seed}" for row in range(FEWEST_MADE)]
    return DistinctRows(batch, titles, _columns(batch), [])


def made_rows(config: ModelConfig, n_rows: int, seed: int) -> dict[str, Tensor]:
    """Random rows whose histories have every length from none to all, in another order in each history."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.arange(n_rows) % (config.seq_len + 1)
    histories = [
        lengths[torch.randperm(n_rows, generator=generator)].tolist() for _ in history_names(config.sequences)
    ]
    return random_rows(config, histories, seed)


def cut(batch: Batch, rows: slice, length: int) -> dict[str, Tensor]:
    """The given rows with their `length` latest orders."""
    part = {name: batch[name][rows] for name in (ENGINEERED, LABEL) if name in batch}
    for names in history_names(sequences_of(batch)):
        for name in names:
            width = length + 1 if name == names.mask else length
            part[name] = batch[name][rows, -width:]
    return part


def sizes(config: ModelConfig) -> list[int]:
    """Rows per call: what a layout may ask for, and what lies around the edge of the graph's own pieces."""
    piece = rows_per_piece(config)
    return sorted({*LAYOUT_SIZES, *MORE_SIZES, piece - 1, piece, piece + 1})


def mixed_calls(rows: DistinctRows, counts: list[int], rng: np.random.Generator) -> Iterator[ShapedCall]:
    """Calls of these sizes over rows of all lengths; together they take every row about equally often."""
    taken: list[int] = []
    for count in counts:
        while len(taken) < count:
            taken += rng.permutation(len(rows)).tolist()
        yield ShapedCall(np.array(taken[:count]), rows.width)
        taken = taken[count:]


def equal_calls(rows: DistinctRows, counts: list[int], first: int = 0) -> Iterator[ShapedCall]:
    """Calls of these sizes whose rows all have histories of one length, with padding and without in turn."""
    for place, count in enumerate(counts, first):
        group = rows.equal[place % len(rows.equal)]
        columns = tuple(int(n) for n in rows.columns[group].max(axis=0))
        yield ShapedCall(np.resize(group, count), columns if place % 2 else rows.width)


def column_calls(rows: DistinctRows) -> Iterator[ShapedCall]:
    """Small calls with every number of orders, the same and another one in the two histories."""
    for n in range(1, max(rows.width) + 1):
        other = (rows.width[0], n) if n % 2 else (n, rows.width[-1])
        for wanted in {(n, n), other} if len(rows.width) == 2 else {(n,)}:
            columns = tuple(min(pair) for pair in zip(wanted, rows.width, strict=True))
            (fitting,) = np.nonzero((rows.columns <= columns).all(axis=1))
            if fitting.size:
                longest = np.argsort(rows.columns[fitting].sum(axis=1), kind="stable")[-2:]
                yield ShapedCall(np.unique([*fitting[longest], fitting[n % fitting.size]]), columns)


def _spread_to_the_cap(batch: Batch, config: ModelConfig) -> None:
    """Spread the times of every third row, up to the cap: random times are seldom so large.

    The next row's padding has a time that would make its factor infinite.
    """
    spread_L1 = torch.linspace(MAX_TIME_S, 0, config.seq_len)[:, None]
    for names in history_names(config.sequences):
        padding_BL1 = batch[names.mask][:, :-1, None]
        batch[names.time][::ROWS_PER_LENGTH] = spread_L1 * ~padding_BL1[::ROWS_PER_LENGTH]
        batch[names.time][1::ROWS_PER_LENGTH].masked_fill_(padding_BL1[1::ROWS_PER_LENGTH], OF_PADDING_S)


def _title(batch: Mapping[str, Any], row: int) -> str:
    if ORDER_ID not in batch:
        return f"row {row}"
    order_id = np.asarray(batch[ORDER_ID])[row]
    return f"order {order_id.item() if hasattr(order_id, 'item') else order_id!r} (row {row})"


def _columns(batch: Batch) -> NDArray[np.int64]:
    needed = []
    for names in history_names(sequences_of(batch)):
        real = ~batch[names.mask][:, :-1].numpy()
        needed.append(np.where(real.any(axis=1), real.shape[1] - real.argmax(axis=1), 1))
    return np.stack(needed, axis=1).astype(np.int64)


def _joined(parts: list[dict[str, Tensor]], config: ModelConfig) -> dict[str, Tensor]:
    """All rows in one batch; shorter histories are padded in front."""
    joined = {}
    for names in history_names(config.sequences):
        width = max(part[names.num].shape[1] for part in parts)
        for name in names:
            total = width + 1 if name == names.mask else width
            joined[name] = torch.cat([_widened(part[name], total) for part in parts])
    if config.n_engineered_num_features:
        joined[ENGINEERED] = torch.cat([part[ENGINEERED] for part in parts])
    return {name: joined[name] for name in input_names(config)}


def _widened(x: Tensor, width: int) -> Tensor:
    """A tensor whose second dimension is filled in front: with zeros, a mask with True."""
    missing = width - x.shape[1]
    if missing <= 0:
        return x
    return torch.cat([x.new_full((len(x), missing, *x.shape[2:]), x.dtype == torch.bool), x], dim=1)
