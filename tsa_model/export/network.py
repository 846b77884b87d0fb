"""The network in the form that is exported: the same numbers, from weights multiplied together beforehand.

It computes what the deterministic mixture of experts computes (every token keeps both experts, no capacity
limit, TSA spec, section 6). Padding is never computed where it cannot be seen: padded orders are neither
aggregated nor sent to an expert. Shape letters as in `tsa_model.network.reference`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tsa_model.batch import network_inputs
from tsa_model.export import operators
from tsa_model.export.attention import Layout, Packed, Square, attention
from tsa_model.export.mixtures import Experts, SmallExperts, experts
from tsa_model.export.parts import CategoricalAggregation, NumericalAggregation, PiecewiseNumbers
from tsa_model.export.trees import TreeMargin
from tsa_model.network.blocks import (
    AttentionLayer,
    AttentionLayerPreNorm,
    FeatureAttentionModule,
    MixtureOfExperts,
    OrderAttentionModule,
)
from tsa_model.network.networks import DualSequenceNetwork, Network, SingleSequenceNetwork
from tsa_model.settings.model import ModelConfig


def input_names(config: ModelConfig) -> list[str]:
    """Names of the inputs in the order the exported network takes them (TSA spec, section 1)."""
    return network_inputs(config.sequences, config.n_engineered_num_features > 0)


def output_names(config: ModelConfig) -> list[str]:
    """Names of the outputs in the order the exported network returns them."""
    return ["logits", "score", "ensemble"] + (["gate_scores"] if config.sequences == "dual" else [])


def export_network(network: Network) -> ExportNetwork:
    """Build the exported form of a network; the network itself is left as it is.

    Raises:
        ValueError: the network has no exported form; an ensemble's members are exported one by one.
    """
    config = network.config
    if config.n_classes != 2:
        raise ValueError(f"n_classes={config.n_classes}: a fraud score needs exactly two classes")
    if config.members > 1:
        raise ValueError(f"members={config.members}: export each of them, then join the graphs")
    twin = network.twin("reference")
    if isinstance(twin, SingleSequenceNetwork):
        return ExportSingle(twin).eval()
    assert isinstance(twin, DualSequenceNetwork)
    return ExportDual(twin).eval()


class ExportNetwork(nn.Module):
    """Takes the tensors of `input_names` and returns those of `output_names`."""

    clf: nn.Module
    wide: nn.Module | None
    intervals: PiecewiseNumbers | None
    trees: TreeMargin | None

    def _take_heads(self, network: SingleSequenceNetwork | DualSequenceNetwork) -> None:
        self.clf, self.wide = network.clf, network.wide
        dtype = next(network.parameters()).dtype
        self.intervals = PiecewiseNumbers(dtype) if network.wide_is_piecewise else None
        self.trees = None if network.trees is None else TreeMargin(network.trees)

    def _outputs(
        self, ensemble: Tensor, x_cat: Tensor, x_num: Tensor, x_engineered: Tensor | None, *extra: Tensor
    ) -> tuple[Tensor, ...]:
        logits, numbers = self.clf(ensemble), _numbers(x_num, x_engineered)
        if self.wide is not None:
            logits = logits + self.wide(numbers if self.intervals is None else self.intervals(numbers))
        if self.trees is not None:
            logits = logits + functional.pad(self.trees(x_cat[:, -1], numbers), (1, 0))
        return (logits, torch.softmax(logits, dim=-1)[:, 1], ensemble, *extra)


class ExportSingle(ExportNetwork):
    """One history (TSA spec, section 8)."""

    def __init__(self, network: SingleSequenceNetwork) -> None:
        super().__init__()
        self.orders = OrderStack(network.order_attention)
        self.features = FeatureStack(network.feature_attention)
        self.mlp = None
        if network.mlp is not None:
            self.mlp = nn.Sequential(*network.mlp, network.mlp_layer_norm)
        self._take_heads(network)

    def forward(
        self, x_cat: Tensor, x_num: Tensor, time: Tensor, mask: Tensor, x_engineered: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Score a batch."""
        parts = [self.orders(x_cat, x_num, time, mask), self.features(x_cat, x_num, x_engineered)]
        if self.mlp is not None:
            parts.append(self.mlp(_numbers(x_num, x_engineered)))
        return self._outputs(torch.cat(parts, dim=-1), x_cat, x_num, x_engineered)


class ExportDual(ExportNetwork):
    """Both histories and the gate (TSA spec, section 9)."""

    def __init__(self, network: DualSequenceNetwork) -> None:
        super().__init__()
        self.gate = OrderStack(network.gate_emb)
        self.gate_score = network.gate_score
        self.threshold = network.gate_threshold
        self.orders_cid = OrderStack(network.order_attention_cid)
        self.orders_ccid = OrderStack(network.order_attention_ccid)
        self.layer_norm = network.layer_norm
        self.features = FeatureStack(network.feature_attention)
        self._take_heads(network)

    def forward(
        self,
        cat_cid: Tensor,
        num_cid: Tensor,
        time_cid: Tensor,
        mask_cid: Tensor,
        cat_ccid: Tensor,
        num_ccid: Tensor,
        time_ccid: Tensor,
        mask_ccid: Tensor,
        x_engineered: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Score a batch."""
        gated = [
            self.gate(cat_cid, num_cid, time_cid, mask_cid),
            self.gate(cat_ccid, num_ccid, time_ccid, mask_ccid),
        ]
        raw_B2 = torch.softmax(self.gate_score(torch.cat(gated, dim=-1)), dim=-1)
        # L - 1 of the L + 1 columns are padding: the current order stands alone.
        alone_B1 = torch.where(mask_ccid, 1, 0).sum(dim=1, keepdim=True) == mask_ccid.shape[1] - 2
        gate_cid_B1, gate_ccid_B1 = raw_B2[:, :1], torch.where(alone_B1, 0.0, raw_B2[:, 1:])
        open_B1 = gate_ccid_B1 > self.threshold
        # Where the gate is closed, the card's orders count as padding and so cost next to nothing.
        closed_BT = functional.pad(~open_B1.expand(-1, mask_ccid.shape[1] - 1), (0, 1))
        ccid_BE = self.orders_ccid(cat_ccid, num_ccid, time_ccid, torch.logical_or(mask_ccid, closed_BT))
        ccid_BE = torch.where(open_B1, ccid_BE, 0.0)
        cid_BE = self.orders_cid(cat_cid, num_cid, time_cid, mask_cid)
        combined_BE = self.layer_norm(gate_cid_B1 * cid_BE + gate_ccid_B1 * ccid_BE)
        feature_BD = self.features(cat_cid, num_cid, x_engineered)
        ensemble = torch.cat([combined_BE, feature_BD], dim=-1)
        gates = torch.cat([gate_cid_B1, gate_ccid_B1], dim=-1)
        return self._outputs(ensemble, cat_cid, num_cid, x_engineered, gates)


def _numbers(x_num: Tensor, x_engineered: Tensor | None) -> Tensor:
    """The current order's numerical and engineered features, [B, Fn + Fe]."""
    current = x_num[:, -1]
    return current if x_engineered is None else torch.cat([current, x_engineered], dim=-1)


class OrderStack(nn.Module):
    """A history → [B, E]; the last layer computes the dummy token alone, which is all that is read."""

    def __init__(self, block: OrderAttentionModule) -> None:
        super().__init__()
        table = block.embedding
        self.categorical = CategoricalAggregation(table, block.feature_aggregation_cat)
        self.numerical = NumericalAggregation(
            _numerical_rows(table, block.n_num_features), block.feature_aggregation_num
        )
        self.layer_norm_feature = block.layer_norm_feature
        self.layer_norm = block.layer_norm
        self.time_encoder = block.time_encoder
        self.dummy = nn.Parameter(_normalised(block.layer_norm, block.dummy_order))
        self.use_time = block.use_time_seq
        last = len(block.layer_stack) - 1
        self.layers = nn.ModuleList(
            PostNormLayer(layer, block.use_time_seq, i == last)
            for i, layer in enumerate(block.layer_stack)
            if isinstance(layer, AttentionLayer)
        )

    def forward(self, x_cat_BLF: Tensor, x_num_BLF: Tensor, time_BL1: Tensor, mask_BT: Tensor) -> Tensor:
        """Read a history."""
        layout = Packed(mask_BT, time_BL1 if self.use_time else None)
        orders_n2 = operators.but_last(layout.places_N2, mask_BT)
        orders_nE = torch.cat(
            [
                self.categorical(operators.taken(x_cat_BLF, orders_n2)),
                self.numerical(operators.taken(x_num_BLF, orders_n2)),
            ],
            dim=-1,
        )
        orders_nE = self.layer_norm_feature(orders_nE)
        if self.time_encoder is not None:
            time_n1 = operators.taken(time_BL1, orders_n2)
            orders_nE = orders_nE + self.time_encoder(time_n1.unsqueeze(1)).squeeze(0)
        x_NE = operators.followed(self.layer_norm(orders_nE), self.dummy, mask_BT, layout.places_N2)
        for layer in self.layers:
            x_NE = layer(x_NE, layout)
        return x_NE


class FeatureStack(nn.Module):
    """The features of the current order → [B, D] (TSA spec, section 7)."""

    def __init__(self, block: FeatureAttentionModule) -> None:
        super().__init__()
        self.table = block.embedding
        engineered = block.embedding_engineered.weight.detach()
        numerical = _numerical_rows(block.embedding, block.n_num_features).detach()
        # The last token, which is read out, is a bias that no number is added to.
        self.rows_FD = nn.Parameter(torch.cat([numerical, engineered[1:], torch.zeros_like(engineered[:1])]))
        self.bias_cat = nn.Parameter(torch.zeros(1, numerical.shape[1], dtype=engineered.dtype))
        self.bias_num = nn.Parameter(torch.zeros_like(self.rows_FD))
        if block.emb_tbl_bias is not None:
            n_cat = len(block.emb_tbl_bias) - block.n_num_features
            self.bias_cat = nn.Parameter(block.emb_tbl_bias.detach()[:n_cat].clone())
            self.bias_num.data[: block.n_num_features] = block.emb_tbl_bias.detach()[n_cat:]
        if block.engineered_emb_tbl_bias is not None:
            self.bias_num.data[len(numerical) : -1] = block.engineered_emb_tbl_bias.detach()
        self.bias_num.data[-1:] = engineered[:1]
        self.layer_norm = block.layer_norm_engineered
        last = len(block.layer_stack_feature) - 1
        self.layers = nn.ModuleList(
            PreNormLayer(layer, i == last)
            for i, layer in enumerate(block.layer_stack_feature)
            if isinstance(layer, AttentionLayerPreNorm)
        )

    def forward(self, x_cat_BLF: Tensor, x_num_BLF: Tensor, x_engineered_BF: Tensor | None) -> Tensor:
        """Read the current order."""
        categories = self.table(x_cat_BLF[:, -1]) + self.bias_cat
        numbers_BF1 = functional.pad(_numbers(x_num_BLF, x_engineered_BF), (0, 1)).unsqueeze(-1)
        tokens = torch.cat([categories, self.rows_FD * numbers_BF1 + self.bias_num], dim=1)
        layout = Square(x_cat_BLF.shape[2] + len(self.rows_FD))
        x_ND = self.layer_norm(layout.packed(tokens))
        for layer in self.layers:
            x_ND = layer(x_ND, layout)
        return x_ND


class PostNormLayer(nn.Module):
    """Normalise after each residual sum."""

    def __init__(self, layer: AttentionLayer, temporal: bool, last_only: bool) -> None:
        super().__init__()
        self.attention = attention(layer.multi_attn, last_only, temporal=temporal)
        self.layer_norm1, self.layer_norm2 = layer.layer_norm1, layer.layer_norm2
        self.feedforward = _feedforward(layer.feedforward)
        self.last_only = last_only

    def forward(self, x_NE: Tensor, layout: Layout) -> Tensor:
        """Run the layer: [N, E], or [B, E] of each row's last token."""
        residual = layout.last(x_NE) if self.last_only else x_NE
        x = self.layer_norm1(residual + self.attention(x_NE, layout))
        return self.layer_norm2(_add_feedforward(self.feedforward, x, x))


class PreNormLayer(nn.Module):
    """Normalise the input of each block, never the residual path."""

    def __init__(self, layer: AttentionLayerPreNorm, last_only: bool) -> None:
        super().__init__()
        self.attention = attention(layer.multi_attn, last_only, square=True)
        self.layer_norm1, self.layer_norm2 = layer.layer_norm1, layer.layer_norm2
        self.feedforward = _feedforward(layer.feedforward)
        self.last_only = last_only

    def forward(self, x_ND: Tensor, layout: Layout) -> Tensor:
        """Run the layer: [N, D], or [B, D] of each row's last token."""
        residual = layout.last(x_ND) if self.last_only else x_ND
        x = residual + self.attention(self.layer_norm1(x_ND), layout)
        return _add_feedforward(self.feedforward, self.layer_norm2(x), x)


def _normalised(layer_norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """A layer norm's output, computed in float64."""
    weight, bias = layer_norm.weight.detach().double(), layer_norm.bias.detach().double()
    wide = functional.layer_norm(x.detach().double(), x.shape[-1:], weight, bias, layer_norm.eps)
    return wide.to(x.dtype)


def _feedforward(block: nn.Module) -> nn.Module:
    return experts(block) if isinstance(block, MixtureOfExperts) else block


def _add_feedforward(block: nn.Module, x_NE: Tensor, residual_NE: Tensor) -> Tensor:
    if not isinstance(block, (Experts, SmallExperts)):
        return residual_NE + block(x_NE)
    return block(x_NE, residual_NE)


def _numerical_rows(table: nn.Embedding, n_num_features: int) -> Tensor:
    last = table.num_embeddings - 2
    return table.weight[last - n_num_features + 1 : last + 1]
