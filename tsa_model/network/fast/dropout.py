"""Order attention in training with dropout, where rows queue for expert slots: padding without gradients.

A padded order takes part in the routing of its position and in nothing else, so no gradient reaches it. Its
tokens only ask the real ones, to know what they would choose; behind the last routing they are dropped. The
random numbers are drawn for every position of every row, in the order and the shapes of a batch that is not
sorted, so what is left out changes no draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from tsa_model.network.fast import experts
from tsa_model.network.fast.attention import Scaling, last_logits, last_output
from tsa_model.network.fast.layers import feedforward_last
from tsa_model.network.fast.pieces import PieceSizes, Rows
from tsa_model.network.parameters import AttentionParameters, LayerParameters, MixtureParameters


@dataclass(frozen=True)
class _Draws:
    """What a place of dropout keeps of the whole batch.

    Attributes:
        kept: bool, rows of the batch first; None where nothing is dropped.
        rate: of the place.
    """

    kept: Tensor | None
    rate: float

    @classmethod
    def of(cls, rate: float, active: bool, shape: tuple[int, ...], device: torch.device) -> _Draws:
        """Draw for a tensor of some shape."""
        if rate == 0 or not active:
            return cls(None, 0.0)
        return cls(torch.empty(shape, dtype=torch.bool, device=device).bernoulli_(1 - rate), rate)

    @classmethod
    def cat(cls, parts: Sequence[_Draws]) -> _Draws:
        """The draws of consecutive rows as those of all."""
        kept = [each.kept for each in parts if each.kept is not None]
        return cls(torch.cat(kept) if kept else None, parts[0].rate)

    def at(self, places: Tensor) -> Tensor | None:
        """What is kept at some rows, or at some tokens."""
        return None if self.kept is None else self.kept.index_select(0, places)

    def drop(self, x: Tensor, kept: Tensor | None) -> Tensor:
        """Drop what is not kept."""
        return x if kept is None else x * kept.to(x.dtype).div_(1 - self.rate)


@dataclass(frozen=True)
class Pieces:
    """How a batch is cut, and how its random numbers are drawn.

    Attributes:
        rows: pieces; positions before a piece's start are masked in each of its rows.
        scalings: of every piece, over all T positions.
        n_positions: T.
        drawn_together: numbers of consecutive rows whose attention weights are dropped by one draw.
    """

    rows: list[Rows]
    scalings: list[Scaling]
    n_positions: int
    drawn_together: list[int]

    @property
    def n_rows(self) -> int:
        """B."""
        return sum(self.drawn_together)

    def starts(self) -> list[tuple[Rows, Scaling, slice, slice]]:
        """Of every piece the positions that are padding, and the others."""
        pairs = zip(self.rows, self.scalings, strict=True)
        return [(each, s, slice(0, each.start), slice(each.start, None)) for each, s in pairs]

    def places(self) -> tuple[Tensor, Tensor]:
        """Numbers row · T + position of the tokens behind the padding, and of the padding; piece by piece."""
        T, device = self.n_positions, self.rows[0].index.device
        position_T = torch.arange(T, device=device)
        place = [each.index[:, None] * T + position_T for each in self.rows]
        return (
            torch.cat([p[:, each.start :].flatten() for p, each in zip(place, self.rows, strict=True)]),
            torch.cat([p[:, : each.start].flatten() for p, each in zip(place, self.rows, strict=True)]),
        )


def layers_with_dropout(
    layers: Sequence[LayerParameters],
    tokens_at: Callable[[Tensor], Tensor],
    pieces: Pieces,
    sizes: PieceSizes,
) -> Tensor:
    """All layers of order attention, [B, E] of the last position.

    Args:
        layers: each with a mixture of experts.
        tokens_at: tokens at places row · T + position, [n] → [n, E].
        pieces: of the batch.
        sizes: of the parts a mixture works on.
    """
    *body, last = layers
    places = pieces.places()
    real_nE = tokens_at(places[0])
    with torch.no_grad():
        padded_mE = tokens_at(places[1]) if body else None
    for layer in body:
        assert padded_mE is not None
        keep = layer is not body[-1]
        real_nE, padded_mE = _layer(layer, real_nE, padded_mE, places, pieces, sizes, keep)
    return _last_layer(last, real_nE, pieces, sizes)


def _layer(
    layer: LayerParameters,
    real_nE: Tensor,
    padded_mE: Tensor,
    places: tuple[Tensor, Tensor],
    pieces: Pieces,
    sizes: PieceSizes,
    keep: bool,
) -> tuple[Tensor, Tensor | None]:
    """One layer; without `keep` nothing reads the padding any more."""
    mixture = cast(MixtureParameters, layer.feedforward)
    B, T = pieces.n_rows, pieces.n_positions
    attended = _attend(layer.multi_attn, real_nE, padded_mE, pieces)
    shape, device = (B * T, real_nE.shape[1]), real_nE.device
    of_attended = _Draws.of(layer.dropout1.p, layer.dropout1.training, shape, device)

    def add(x_nE: Tensor, y_nE: Tensor, draws: _Draws, place_n: Tensor, norm: nn.LayerNorm) -> Tensor:
        return norm(x_nE + draws.drop(y_nE, draws.at(place_n)))

    real_nE = add(real_nE, attended[0], of_attended, places[0], layer.layer_norm1)
    gates_Xn = experts.gates(mixture, real_nE)
    with torch.no_grad():
        padded_mE = add(padded_mE, attended[1], of_attended, places[1], layer.layer_norm1)
        gates_Xm = experts.gates(mixture, padded_mE)
    gates_XN = torch.cat([gates_Xn, gates_Xm], dim=1).index_select(1, torch.argsort(torch.cat(places)))
    choice = experts.choose(mixture, gates_XN.unflatten(1, (B, T)), T)
    of_mixed = _Draws.of(layer.dropout2.p, layer.dropout2.training, shape, device)

    def mix(x_nE: Tensor, place_n: Tensor) -> Tensor:
        y_nE = torch.cat(list(experts.run(mixture, x_nE, choice.of_tokens(place_n), sizes)))
        return add(x_nE, y_nE, of_mixed, place_n, layer.layer_norm2)

    real_nE = mix(real_nE, places[0])
    if not keep:
        return real_nE, None
    with torch.no_grad():
        return real_nE, mix(padded_mE, places[1])


def _attend(
    block: AttentionParameters, real_nE: Tensor, padded_mE: Tensor, pieces: Pieces
) -> tuple[Tensor, Tensor]:
    """What all tokens read of those behind the padding, [n, E] and [m, E], the latter without gradients."""
    H, T, E = block.num_heads, pieces.n_positions, real_nE.shape[1]
    draws = _Draws.cat(
        [
            _Draws.of(block.dropout, block.training, (b, H, T, T), real_nE.device)
            for b in pieces.drawn_together
        ]
    )
    qkv_n3E = functional.linear(real_nE, block.in_proj_weight, block.in_proj_bias)
    with torch.no_grad():
        q_mE = functional.linear(padded_mE, block.in_proj_weight[:E], block.in_proj_bias[:E])
    widths = [(len(each.index), T - each.start) for each in pieces.rows]
    of_real = qkv_n3E.split([b * width for b, width in widths])
    of_padded = q_mE.split([b * (T - width) for b, width in widths])
    real_y, padded_y = [], []
    for (rows, scaling, padding, rest), (b, width), qkv, q_padded in zip(
        pieces.starts(), widths, of_real, of_padded, strict=True
    ):
        q, k, v = (_of_heads(y, b, H, width) for y in qkv.chunk(3, dim=-1))
        kept = draws.at(rows.index)

        def read(
            q: Tensor,
            queries: slice,
            k: Tensor = k,
            v: Tensor = v,
            kept: Tensor | None = kept,
            scaling: Scaling = scaling,
            rest: slice = rest,
        ) -> Tensor:
            weights = scaling.between(queries, rest).weights((q * q.shape[3] ** -0.5) @ k.transpose(-2, -1))
            weights = draws.drop(weights, None if kept is None else kept[:, :, queries, rest])
            return (weights @ v).transpose(1, 2).flatten(2).flatten(0, 1)

        real_y.append(read(q, rest))
        with torch.no_grad():
            padded_y.append(read(_of_heads(q_padded, b, H, T - width), padding))
    with torch.no_grad():
        y_mE = block.out_proj(torch.cat(padded_y))
    return block.out_proj(torch.cat(real_y)), y_mE


def _last_layer(layer: LayerParameters, real_nE: Tensor, pieces: Pieces, sizes: PieceSizes) -> Tensor:
    block, dropout = layer.multi_attn, layer.dropout1
    T, E, device = pieces.n_positions, real_nE.shape[1], real_nE.device
    drawn = [
        (
            _Draws.of(block.dropout, block.training, (b, block.num_heads, T), device),
            _Draws.of(dropout.p, dropout.training, (b, E), device),
        )
        for b in pieces.drawn_together
    ]
    of_weights, of_attended = (_Draws.cat(parts) for parts in zip(*drawn, strict=True))
    tokens = real_nE.split([len(each.index) * (T - each.start) for each in pieces.rows])
    last, read = [], []
    for (rows, scaling, _, rest), x_nE in zip(pieces.starts(), tokens, strict=True):
        x_bwE, kept = x_nE.unflatten(0, (len(rows.index), T - rows.start)), of_weights.at(rows.index)
        scaling = scaling.between(slice(-1, None), rest)
        weights_bHw = scaling.weights(last_logits(block, x_bwE, scaling))
        weights_bHw = of_weights.drop(weights_bHw, None if kept is None else kept[:, :, rest])
        read.append(last_output(block, weights_bHw, x_bwE))
        last.append(x_bwE[:, -1])
    back = torch.argsort(torch.cat([each.index for each in pieces.rows]))
    y_BE = torch.cat(read).index_select(0, back)
    x_BE = torch.cat(last).index_select(0, back) + of_attended.drop(y_BE, of_attended.kept)
    x_BE = layer.layer_norm1(x_BE)
    y_BE = feedforward_last(layer.feedforward, x_BE, T, sizes)
    return layer.layer_norm2(x_BE + layer.dropout2(y_BE))


def _of_heads(x_nE: Tensor, rows: int, H: int, width: int) -> Tensor:
    """[rows · width, E] → [rows, H, width, E / H]."""
    return x_nE.reshape(rows, width, H, x_nE.shape[1] // H).transpose(1, 2)
