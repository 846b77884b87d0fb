"""Feature aggregation and mixture of experts in the form that is exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tsa_model.export.attention import linear
from tsa_model.export.operators import add_mixture, reshaped
from tsa_model.network.blocks import FeatureAggregation, MixtureOfExperts
from tsa_model.settings.model import WIDE_EDGES

NEGATIVE_SLOPE = 0.01


class PiecewiseNumbers(nn.Module):
    """Numbers, and their shares of the intervals of the wide head; see `network.heads.piecewise`.

    Args:
        dtype: of the network.
    """

    lows_K: Tensor
    widths_K: Tensor

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        edges = torch.tensor(WIDE_EDGES, dtype=torch.float64)
        self.register_buffer("lows_K", edges[:-1].to(dtype))
        self.register_buffer("widths_K", edges.diff().to(dtype))

    def forward(self, x_BF: Tensor) -> Tensor:
        """[B, F] → [B, F · (1 + intervals)]."""
        above_BFK = torch.relu((x_BF[:, :, None] - self.lows_K) / self.widths_K)
        shares_BFK = 1.0 - torch.relu(1.0 - above_BFK)
        return torch.cat([x_BF, shares_BFK.flatten(1)], dim=-1)


class CategoricalAggregation(nn.Module):
    """Vocabulary indices [n, Fc] → [n, D]: features are channels, the encoder is convolutions of width 1.

    A convolution takes its bias and its nonlinearity along, and nothing is transposed.
    """

    def __init__(self, table: nn.Embedding, aggregation: nn.Module) -> None:
        super().__init__()
        self.table = table
        self.encode = _Convolutions(aggregation.get_submodule("encoder"))

    def forward(self, ids_nF: Tensor) -> Tensor:
        """Aggregate."""
        return self.encode(self.table(ids_nF)).squeeze(1)


class NumericalAggregation(nn.Module):
    """Values [n, Fn] → [n, D]; value × embedding and the encoder's first layer are one matrix."""

    def __init__(self, rows_FD: Tensor, aggregation: nn.Module) -> None:
        super().__init__()
        self.rows_FD = nn.Parameter(rows_FD.detach().clone())
        self.first: nn.Linear | None = None
        if isinstance(aggregation, FeatureAggregation):
            layer, rest, D = aggregation.encoder[0], aggregation.encoder[2:], rows_FD.shape[1]
            assert isinstance(layer, nn.Linear)
            assert isinstance(rest, nn.Sequential)
            product = layer.weight.detach().double()[:, None, :] * rows_FD.detach().double().T  # [F1, D, Fn]
            bias = layer.bias.detach().repeat_interleave(D)
            self.first = linear(product.flatten(0, 1), bias, rows_FD.dtype)
            self.encode: nn.Module = _Convolutions(rest)
        else:
            self.encode = _Convolutions(aggregation.get_submodule("encoder"))

    def forward(self, x_nF: Tensor) -> Tensor:
        """Aggregate."""
        if self.first is None:
            return self.encode(self.rows_FD * x_nF.unsqueeze(-1)).squeeze(1)
        # The nonlinearity comes before the reshaping, where it melts into the product.
        h_nC = functional.leaky_relu(self.first(x_nF), NEGATIVE_SLOPE)
        D = self.rows_FD.shape[1]
        return self.encode(reshaped(h_nC, [0, self.first.out_features // D, D])).squeeze(1)


class _Convolutions(nn.Sequential):
    """[n, F, D] → [n, 1, D]: an encoder whose linear layers work along the middle axis."""

    def __init__(self, encoder: nn.Module) -> None:
        layers = encoder if isinstance(encoder, nn.Sequential) else [encoder]
        super().__init__(*(_convolution(each) if isinstance(each, nn.Linear) else each for each in layers))


def _convolution(layer: nn.Linear) -> nn.Conv1d:
    convolution = nn.Conv1d(layer.in_features, layer.out_features, 1, dtype=layer.weight.dtype)
    convolution.weight = nn.Parameter(layer.weight.detach().unsqueeze(-1).clone())
    convolution.bias = nn.Parameter(layer.bias.detach().clone())
    return convolution


class Experts(nn.Module):
    """The weights of a mixture, one tensor per expert; see `operators.add_mixture`."""

    def __init__(self, block: MixtureOfExperts) -> None:
        super().__init__()
        self.w_gating = nn.Parameter(block.gate.w_gating.detach().clone())
        self.w1 = nn.ParameterList(w.detach().clone() for w in block.experts.w1)
        self.w2 = nn.ParameterList(w.detach().clone() for w in block.experts.w2)

    def forward(self, x_BTE: Tensor, residual_BTE: Tensor, real_BT: Tensor | None = None) -> Tensor:
        """Add the mixture of `x_BTE` to `residual_BTE`; tokens that are not real are left as they are."""
        return add_mixture(x_BTE, residual_BTE, real_BT, self.w_gating, list(self.w1), list(self.w2))
