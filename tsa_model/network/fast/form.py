"""The fast form as an implementation; how large its pieces are is part of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tsa_model.network.fast import experts, layers
from tsa_model.network.fast.attention import Scaling, attention_over
from tsa_model.network.fast.classifiers import dual, mean_of_members, single
from tsa_model.network.fast.feature_attention import feature_attention
from tsa_model.network.fast.layers import Tokens
from tsa_model.network.fast.order_attention import order_attention
from tsa_model.network.fast.pieces import PieceSizes
from tsa_model.network.fast.prepared import forget
from tsa_model.network.implementation import Implementation
from tsa_model.network.parameters import (
    AggregationParameters,
    AttentionParameters,
    FeatureAttentionParameters,
    LayerParameters,
    MixtureParameters,
    OrderAttentionParameters,
)
from tsa_model.network.trace import SILENT, Trace


def feature_aggregation(block: AggregationParameters, x: Tensor) -> Tensor:
    """[..., D, F] → [..., D, 1]; see `reference.feature_aggregation`."""
    return block.encoder(x)


def attention(
    block: AttentionParameters,
    x_TBE: Tensor,
    time_TB1: Tensor | None = None,
    key_padding_mask_BT: Tensor | None = None,
    attn_mask_TT: Tensor | None = None,
    trace: Trace = SILENT,
) -> Tensor:
    """[T, B, E] → [T, B, E]; see `reference.attention`."""
    time_BT1 = None if time_TB1 is None else time_TB1.transpose(0, 1)
    scaling = Scaling.build(x_TBE.dtype, time_BT1, key_padding_mask_BT, attn_mask_TT)
    attend = attention_over(block, x_TBE.shape[0] * x_TBE.shape[1])
    return attend(x_TBE.transpose(0, 1).contiguous(), scaling).transpose(0, 1)


@dataclass(frozen=True)
class _InPieces:
    """The functions that cut what they compute into pieces.

    Attributes:
        sizes: of the pieces.
    """

    sizes: PieceSizes

    def mixture_of_experts(self, block: MixtureParameters, x_GND: Tensor, trace: Trace = SILENT) -> Tensor:
        """[G, N, D] → [G, N, D]; see `reference.mixture_of_experts`."""
        G, N, D = x_GND.shape
        mixed = torch.cat(list(experts.mix(block, x_GND.transpose(0, 1).reshape(-1, D), N, self.sizes)))
        return mixed.view(N, G, D).transpose(0, 1)

    def attention_layer(
        self,
        layer: LayerParameters,
        x_TBE: Tensor,
        time_TB1: Tensor | None = None,
        key_padding_mask_BT: Tensor | None = None,
        attn_mask_TT: Tensor | None = None,
        trace: Trace = SILENT,
    ) -> Tensor:
        """[T, B, E] → [T, B, E]; see `reference.attention_layer`."""
        time_BT1 = None if time_TB1 is None else time_TB1.transpose(0, 1)
        scaling = Scaling.build(x_TBE.dtype, time_BT1, key_padding_mask_BT, attn_mask_TT)
        tokens = Tokens.of([x_TBE.transpose(0, 1)])
        return layers.post_norm_layer(layer, tokens, [scaling], self.sizes).rows().transpose(0, 1)

    def attention_layer_pre_norm(
        self, layer: LayerParameters, x_TBD: Tensor, trace: Trace = SILENT
    ) -> Tensor:
        """[T, B, D] → [T, B, D]; see `reference.attention_layer_pre_norm`."""
        tokens = Tokens.of([x_TBD.transpose(0, 1)])
        return layers.pre_norm_layer(layer, tokens, self.sizes).rows().transpose(0, 1)

    def order_attention(
        self,
        block: OrderAttentionParameters,
        x_cat_BLF: Tensor,
        x_num_BLF: Tensor,
        time_seq_BL1: Tensor,
        key_padding_mask_BT: Tensor,
        attn_mask_TT: Tensor | None = None,
        trace: Trace = SILENT,
    ) -> Tensor:
        """A history → [B, E], or [B, T, E] with `return_seq`; see `reference.order_attention`."""
        if torch.is_grad_enabled():
            forget()
        history = (x_cat_BLF, x_num_BLF, time_seq_BL1, key_padding_mask_BT)
        return order_attention(block, *history, attn_mask_TT, trace, sizes=self.sizes)

    def feature_attention(
        self,
        block: FeatureAttentionParameters,
        x_cat_BLF: Tensor,
        x_num_BLF: Tensor,
        x_engineered_BF: Tensor | None,
        trace: Trace = SILENT,
    ) -> Tensor:
        """The features of the current order → [B, D]; see `reference.feature_attention`."""
        if torch.is_grad_enabled():
            forget()
        return feature_attention(block, x_cat_BLF, x_num_BLF, x_engineered_BF, trace, sizes=self.sizes)


def fast_in_pieces(sizes: PieceSizes) -> Implementation:
    """The fast form that cuts a batch into pieces of the given sizes."""
    cutting = _InPieces(sizes)  # methods, not partials: the type checker sees through them
    return Implementation(
        name="fast",
        feature_aggregation=feature_aggregation,
        mixture_of_experts=cutting.mixture_of_experts,
        attention=attention,
        attention_layer=cutting.attention_layer,
        attention_layer_pre_norm=cutting.attention_layer_pre_norm,
        order_attention=cutting.order_attention,
        feature_attention=cutting.feature_attention,
        single=single,
        dual=dual,
        mean_of_members=mean_of_members,
    )


FAST = fast_in_pieces(PieceSizes())
