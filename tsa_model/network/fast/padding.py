"""Leading padding as a few vectors, where the rows of a batch queue for expert slots.

A padded order changes no result by itself, but its token takes part in the routing of its position, so it
cannot be left out there. In evaluation all padded tokens of a row begin as one vector, and a layer tells them
apart only by which of their two experts took them: k layers make at most 4^k of them. A row therefore
carries its distinct padded tokens, its states, and for each leading position the number of its state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from tsa_model.network import blocks
from tsa_model.network.fast import experts
from tsa_model.network.fast.attention import Scaling, attention_over
from tsa_model.network.fast.layers import add_residual
from tsa_model.network.fast.pieces import Rows


@dataclass(frozen=True)
class _Piece:
    """Some rows of the batch.

    Attributes:
        x: states, then the tokens of all later positions, [b, S + T - start, E].
        state: number of the state of each leading position, int64 [b, start].
    """

    x: Tensor
    state: Tensor

    @classmethod
    def of(cls, x: Tensor, rows: Rows) -> _Piece:
        return cls(x, torch.zeros(len(x), rows.start, dtype=torch.long, device=x.device))

    def n_states(self, n_positions: int) -> int:
        """How many states come before the tokens."""
        return self.x.shape[1] - (n_positions - self.state.shape[1])

    def spread(self, values_XbS: Tensor, n_positions: int) -> Tensor:
        """Values of states and tokens, [X, b, S + T - start], as values of all positions, [X, b, T]."""
        n_states = self.n_states(n_positions)
        leading = values_XbS[..., :n_states].gather(2, self.state.expand(len(values_XbS), -1, -1))
        return torch.cat([leading, values_XbS[..., n_states:]], dim=2)

    def routed(self, choice: experts.Choice, keep_states: bool) -> tuple[_Piece, experts.Choice]:
        """Tell states apart by what happened to them.

        Args:
            choice: of all positions, [2, b, T].
            keep_states: False drops them; nothing reads them any more.

        Returns:
            The piece with its new states, not yet through the experts, and what each of its vectors chose.
        """
        start, n_positions = self.state.shape[1], choice.kept.shape[2]
        n_states = self.n_states(n_positions)
        tokens = self.x[:, n_states:]
        if not keep_states or start == 0:
            return _Piece(tokens, self.state), choice.at(slice(start, None))
        first, second = choice.kept[..., :start].long()
        outcome = 4 * self.state + 2 * first + second
        seen = torch.zeros(len(outcome), 4 * n_states, dtype=torch.bool, device=outcome.device)
        number = seen.scatter_(1, outcome, True).cumsum(dim=1) - 1
        state = number.gather(1, outcome)
        # One position stands for each state; a row with fewer states than others repeats its first position.
        place = torch.arange(start, device=state.device).expand_as(state)
        stands = torch.zeros_like(state[:, : int(number[:, -1].max()) + 1]).scatter_(1, state, place)
        before = self.state.gather(1, stands)
        states = self.x.gather(1, before[..., None].expand(-1, -1, self.x.shape[2]))
        later = torch.arange(start, n_positions, device=state.device).expand(len(state), -1)
        chosen = choice.at(torch.cat([stands, later], dim=1))
        return _Piece(torch.cat([states, tokens], dim=1), state), chosen


def queueing_layers(
    layers: Sequence[blocks.AttentionLayer],
    tokens: Iterable[Tensor],
    n_positions: int,
    rows: list[Rows],
    scalings: list[Scaling],
) -> list[Tensor]:
    """Layers of order attention in evaluation, whose mixtures let rows of the batch compete.

    Args:
        layers: each with a mixture of experts.
        tokens: of every piece, [b, T - start + min(start, 1), E]: from the last leading position on.
        n_positions: T.
        rows: the pieces the batch is cut into; positions before a piece's start hold equal tokens in each of
            its rows, and are never attended to.
        scalings: of every piece, over all T positions.

    Returns:
        A piece's tokens from its start on, [b, T - start, E].
    """
    back = torch.argsort(torch.cat([each.index for each in rows]))
    pieces = [_Piece.of(x, each) for x, each in zip(tokens, rows, strict=True)]
    for layer in layers:
        block = cast(blocks.MixtureOfExperts, layer.feedforward)
        attend = attention_over(
            layer.multi_attn, sum(piece.x.shape[0] * piece.x.shape[1] for piece in pieces)
        )
        gates = []
        for i, (piece, scaling) in enumerate(zip(pieces, scalings, strict=True)):
            x = piece.x
            x = layer.layer_norm1(add_residual(attend(x, scaling.of_last(x.shape[1])), x))
            pieces[i] = piece = _Piece(x, piece.state)
            gates.append(piece.spread(experts.gates(block, x), n_positions))
        choice = experts.choose(block, torch.cat(gates, dim=1).index_select(1, back), n_positions)
        for i, (piece, each) in enumerate(zip(pieces, rows, strict=True)):
            piece, chosen = piece.routed(choice.of_rows(each.index), keep_states=layer is not layers[-1])
            mixed = experts.run(block, piece.x, chosen)
            pieces[i] = _Piece(layer.layer_norm2(add_residual(mixed, piece.x)), piece.state)
    return [piece.x[:, piece.n_states(n_positions) :] for piece in pieces]
