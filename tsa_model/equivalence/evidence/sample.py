"""The rows both networks compute: real orders of every kind that occurs, and generated edge cases."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from tsa_model.batch import LABEL, Batch, histories, n_rows, rows_of
from tsa_model.equivalence.evidence.generated import edge_rows
from tsa_model.legacy.errors import EquivalenceError
from tsa_model.settings.model import ModelConfig

if TYPE_CHECKING:
    from tsa_model.sequences import SequenceStore

N_CANDIDATES = 2048
PERIODS = ("test", "cali", "vali")


@dataclass(frozen=True)
class Sample:
    """The compared rows, real ones first."""

    batch: Batch
    names: list[str]
    """Per row: the order id, or `edge: ...`."""
    n_real: int
    coverage: dict[str, int]
    """Property, in words → number of real rows that have it."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the rows' names and tensors."""
        digest = hashlib.sha256("\n".join(self.names).encode())
        for name, x in sorted(self.batch.items()):
            digest.update(f"{name} {x.dtype} {tuple(x.shape)}".encode())
            digest.update(x.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def summary(self) -> dict[str, Any]:
        """The verdict's `sample`."""
        return {
            "rows": len(self),
            "real_rows": self.n_real,
            "edge_cases": self.names[self.n_real :],
            "digest": self.digest,
            "coverage": self.coverage,
        }

    def part(self, rows: Tensor) -> Sample:
        """Some of the rows, in the order given."""
        names = [self.names[int(row)] for row in rows]
        n_real = int((rows < self.n_real).sum())
        return Sample(rows_of(self.batch, rows), names, n_real, self.coverage)


def make_sample(
    candidates: Batch,
    order_ids: list[str],
    config: ModelConfig,
    unknown: tuple[int, ...] = (0,),
    n_real: int = 200,
) -> Sample:
    """Choose real rows and add the edge cases.

    Args:
        candidates: real rows, [B] of them.
        order_ids: their order ids.
        config: sizes of the network.
        unknown: vocabulary indices that stand for unknown values.
        n_real: how many real rows to choose.

    Raises:
        EquivalenceError: there is no real row.
    """
    if not order_ids:
        raise EquivalenceError("the sample is empty: the store has no target order to compare on")
    kinds = describe_rows(candidates, config, unknown)
    chosen = choose(kinds, n_real)
    real = rows_of(candidates, torch.tensor(chosen))
    edges, edge_names = edge_rows(config)
    batch = {name: torch.cat([real[name], edges[name].to(real[name])]) for name in edges}
    coverage = Counter(word for row in chosen for word in kinds[row])
    names = [order_ids[row] for row in chosen] + edge_names
    return Sample(batch, names, len(chosen), dict(sorted(coverage.items())))


def sample_store(store: SequenceStore, config: ModelConfig, n_real: int = 200) -> Sample:
    """The sample of a store: the same one every time."""
    rows = candidate_rows(store)
    if len(rows) == 0:
        raise EquivalenceError("the sample is empty: the store has no target order to compare on")
    candidates = store.batch_rows(rows, config.sequences)
    unknown = tuple({vocabulary.unknown for vocabulary in store.preprocessing.categorical.values()} | {0})
    return make_sample(candidates, [str(i) for i in store.ids_of(rows)], config, unknown, n_real)


def candidate_rows(store: SequenceStore, n: int = N_CANDIDATES) -> np.ndarray:
    """Evenly spaced target rows, newest periods first."""
    rows = np.concatenate([store.targets(period) for period in (*PERIODS, "train")])
    if len(rows) <= n:
        return rows
    held_out = rows[: len(rows) - len(store.targets("train"))]
    source = held_out if len(held_out) >= n else rows
    return source[np.linspace(0, len(source) - 1, n).round().astype(np.int64)]


def describe_rows(batch: Batch, config: ModelConfig, unknown: tuple[int, ...]) -> list[tuple[str, ...]]:
    """Properties of each row, in words: history lengths, empty card history, unknown categories, label."""
    words: list[list[str]] = [[] for _ in range(n_rows(batch))]
    for history, key in zip(histories(batch, config.sequences), ("customer", "card"), strict=False):
        lengths = (~history.mask[:, :-1]).sum(dim=1).tolist()
        for row, length in zip(words, lengths, strict=True):
            row.append(f"{key} history {_length_class(length, config.seq_len)}")
        current = history.cat[:, -1]
        is_unknown = torch.isin(current, torch.tensor(unknown)).any(dim=1).tolist()
    for row, found, label in zip(words, is_unknown, batch[LABEL].tolist(), strict=True):
        row.append("unknown category" if found else "known categories")
        row.append(f"label {label}")
    return [tuple(row) for row in words]


def _length_class(length: int, seq_len: int) -> str:
    if length <= 1:
        return "empty"
    if length == seq_len:
        return "full"
    for upper in (2, 5, 20):
        if length <= upper:
            return f"of up to {upper} orders"
    return "longer"


def choose(kinds: list[tuple[str, ...]], n: int) -> list[int]:
    """Row numbers, at most `n`: one row of each kind in turn, until no kind has any left."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for row, kind in enumerate(kinds):
        groups.setdefault(kind, []).append(row)
    chosen: list[int] = []
    turn = 0
    while len(chosen) < n and any(len(group) > turn for group in groups.values()):
        chosen += [group[turn] for _, group in sorted(groups.items()) if len(group) > turn]
        turn += 1
    return sorted(chosen[:n])
