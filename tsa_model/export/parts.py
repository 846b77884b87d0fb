"""Feature aggregation and the wide head's numbers in the form that is exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tsa_model.export.attention import linear
from tsa_model.export.operators import reshaped
from tsa_model.network.blocks import FeatureAggregation
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
    """Vocabulary indices [n, Fc] → [n, D]: a layer is one product from the left, for all orders at once."""

    def __init__(self, table: nn.Embedding, aggregation: nn.Module) -> None:
        super().__init__()
        self.table = table
        self.encode = _Encoder(aggregation.get_submodule("encoder"))

    def forward(self, ids_nF: Tensor) -> Tensor:
        """Aggregate."""
        columns_FC = self.table(ids_nF.t()).flatten(1)
        return reshaped(self.encode(columns_FC), [-1, self.table.embedding_dim])


class NumericalAggregation(nn.Module):
    """Values [n, Fn] → [n, D]; value × embedding and the encoder's first layer are one matrix."""

    def __init__(self, rows_FD: Tensor, aggregation: nn.Module) -> None:
        super().__init__()
        self.rows_FD1 = nn.Parameter(rows_FD.detach()[:, :, None].clone())
        self.D = rows_FD.shape[1]
        self.first: _FromLeft | None = None
        if isinstance(aggregation, FeatureAggregation):
            layer, rest = aggregation.encoder[0], aggregation.encoder[2:]
            assert isinstance(layer, nn.Linear)
            assert isinstance(rest, nn.Sequential)
            product = layer.weight.detach().double()[:, None, :] * rows_FD.detach().double().T  # [F1, D, Fn]
            bias = layer.bias.detach().repeat_interleave(self.D)
            self.first = _FromLeft(linear(product.flatten(0, 1), bias, rows_FD.dtype))
            self.encode = _Encoder(rest)
        else:
            self.encode = _Encoder(aggregation.get_submodule("encoder"))

    def forward(self, x_nF: Tensor) -> Tensor:
        """Aggregate. Columns are all orders of a coordinate, then all of the next: nothing is copied."""
        if self.first is None:
            columns_FC = (self.rows_FD1 * x_nF.t()[:, None]).flatten(1)
        else:
            # The nonlinearity comes before the reshaping, where it melts into the product.
            first_Cn = functional.leaky_relu(self.first(x_nF.t()), NEGATIVE_SLOPE)
            columns_FC = reshaped(first_Cn, [len(self.first.weight) // self.D, -1])
        return reshaped(self.encode(columns_FC), [self.D, -1]).t()


class _Encoder(nn.Sequential):
    """[F, C] → [1, C]: an encoder whose linear layers work along the first axis."""

    def __init__(self, encoder: nn.Module) -> None:
        layers = encoder if isinstance(encoder, nn.Sequential) else [encoder]
        super().__init__(*(_FromLeft(each) if isinstance(each, nn.Linear) else each for each in layers))


class _FromLeft(nn.Module):
    """A linear layer over columns, [F, C] → [G, C]."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(layer.weight.detach().clone())
        self.bias = nn.Parameter(layer.bias.detach()[:, None].clone())

    def forward(self, x_FC: Tensor) -> Tensor:
        """Multiply."""
        return torch.addmm(self.bias, self.weight, x_FC)
