"""Batches: the tensors a network takes, by name (TSA spec, section 1). Their names are spelled only here.

This module needs torch to be used but not to be imported, so that whoever assembles batches starts quickly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Batch = dict[str, "Tensor"]
"""Tensor name → tensor; rows first, but for the attention mask, which has none."""
Sequences = Literal["single", "dual"]
T = TypeVar("T")

KEYS = ("cid", "ccid")
"""The two histories of a dual batch: the customer's and the card's."""
ENGINEERED = "x_engineered"
"""Engineered features of the current order, float [B, Fe]; absent where there are none."""
LABEL = "label"
"""1 = fraud, 0 = not, -1 = not known, int64 [B]; no network reads it."""
ORDER_ID = "order_id"
"""Order ids, one for each row; no network reads them, and seldom given: messages name orders by them."""
MARGIN = "tree_margin"
"""What boosted trees that never saw an order say of it, float [B]; only training batches
have it, and it takes the place of the trees' own margin."""
ATTN_MASK = "attn_mask"
"""Which orders may not attend to which, [L + 1, L + 1]; seldom given."""


class History(NamedTuple, Generic[T]):
    """What a batch holds of one history: tensors, or their names.

    Attributes:
        cat: vocabulary indices of the categorical features, int64 [B, L, Fc].
        num: scaled numerical features, float [B, L, Fn].
        time: seconds before the current order, float [B, L, 1].
        mask: True = padding, bool [B, L + 1]; the last column is the dummy token's.
    """

    cat: T
    num: T
    time: T
    mask: T


def history_names(sequences: Sequences) -> tuple[History[str], ...]:
    """The names of every history of a batch: one for `single`, the customer's and the card's for `dual`."""
    if sequences == "single":
        return (History("x_cat", "x_num", "time_seq", "key_padding_mask"),)
    return tuple(
        History(f"x_seq_cat_{key}", f"x_seq_num_{key}", f"time_seq_{key}", f"key_padding_mask_{key}")
        for key in KEYS
    )


def network_inputs(sequences: Sequences, engineered: bool) -> list[str]:
    """The names of all that a network reads, in order.

    Args:
        sequences: histories.
        engineered: whether there are engineered features.
    """
    names = [name for history in history_names(sequences) for name in history]
    return names + ([ENGINEERED] if engineered else [])


def histories_among(names: Iterable[str]) -> list[History[str]]:
    """The names of the histories whose masks are among these names, in a batch's order."""
    present = set(names)
    every = history_names("single") + history_names("dual")
    return [history for history in every if history.mask in present]


def sequences_of(names: Iterable[str]) -> Sequences:
    """Whether tensors of these names make a dual batch or a single one."""
    return "dual" if set(history_names("dual")[1]) & set(names) else "single"


def histories(batch: Mapping[str, T], sequences: Sequences) -> tuple[History[T], ...]:
    """The tensors of every history of a batch."""
    return tuple(History(*(batch[name] for name in names)) for names in history_names(sequences))


def as_dtype(batch: Batch, dtype: torch.dtype) -> Batch:
    """The batch with its floating-point tensors in another precision."""
    return {name: x.to(dtype) if x.is_floating_point() else x for name, x in batch.items()}


def n_rows(batch: Batch) -> int:
    """B of a batch."""
    return len(next(iter(batch.values())))


def rows_of(batch: Batch, rows: Tensor | slice) -> Batch:
    """Some rows of a batch; an attention mask, which has no rows, is kept."""
    return {name: x if name == ATTN_MASK else x[rows] for name, x in batch.items()}


def chunks(batch: Batch, n: int) -> Iterator[Batch]:
    """Consecutive chunks of at most `n` rows."""
    for start in range(0, n_rows(batch), n):
        yield rows_of(batch, slice(start, start + n))
