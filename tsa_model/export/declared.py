"""Every tensor and constant an exported graph may hold, derived from the network's weights and configuration.

The weights are derived here a second time, by plain loops over heads: `network.py`, `attention.py` and
`parts.py`, which wrote the graph, are not asked. A weight that the graph takes over is compared to the bit, a
product of weights with its float64 value.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tsa_model.export.attention import NARROW
from tsa_model.export.mixtures import MANY, SMALL, TINY
from tsa_model.export.row_loop import BAND, rows_per_piece
from tsa_model.network.blocks import FeatureAggregation, MixtureOfExperts, OrderAttentionModule
from tsa_model.network.forms.experts import DenseSoftmaxExperts, NoisyTop2Experts
from tsa_model.network.networks import DualSequenceNetwork, Network, SingleSequenceNetwork, members_of
from tsa_model.network.trees import BoostedTrees
from tsa_model.settings.model import WIDE_EDGES, WIDE_INTERVALS, ModelConfig


@dataclass(frozen=True)
class Weight:
    """A tensor that the graph must hold."""

    values: Tensor
    """float64, on the CPU."""
    product: bool = False
    """Computed from several weights: equal within a unit in the last place, not to the bit."""


Weights = dict[str, Weight]


def weights(network: Network) -> Weights:
    """Name → the tensor an export of this network holds under this name."""
    members = members_of(network)
    if len(members) > 1:
        return {
            f"members.{number}.{name}": weight
            for number, member in enumerate(members)
            for name, weight in weights(member).items()
        }
    if isinstance(network, SingleSequenceNetwork):
        found = _orders("orders", network.order_attention)
        if network.mlp is not None:
            found |= _module("mlp", network.mlp) | _module("mlp.4", network.mlp_layer_norm)
    else:
        assert isinstance(network, DualSequenceNetwork)
        found = _orders("gate", network.gate_emb) | _module("gate_score", network.gate_score)
        found |= _orders("orders_cid", network.order_attention_cid)
        found |= _orders("orders_ccid", network.order_attention_ccid)
        found |= _module("layer_norm", network.layer_norm)
    if network.wide is not None:
        found |= _module("wide", network.wide)
    if network.wide is not None and network.wide_is_piecewise:
        widths = [high - low for low, high in itertools.pairwise(WIDE_EDGES)]
        found |= _exact("intervals.lows_K", torch.tensor(WIDE_EDGES[:-1]))
        found |= _exact("intervals.widths_K", torch.tensor(widths))
    if network.trees is not None:
        found |= _trees(network.trees)
    return found | _features(network) | _module("clf", network.clf)


def scalars(config: ModelConfig) -> set[float]:
    """Values of the graph's single float constants, as float32 holds them."""
    values = [0.0, -torch.inf]
    values += [TINY] if config.num_experts > MANY else []
    values += [1e6] if config.use_time_seq or config.gate_use_time_seq else []
    values += [config.gate_threshold] if config.sequences == "dual" else []
    values += [1.0] if config.wide_hidden_dim and config.wide_encoding == "piecewise" else []
    return {float(torch.tensor(value, dtype=torch.float32)) for value in values}


def whole_numbers(config: ModelConfig) -> set[int]:
    """Values of the body's whole constants: axes, experts, widths of tokens and layers, "to the end"."""
    D, H, G = config.dim_embedding_table, config.num_heads, config.gate_embedding_dim
    n_cat, n_num = config.n_cat_features, config.n_num_features
    n_tokens = n_cat + n_num + config.n_engineered_num_features + 1
    found = {-1, 0, 1, 2, 3, 4, 2**63 - 1, *range(max(config.num_experts, 3 * H) + 1)}
    found |= {n // 2**k for n in (n_cat, n_num) for k in range(6)} | {n_tokens, n_tokens - 1}
    if config.wide_hidden_dim and config.wide_encoding == "piecewise":
        found |= {(n_num + config.n_engineered_num_features) * WIDE_INTERVALS}
    for width, heads in ((D, H), (2 * D, H), (G, 1), (2 * G, 1)):
        found |= {width, width // heads, width * heads, 3 * width, heads, 3 * heads, n_tokens * heads}
    return found


def loop_constants(config: ModelConfig, widths: dict[str, list[int]]) -> dict[str, list[int]]:
    """The constants around the body, which `row_loop.in_pieces` writes.

    Args:
        config: of the network.
        widths: output → its dimensions but the first.
    """
    found = {"one": [1], "two": [2], "first": [0], "orders_axis": [1], "end": [2**62]}
    found["rows_per_piece"] = [rows_per_piece(config)]
    if config.sequences == "dual":
        found |= {"band": [BAND], "many": [1 << 30]}
    return found | {f"{name}_shape": [-1, *width] for name, width in widths.items()}


LAYOUT_OPERATORS = {"Concat", "Expand", "Flatten", "Gather", "GatherElements", "GatherND"} | {
    "Identity", "Pad", "Range", "Reshape", "ScatterElements", "ScatterND", "Shape", "Slice",
    "Split", "Squeeze", "Transpose", "Unsqueeze",
} | {"Constant", "ConstantOfShape", "Loop"}  # fmt: skip
NUMBER_OPERATORS = {
    "Add",
    "Conv",
    "Cos",
    "Div",
    "Exp",
    "Gemm",
    "LayerNormalization",
    "LeakyRelu",
    "MatMul",
} | {"Mean", "Mul", "ReduceSum", "Relu", "Sin", "Softmax", "Sub"}
CHOICE_OPERATORS = {"ArgMax", "Cast", "Equal", "Greater", "Min", "NonZero", "Not", "Or", "ReduceMin"} | {
    "TopK",
    "Where",
}
OPERATORS = LAYOUT_OPERATORS | NUMBER_OPERATORS | CHOICE_OPERATORS
"""What exported graphs are made of. An operator that rounds, cuts off or draws is not among them."""

ATTRIBUTES: dict[tuple[str, str], tuple[Any, ...]] = {
    ("Gemm", "alpha"): (1.0,),
    ("Gemm", "beta"): (1.0,),
    ("LayerNormalization", "axis"): (-1,),
    ("LayerNormalization", "epsilon"): (float(torch.tensor(1e-5)),),
    ("LeakyRelu", "alpha"): (float(torch.tensor(0.01)),),
    ("Softmax", "axis"): (-1,),
    ("TopK", "axis"): (-1,),
    ("Cast", "to"): (1, 6, 7, 9),  # float32, int32, int64, bool: nothing narrower, nothing wider
    ("ScatterND", "reduction"): (b"none", b"add"),  # orders take their places; results of experts are added
    ("ScatterElements", "reduction"): (b"none",),
}
"""Attributes of operators that change a number by little, and the values they may have."""


def _exact(name: str, values: Tensor) -> Weights:
    return {name: Weight(values.detach().double())}


def _product(name: str, values: Tensor) -> Weights:
    return {name: Weight(values, product=True)}


def _trees(trees: BoostedTrees) -> Weights:
    """What is no attribute of the operator: the numbers that categories stand for."""
    return _exact("trees.codes_V1", trees.codes[:, None])


def _module(name: str, module: nn.Module) -> Weights:
    found: Weights = {}
    for key, values in module.state_dict().items():
        found |= _exact(f"{name}.{key}", values)
    return found


def _orders(name: str, block: OrderAttentionModule) -> Weights:
    table = block.embedding.weight
    last = len(table) - 2
    rows_FD = table[last - block.n_num_features + 1 : last + 1].detach().double()
    found = _product(f"{name}.dummy", _normalised(block.dummy_order, block.layer_norm))
    found |= _exact(f"{name}.categorical.table.weight", table)
    found |= _encoder(f"{name}.categorical.encode", block.feature_aggregation_cat.get_submodule("encoder"))
    numerical = block.feature_aggregation_num
    encoder = numerical.get_submodule("encoder")
    if isinstance(numerical, FeatureAggregation):
        assert isinstance(encoder, nn.Sequential)
        found |= _numbers(f"{name}.numerical.first", encoder[0], rows_FD)
        encoder = encoder[2:]
    else:
        found |= _exact(f"{name}.numerical.rows_FD1", rows_FD[:, :, None])
    found |= _encoder(f"{name}.numerical.encode", encoder)
    found |= _module(f"{name}.layer_norm_feature", block.layer_norm_feature)
    found |= _module(f"{name}.layer_norm", block.layer_norm)
    if block.time_encoder is not None:
        found |= _module(f"{name}.time_encoder", block.time_encoder)
    return found | _layers(f"{name}.layers", block.layer_stack, temporal=block.use_time_seq)


def _normalised(x: Tensor, layer_norm: nn.LayerNorm) -> Tensor:
    centred = x.detach().double() - x.detach().double().mean()
    weight, bias = layer_norm.weight.detach().double(), layer_norm.bias.detach().double()
    return weight * centred / (centred.square().mean() + layer_norm.eps).sqrt() + bias


def _features(network: Any) -> Weights:
    block, name = network.feature_attention, "features"
    table, engineered = block.embedding.weight, block.embedding_engineered.weight
    n_num, n_engineered = block.n_num_features, block.n_engineered
    n_cat, last = network.config.n_cat_features, len(table) - 2
    bias = torch.zeros(1, table.shape[1]) if block.emb_tbl_bias is None else block.emb_tbl_bias
    found = _exact(f"{name}.table.weight", table)
    found |= _exact(f"{name}.bias_cat", bias[:n_cat])
    rows = [table[last - n_num + 1 : last + 1]]
    biases = [bias[n_cat:] if len(bias) > 1 else bias.expand(n_num, -1)]
    if n_engineered:
        more = block.engineered_emb_tbl_bias
        rows.append(engineered[1:])
        biases.append((torch.zeros_like(bias[:1]) if more is None else more).expand(n_engineered, -1))
    # The token that is read out is a bias to which no number is added.
    rows.append(torch.zeros_like(engineered[:1]))
    biases.append(engineered[:1])
    found |= _exact(f"{name}.rows_FD", torch.cat(rows)) | _exact(f"{name}.bias_num", torch.cat(biases))
    found |= _module(f"{name}.layer_norm", block.layer_norm_engineered)
    return found | _layers(f"{name}.layers", block.layer_stack_feature, square=True)


def _encoder(name: str, encoder: nn.Module) -> Weights:
    """Linear layers that multiply from the left."""
    found: Weights = {}
    for place, layer in enumerate(encoder if isinstance(encoder, nn.Sequential) else [encoder]):
        if isinstance(layer, nn.Linear):
            found |= _exact(f"{name}.{place}.weight", layer.weight)
            found |= _exact(f"{name}.{place}.bias", layer.bias[:, None])
    return found


def _numbers(name: str, layer: nn.Module, rows_FD: Tensor) -> Weights:
    """The first layer over value × embedding, as one matrix over the values."""
    assert isinstance(layer, nn.Linear)
    weight = layer.weight.detach().double()
    per_unit = [rows_FD.T * weight[unit] for unit in range(len(weight))]  # [D, Fn] each
    bias = layer.bias.detach().repeat_interleave(rows_FD.shape[1])[:, None]
    return _product(f"{name}.weight", torch.cat(per_unit)) | _exact(f"{name}.bias", bias)


def _layers(name: str, stack: nn.ModuleList, *, temporal: bool = False, square: bool = False) -> Weights:
    found: Weights = {}
    for place, layer in enumerate(stack):
        inner: Any = layer
        last_only = place == len(stack) - 1
        heads = inner.multi_attn.num_heads
        folded = (
            last_only or heads == 1 or (square and heads * inner.multi_attn.out_proj.in_features <= NARROW)
        )
        found |= _attention(f"{name}.{place}.attention", inner.multi_attn, temporal, folded)
        found |= _module(f"{name}.{place}.layer_norm1", inner.layer_norm1)
        found |= _module(f"{name}.{place}.layer_norm2", inner.layer_norm2)
        found |= _feedforward(f"{name}.{place}.feedforward", inner.feedforward)
    return found


def _attention(name: str, block: Any, temporal: bool, folded: bool) -> Weights:
    E, H = block.out_proj.in_features, block.num_heads
    d, scale = E // H, (E // H) ** -0.5
    weight, bias = block.in_proj_weight.detach().double(), block.in_proj_bias.detach().double()
    out, out_bias = block.out_proj.weight.detach().double(), block.out_proj.bias.detach().double()
    if not folded:
        of_query = torch.ones(3 * E, dtype=torch.float64)
        of_query[:E] = scale
        found = _product(f"{name}.project.weight", weight * of_query[:, None])
        found |= _product(f"{name}.project.bias", bias * of_query)
        return found | _exact(f"{name}.out.weight", out) | _exact(f"{name}.out.bias", out_bias)
    query, query_bias, offset, offset_bias, values = [], [], [], [], []
    for head in range(H):
        q, k, v = (slice(part * E + head * d, part * E + (head + 1) * d) for part in range(3))
        query.append(scale * weight[k].T @ weight[q])
        query_bias.append(scale * weight[k].T @ bias[q])
        offset.append(scale * bias[k] @ weight[q])
        offset_bias.append(scale * bias[k] @ bias[q])
        columns = out[:, head * d : (head + 1) * d]
        values.append(columns @ weight[v])
        out_bias = out_bias + columns @ bias[v]
    found = _product(f"{name}.query.weight", torch.cat(query))
    found |= _product(f"{name}.query.bias", torch.cat(query_bias))
    if temporal:
        found |= _product(f"{name}.offset.weight", torch.stack(offset))
        found |= _product(f"{name}.offset.bias", torch.stack(offset_bias))
    found |= _product(f"{name}.out.weight", torch.cat(values, dim=1))
    return found | _product(f"{name}.out.bias", out_bias)


def _feedforward(name: str, block: nn.Module) -> Weights:
    if isinstance(block, MixtureOfExperts):
        found = _exact(f"{name}.w_gating", block.gate.w_gating)
        if block.experts.w1.numel() > SMALL:
            for kind, of_experts in (("w1", block.experts.w1), ("w2", block.experts.w2)):
                for expert, values in enumerate(of_experts):
                    found |= _exact(f"{name}.{kind}.{expert}", values)
            return found
        found |= _exact(f"{name}.w1", torch.hstack(list(block.experts.w1)))
        found |= _exact(f"{name}.w2", torch.vstack(list(block.experts.w2)))
        X, _, h = block.experts.w1.shape
        own_columns = torch.arange(X)[:, None] == torch.arange(X * h) // h
        return found | _exact(f"{name}.spread", own_columns.double())
    found = _module(name, block)
    if isinstance(block, NoisyTop2Experts):
        del found[f"{name}.w_noise"]  # read in training only
    assert isinstance(block, (DenseSoftmaxExperts, NoisyTop2Experts, nn.Sequential))
    return found
