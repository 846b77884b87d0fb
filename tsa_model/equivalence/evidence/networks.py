"""The networks the gate compares: one set of weights, two computations, two precisions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from tsa_model.batch import Batch, as_dtype, chunks, n_rows
from tsa_model.network.fast.form import fast_in_pieces
from tsa_model.network.fast.pieces import PieceSizes
from tsa_model.network.networks import Network
from tsa_model.network.trace import Trace
from tsa_model.settings.model import ModelConfig

REFERENCE_ROWS = 32
"""Rows per call of the reference: its one-hot dispatch needs memory that grows with the square of this."""


@dataclass(frozen=True)
class Networks:
    """The shipped network and the reference over the same weights, each in float32 and float64."""

    shipped: Network
    reference: Network
    shipped64: Network
    reference64: Network

    @classmethod
    def of(cls, shipped: Network) -> Networks:
        """Build the other three from the shipped float32 network, in its mode (training or evaluation)."""
        shipped64 = copy.deepcopy(shipped).double()
        return cls(shipped, shipped.twin("reference"), shipped64, shipped64.twin("reference"))

    def pair(self, dtype: torch.dtype) -> tuple[Network, Network]:
        """(reference, shipped) of one precision."""
        if dtype == torch.float64:
            return self.reference64, self.shipped64
        return self.reference, self.shipped

    def in_small_pieces(self, rows: int) -> Networks:
        """The same networks, but the shipped float64 one cuts a batch of `rows` into some pieces.

        Only a large batch is cut otherwise, for which the reference would be slow.
        """
        sizes = small_pieces(self.shipped64.config, rows)
        return replace(self, shipped64=self.shipped64.twin(fast_in_pieces(sizes)))


@torch.no_grad()
def outputs(network: Network, batch: Batch, rows_per_call: int | None = None) -> dict[str, Tensor]:
    """`logits` [B, classes] and `ensemble` [B, ...] of a network, in the network's own precision.

    Args:
        network: in the mode to compare.
        batch: any precision.
        rows_per_call: split the batch; right only where rows do not influence each other.
    """
    batch = as_dtype(batch, next(network.parameters()).dtype)
    calls = [network(part) for part in chunks(batch, rows_per_call or n_rows(batch))]
    logits, ensemble = (torch.cat(parts) for parts in zip(*calls, strict=True))
    return {"logits": logits, "ensemble": ensemble}


N_PIECES = 4


def small_pieces(config: ModelConfig, rows: int) -> PieceSizes:
    """Sizes that cut a float64 batch of `rows` into `N_PIECES` or a few more."""
    rows_each, D = max(1, rows // N_PIECES), config.dim_embedding_table
    n_features = min(config.n_cat_features, max(1, config.n_num_features // 2))
    return PieceSizes(
        activation_bytes=rows_each * (config.seq_len + 1) * 2 * D * 8,
        aggregation_elements=max(1, rows_each * config.seq_len // 2) * n_features * D,
        dense_work=0,
    )


POLICIES = ("random", "all", "none", "threshold")
"""What can happen to a token's second expert (TSA spec, section 6)."""


def has_capacity(config: ModelConfig) -> bool:
    """Whether tokens queue for experts, so that policies and capacity exist."""
    return config.use_moe and config.moe_form == "top2_capacity"


COMPARED = ("tokens", "output", "attention_weights", "gate_scores_raw", "gate_scores", "combined")
"""Last parts of the traced names that both computations can have."""


@torch.no_grad()
def traced(network: Network, batch: Batch, rows_per_call: int | None = None) -> dict[str, Tensor]:
    """Named intermediate tensors in the order they were computed, rows first, then `ensemble` and `logits`.

    Rows without a card history have no tensors in the card's order attention: zeros stand for them.
    """
    batch = as_dtype(batch, next(network.parameters()).dtype)
    calls = [_traced_call(network, part) for part in chunks(batch, rows_per_call or n_rows(batch))]
    return {name: torch.cat([call[name] for call in calls]) for name in calls[0]}


def _traced_call(network: Network, batch: Batch) -> dict[str, Tensor]:
    trace = Trace()
    logits, ensemble = network(batch, trace=trace)
    return rows_first(network, trace, logits, ensemble)


def rows_first(network: Network, trace: Trace, logits: Tensor, ensemble: Tensor) -> dict[str, Tensor]:
    """The compared tensors of one trace, rows first."""
    found = {}
    for name, x in trace.tensors.items():
        kind = name.rsplit(".", 1)[-1]
        if kind not in COMPARED:
            continue
        if kind in ("tokens", "output"):
            x = (x if x.dim() == 3 else x[None]).transpose(0, 1)  # [T, B, E] → [B, T, E]
        if name.startswith("order_attention_ccid."):
            (with_card,) = torch.where(trace.tensors["gate_scores"][:, 1] > network.config.gate_threshold)
            x = torch.zeros(len(logits), *x.shape[1:], dtype=x.dtype).index_copy(0, with_card, x)
        found[name] = x
    return {**found, "ensemble": ensemble, "logits": logits}


def align(reference: Tensor, shipped: Tensor) -> Tensor:
    """The part of the reference's tensor that the shipped one has: all of it, or the read-out token's."""
    for axis in range(1, min(reference.dim(), shipped.dim())):
        if shipped.shape[axis] == 1 and reference.shape[axis] > 1:
            return reference.narrow(axis, reference.shape[axis] - 1, 1)
    return reference


@contextmanager
def watch(modules: dict[str, nn.Module], seen: Callable[[str, tuple, dict, object], None]) -> Iterator[None]:
    """Call `seen(name, args, kwargs, output)` after every call of the modules."""
    handles = [
        module.register_forward_hook(
            lambda _, args, kwargs, output, name=name: seen(name, args, kwargs, output), with_kwargs=True
        )
        for name, module in modules.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
