"""Leading padding as a few vectors, where the rows of a batch queue for expert slots.

A padded order changes no result by itself, but its token takes part in the routing of its position, so it
cannot be left out there. Without dropout all padded tokens of a row begin as one vector, and a layer tells
them apart only by which of their two experts took them: k layers make at most 4^k of them. A row therefore
carries its distinct padded tokens, its states, and for each leading position the number of its state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from tsa_model.network.fast import experts
from tsa_model.network.fast.attention import Scaling
from tsa_model.network.fast.layers import Tokens, add_attention, add_up
from tsa_model.network.fast.pieces import PieceSizes, Rows
from tsa_model.network.parameters import LayerParameters, MixtureParameters


@dataclass(frozen=True)
class _Leading:
    """The leading positions of some rows: which state each of them has.

    Attributes:
        state: number of the state, int64 [b, start].
        n_states: states of a row; they come before its tokens.
    """

    state: Tensor
    n_states: int

    @classmethod
    def of(cls, rows: Rows) -> _Leading:
        """All of a row's leading positions are one state."""
        state = torch.zeros(len(rows.index), rows.start, dtype=torch.long, device=rows.index.device)
        return cls(state, min(rows.start, 1))

    def spread(self, values_XbS: Tensor) -> Tensor:
        """Values of states and tokens, [X, b, S + T - start], as values of all positions, [X, b, T]."""
        leading = values_XbS[..., : self.n_states].gather(2, self.state.expand(len(values_XbS), -1, -1))
        return torch.cat([leading, values_XbS[..., self.n_states :]], dim=2)

    def routed(self, choice: experts.Choice, keep: bool) -> tuple[_Leading, Tensor, experts.Choice]:
        """Tell states apart by what happened to them.

        Args:
            choice: of all positions, [2, b, T].
            keep: False drops the states; nothing reads them any more.

        Returns:
            The new states, where each of them and of the tokens is found among the former ones,
            int64 [b, S + T - start], and what each of them chose.
        """
        b, start = self.state.shape
        n_positions = choice.kept.shape[2]
        later = torch.arange(start, n_positions, device=self.state.device).expand(b, -1)
        column = later - start + self.n_states
        if not keep or start == 0:
            return _Leading(self.state, 0), column, choice.at(slice(start, None))
        first, second = choice.kept[..., :start].long()
        outcome = 4 * self.state + 2 * first + second
        seen = torch.zeros(b, 4 * self.n_states, dtype=torch.bool, device=outcome.device)
        number = seen.scatter_(1, outcome, True).cumsum(dim=1) - 1
        state = number.gather(1, outcome)
        # One position stands for each state; a row with fewer states than others repeats its first position.
        place = torch.arange(start, device=state.device).expand_as(state)
        stands = torch.zeros_like(state[:, : int(number[:, -1].max()) + 1]).scatter_(1, state, place)
        column = torch.cat([self.state.gather(1, stands), column], dim=1)
        chosen = choice.at(torch.cat([stands, later], dim=1))
        return _Leading(state, stands.shape[1]), column, chosen


def queueing_layers(
    layers: Sequence[LayerParameters],
    tokens: Tokens,
    n_positions: int,
    rows: list[Rows],
    scalings: list[Scaling],
    sizes: PieceSizes,
) -> Tokens:
    """Layers of order attention without dropout, whose mixtures let rows of the batch compete.

    Args:
        layers: each with a mixture of experts.
        tokens: of every piece those from the last leading position on.
        n_positions: T.
        rows: the pieces the batch is cut into; positions before a piece's start hold equal tokens in each of
            its rows, and are never attended to.
        scalings: of every piece, over all T positions.
        sizes: of the parts a mixture works on.

    Returns:
        The tokens from every piece's start on.
    """
    back = torch.argsort(torch.cat([each.index for each in rows]))
    leading = [_Leading.of(each) for each in rows]
    for layer in layers:
        block = cast(MixtureParameters, layer.feedforward)
        of_last = [
            scaling.of_last(width) for scaling, (_, width) in zip(scalings, tokens.shapes, strict=True)
        ]
        x_nE = layer.layer_norm1(add_attention(layer, tokens, of_last))
        gates = experts.gates(block, x_nE).split([b * width for b, width in tokens.shapes], dim=1)
        gates_XBT = torch.cat(
            [
                each.spread(gates_Xn.view(len(gates_Xn), *shape))
                for each, gates_Xn, shape in zip(leading, gates, tokens.shapes, strict=True)
            ],
            dim=1,
        )
        choice = experts.choose(block, gates_XBT.index_select(1, back), n_positions)
        start, found, chosen = 0, [], []
        for i, (each, (b, width)) in enumerate(zip(rows, tokens.shapes, strict=True)):
            leading[i], column, choice_of_piece = leading[i].routed(
                choice.of_rows(each.index), keep=layer is not layers[-1]
            )
            row = torch.arange(start, start + b * width, width, device=column.device)
            found.append(row[:, None] + column)
            chosen.append(choice_of_piece)
            start += b * width
        x_nE = x_nE.index_select(0, torch.cat([index.flatten() for index in found]))
        choice = experts.Choice.cat(chosen)
        if torch.is_grad_enabled():
            (x_nE,) = experts.run(block, x_nE, choice, sizes, x_nE)
        else:
            x_nE = add_up(x_nE, layer.dropout2, experts.run(block, x_nE, choice, sizes))
        x_nE = layer.layer_norm2(x_nE)
        tokens = Tokens(x_nE, tuple((index.shape[0], index.shape[1]) for index in found))
    return tokens
