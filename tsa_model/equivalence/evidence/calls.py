"""Teacher forcing: every block of the shipped network on the reference's own input to that block.

What went wrong before cannot reach a block then, so the first block that differs is the one that is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tsa_model.batch import Batch, as_dtype, n_rows
from tsa_model.equivalence.evidence.networks import rows_first, watch
from tsa_model.network.blocks import (
    AttentionLayer,
    AttentionLayerPreNorm,
    Block,
    FeatureAggregation,
    MixtureOfExperts,
    TemporalMultiheadAttention,
)
from tsa_model.network.networks import Network
from tsa_model.network.trace import Trace

LEAVES = (FeatureAggregation, TemporalMultiheadAttention, MixtureOfExperts)
"""Blocks that contain no other block."""
_HEADS = ("clf", "gate_score", "mlp", "wide")


class Call(NamedTuple):
    """One call of one block of the reference; calls are in the order they ended, inner blocks first."""

    name: str
    block: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Tensor
    rows: Tensor
    """Which rows of the batch went through, in the order of the row axis."""

    @property
    def is_head(self) -> bool:
        """Whether this is a plain network at the end: classifier, card gate, MLP branch, wide head."""
        return not isinstance(self.block, Block)

    @property
    def row_axis(self) -> int:
        """Axis of the output along which the rows lie."""
        batch_first = not isinstance(self.block, Block) or isinstance(self.block, FeatureAggregation)
        return 0 if batch_first or self.output.dim() == 2 else 1

    def rows_first(self, x: Tensor) -> Tensor:
        """An output of this block with the rows along the first axis."""
        return x.movedim(self.row_axis, 0)


@torch.no_grad()
def calls_of(reference: Network, batch: Batch) -> tuple[list[Call], dict[str, Tensor]]:
    """Run the reference once and keep what went into and came out of every block.

    Returns:
        the calls, and the traced tensors as `networks.traced` gives them.
    """
    batch = as_dtype(batch, next(reference.parameters()).dtype)
    trace = Trace()
    seen: list[tuple[str, tuple, dict[str, Any], Any]] = []

    def keep(name: str, args: tuple, kwargs: dict[str, Any], output: object) -> None:
        kwargs = {key: x for key, x in kwargs.items() if key != "trace"}
        block = modules[name]
        if isinstance(block, (AttentionLayer, AttentionLayerPreNorm)):  # calls its attention as a function
            pre_norm = isinstance(block, AttentionLayerPreNorm)
            inner = (block.layer_norm1(args[0]),) if pre_norm else args
            seen.append((f"{name}.multi_attn", inner, kwargs, block.multi_attn(*inner, **kwargs)))
        seen.append((name, args, kwargs, output))

    modules = {
        name: module
        for name, module in reference.named_modules()
        if (isinstance(module, Block) and name) or name in _HEADS
    }
    with watch(modules, keep):
        logits, ensemble = reference(batch, trace=trace)
    every_row = torch.arange(n_rows(batch))
    with_card = every_row
    if "gate_scores" in trace.tensors:
        with_card = every_row[trace.tensors["gate_scores"][:, 1] > reference.config.gate_threshold]
    found: list[Call] = []
    n_times: dict[str, int] = {}
    for name, args, kwargs, output in seen:
        n_times[name] = n_times.get(name, 0) + 1
        rows = with_card if name.startswith("order_attention_ccid") else every_row
        if len(rows):
            call = f" (call {n_times[name]})" if name.startswith("gate_emb") else ""
            block = reference.get_submodule(name)
            found.append(Call(name + call, block, args, kwargs, output, rows))
    return found, rows_first(reference, trace, logits, ensemble)


@torch.no_grad()
def replay(calls: list[Call], network: Network) -> Iterator[tuple[Call, Tensor]]:
    """The calls again, each by the same block of another network, in that network's precision."""
    dtype = next(network.parameters()).dtype
    for call in calls:
        block = network.get_submodule(call.name.partition(" ")[0])
        args = tuple(_cast(x, dtype) for x in call.args)
        kwargs = {key: _cast(x, dtype) for key, x in call.kwargs.items()}
        yield call, block(*args, **kwargs)


def _cast(x: Any, dtype: torch.dtype) -> Any:
    return x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x
