"""What a row gives where rounding may send its tokens to other experts, or turn its card gate.

A float32 computation may take the third expert for the second where both score nearly alike, or find a card
gate on the other side of its threshold. Neither is wrong, and the result may differ by more than rounding. It
is then the result of the *other* routing: the network computed with exactly these decisions exchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from tsa_model.batch import Batch, histories
from tsa_model.equivalence.evidence.ties import CARD_GATE, ROUTED, gate_weights
from tsa_model.export.truth import Outputs, outputs_of, plain
from tsa_model.network.blocks import MixtureOfExperts
from tsa_model.network.networks import Network

MOST_ROUTINGS = 32
"""Routings of a row that are computed, nearest ties first; a row that none of them explains has failed."""
TIE_FACTOR = 8.0
"""A decision can turn when its margin is below this multiple of the float32 network's own error in it ..."""
TIE_FLOOR_ULP = 64.0
"""... or below this many units in the last place of the products summed for it: a token is itself rounded by
the layers before, and ONNX Runtime sums in another order."""
NUDGED = 2
"""Further float32 networks that are asked how far rounding takes a row."""
EPS = torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class Exchange:
    """One decision taken the other way: the third expert for the second, or the card gate turned."""

    decision: str
    """The mixture's name, `again` behind it for the gate's second history; or the card gate."""
    token: int = 0

    def __str__(self) -> str:
        return self.decision if self.decision == CARD_GATE else f"{self.decision} at token {self.token}"


Exchanges = frozenset[Exchange]


@dataclass(frozen=True)
class RoutedResult:
    """What the plain network gives under some exchanged decisions."""

    exchanges: Exchanges
    outputs: Outputs
    own_error: dict[str, float]
    """Output → largest error of float32 networks that take the same decisions."""


class OtherRoutings:
    """Searches the routings of single rows that rounding may bring about.

    Args:
        exact: the plain network in float64.
        seed: of the nudged weights.
    """

    def __init__(self, exact: Network, seed: int) -> None:
        self._exact = exact
        self._seed = seed

    @cached_property
    def _rounded(self) -> list[Network]:
        """The plain network in float32, and again with every weight nudged by about a rounding error."""
        generator = torch.Generator().manual_seed(self._seed)
        networks = [plain(self._exact, torch.float32) for _ in range(1 + NUDGED)]
        with torch.no_grad():
            for network in networks[1:]:
                for weight in network.parameters():
                    weight.mul_(1 + EPS * (2 * torch.rand(weight.shape, generator=generator) - 1))
        return networks

    def __call__(self, row: Batch) -> Iterator[RoutedResult]:
        """Routings of one row: the reference's own first, then those with one exchange, two, and so on."""
        waiting, seen = [Exchanges()], {Exchanges()}
        done = 0
        while waiting and done < MOST_ROUTINGS:
            exchanges = waiting.pop(0)
            done += 1
            exact = _run(self._exact, row, exchanges, {})
            taken = {name: decision.pair_G2 for name, decision in exact.decisions.items()}
            rounded = [_run(network, row, exchanges, taken) for network in self._rounded]
            own = {
                name: max(float(abs(x - run.outputs[name]).max(initial=0.0)) for run in rounded)
                for name, x in exact.outputs.items()
            }
            yield RoutedResult(exchanges, exact.outputs, own)
            for exchange in self._near_ties(row, exact, rounded[0]):
                more = exchanges | {exchange}
                if exchange not in exchanges and more not in seen:
                    seen.add(more)
                    waiting.append(more)

    def _near_ties(self, row: Batch, exact: _Run, rounded: _Run) -> list[Exchange]:
        """Decisions that rounding can turn, the nearest first."""
        found: list[tuple[float, Exchange]] = []
        for name, decision in exact.decisions.items():
            error_G = torch.zeros_like(decision.scale_G)
            if name in rounded.decisions:
                error_G = (rounded.decisions[name].score_GX.double() - decision.score_GX).abs().amax(-1)
            resolution_G = torch.maximum(TIE_FACTOR * error_G, TIE_FLOOR_ULP * EPS * decision.scale_G)
            margin_G = _margins(name, decision.score_GX, self._exact) / resolution_G.clamp(min=1e-300)
            margin_G[~_matters(name, len(margin_G), row, self._exact)] = torch.inf
            near = torch.where(margin_G <= 1)[0].tolist()
            found += [(float(margin_G[token]), Exchange(name, token)) for token in near]
        found.sort(key=lambda pair: pair[0])
        return [exchange for _, exchange in found]


@dataclass(frozen=True)
class _Decision:
    """What one mixture decided for the tokens of a row, or the card gate for the row."""

    score_GX: Tensor
    scale_G: Tensor
    """Size of the products that were summed for the scores."""
    pair_G2: Tensor
    """The experts taken; of the card gate, whether it is open."""


@dataclass(frozen=True)
class _Run:
    outputs: Outputs
    decisions: dict[str, _Decision]


@torch.no_grad()
def _run(network: Network, row: Batch, exchanges: Exchanges, taken: Mapping[str, Tensor]) -> _Run:
    """One row through a plain network.

    Args:
        network: in the precision it computes in.
        row: a batch of one.
        exchanges: decisions to take the other way.
        taken: decision → what an exact run decided, in which this one follows it.
    """
    seen: dict[str, _Decision] = {}
    handles = [
        module.register_forward_hook(partial(_decided, name, seen, exchanges, taken))
        for name, module in network.named_modules()
        if isinstance(module, ROUTED)
    ]
    try:
        outputs = outputs_of(network, row)
    finally:
        for handle in handles:
            handle.remove()
    if "gate_scores" not in outputs:
        return _Run(outputs, seen)
    gate = float(outputs["gate_scores"][0, 1])
    threshold = network.config.gate_threshold
    is_open, card = gate > threshold, Exchange(CARD_GATE)
    wanted = bool(taken[CARD_GATE]) if CARD_GATE in taken else is_open != (card in exchanges)
    if wanted != is_open:
        turned = network.twin("reference", gate_threshold=gate - 1.0 if wanted else gate + 1.0)
        return _with_gate(_run(turned, row, exchanges - {card}, _without_gate(taken)), gate, wanted)
    return _with_gate(_Run(outputs, seen), gate, is_open)


def _without_gate(taken: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: pair for name, pair in taken.items() if name != CARD_GATE}


def _with_gate(run: _Run, gate: float, is_open: bool) -> _Run:
    score = torch.tensor([[gate]], dtype=torch.float64)
    decision = _Decision(score, torch.ones(1, dtype=torch.float64), torch.tensor(is_open))
    return _Run(run.outputs, {**run.decisions, CARD_GATE: decision})


def _decided(
    name: str,
    seen: dict[str, _Decision],
    exchanges: Exchanges,
    taken: Mapping[str, Tensor],
    block: Any,
    args: tuple[Tensor, ...],
    output: Tensor,
) -> Tensor:
    """The block's output, with other experts where they are asked for."""
    x_GND = args[0]
    if x_GND.shape[1] == 0:  # the card's order attention of a row whose card gate is closed
        return output
    while name in seen:  # the gate's module runs once per history
        name += " again"
    x_GD, weights = x_GND[:, 0], gate_weights(block)
    score_GX = x_GD @ weights
    own_G2 = _pairs(block, score_GX)
    pair_G2 = taken[name] if name in taken else own_G2.clone()
    for each in exchanges:
        if each.decision == name and name not in taken:
            others_X = score_GX[each.token].index_fill(0, own_G2[each.token], -torch.inf)
            pair_G2[each.token, 1] = others_X.argmax()
    seen[name] = _Decision(score_GX, (x_GD.abs() @ weights.abs()).amax(-1), pair_G2)
    (other,) = torch.where((own_G2.sort(-1).values != pair_G2.sort(-1).values).any(-1))
    if len(other):
        output = output.clone()
    for token in other.tolist():
        output[token, 0] = _mixed(block, x_GD[token], score_GX[token], pair_G2[token])
    return output


def _pairs(block: Any, score_GX: Tensor) -> Tensor:
    """The experts that a block takes, [G, 2], ties included: it compares gates, not scores."""
    if not isinstance(block, MixtureOfExperts):
        return score_GX.topk(2, dim=-1).indices
    gates_GX = torch.softmax(score_GX, dim=-1)
    first_G1 = gates_GX.argmax(-1, keepdim=True)
    second_G1 = gates_GX.scatter(-1, first_G1, 0.0).argmax(-1, keepdim=True)
    return torch.cat([first_G1, second_G1], dim=-1)


def _mixed(block: Any, x_D: Tensor, score_X: Tensor, pair_2: Tensor) -> Tensor:
    """A token's mixture of two given experts."""
    if isinstance(block, MixtureOfExperts):
        gate_2 = torch.softmax(score_X, dim=-1)[pair_2]
        share_2 = gate_2 / (gate_2.sum() + 1e-9)
        w1, w2 = block.experts.w1, block.experts.w2
        results = [torch.relu(x_D @ w1[expert]) @ w2[expert] for expert in pair_2.tolist()]
    else:
        share_2 = torch.softmax(score_X[pair_2], dim=-1)
        results = [block.experts[expert](x_D) for expert in pair_2.tolist()]
    return share_2[0] * results[0] + share_2[1] * results[1]


def _margins(name: str, score_GX: Tensor, network: Network) -> Tensor:
    if name == CARD_GATE:
        # Without a card history the gate is 0 by rule, and no rounding turns it.
        margin_G = (score_GX[:, 0] - network.config.gate_threshold).abs()
        return margin_G.masked_fill(score_GX[:, 0] == 0, torch.inf)
    if score_GX.shape[-1] < 3:  # two experts: both are always taken
        return torch.full_like(score_GX[:, 0], torch.inf)
    best = score_GX.topk(3, dim=-1).values
    return best[:, 1] - best[:, 2]


def _matters(name: str, n_tokens: int, row: Batch, network: Network) -> Tensor:
    """[G]: False where a token's routing cannot reach the output."""
    if name == CARD_GATE:
        return torch.ones(n_tokens, dtype=torch.bool)
    matters = torch.ones(n_tokens, dtype=torch.bool)
    if not name.startswith("feature_attention"):
        found = histories(row, network.config.sequences)
        of_card = name.startswith("order_attention_ccid") or name.endswith(" again")
        matters = ~(found[-1] if of_card else found[0]).mask[0].clone()
    stack, _, rest = name.rpartition(".feedforward")[0].rpartition(".")
    if int(rest) == len(_module(network, stack)) - 1:  # of the last layer only the read-out token is read
        matters[:-1] = False
    return matters


def _module(network: nn.Module, name: str) -> nn.ModuleList:
    module = network.get_submodule(name)
    assert isinstance(module, nn.ModuleList)
    return module
