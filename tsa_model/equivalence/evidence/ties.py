"""Decisions that rounding can turn: second expert against third, card gate against its threshold.

A float32 computation may fall on the other side of such a decision and then differ by much more than
rounding, without being wrong. These rows are found from the float64 reference, by their margins.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tsa_model.batch import Batch, as_dtype, chunks, histories, n_rows
from tsa_model.equivalence import tolerance
from tsa_model.equivalence.evidence.networks import REFERENCE_ROWS, watch
from tsa_model.network.blocks import MixtureOfExperts
from tsa_model.network.forms.experts import NoisyTop2Experts
from tsa_model.network.networks import Network
from tsa_model.network.trace import Trace
from tsa_model.settings.model import ModelConfig

CARD_GATE = "card gate"
ROUTED = (MixtureOfExperts, NoisyTop2Experts)
"""Mixtures that choose experts; the dense one takes them all."""


def gate_weights(block: Any) -> Tensor:
    """The weights that turn a token into its experts' scores, [D, X]."""
    return block.w_gate if isinstance(block, NoisyTop2Experts) else block.gate.w_gating


Decisions = dict[str, tuple[Tensor, Tensor]]
"""Name → scores [B, G, X] that decide, and bool [B, G]: the decisions that can reach a row's output."""


def decision_margins(truth: Decisions, rounded: Decisions, config: ModelConfig, n: int) -> Tensor:
    """Smallest margin of any decision of a row, in units of float32's rounding error, float64 [B].

    At most 1: rounding can turn the decision. Infinite: the row takes no decision.

    Args:
        truth: the float64 reference's decisions, which give the margins.
        rounded: the float32 reference's, which give the error, row by row.
        config: of the network.
        n: rows.
    """
    smallest_B = torch.full((n,), torch.inf, dtype=torch.float64)
    for name, (score_BGX, counts_BG) in truth.items():
        error_BGX = (rounded[name][0].double() - score_BGX).abs()
        both_BG = counts_BG & rounded[name][1]
        error_B = error_BGX.amax(-1).masked_fill(~both_BG, 0.0).amax(-1)
        scale_B = score_BGX.abs().amax(-1).masked_fill(~both_BG, 0.0).amax(-1)
        floor_B = tolerance.TIE_FLOOR_ULP * tolerance.unit(torch.float32) * scale_B
        resolution_B = torch.maximum(tolerance.TIE_FACTOR * error_B, floor_B).clamp(min=1e-300)
        margin_B = _margins(name, score_BGX, config).masked_fill(~both_BG, torch.inf).amin(-1) / resolution_B
        changed_B = (counts_BG != rounded[name][1]).any(-1)
        smallest_B = torch.minimum(smallest_B, margin_B.masked_fill(changed_B, 0.0))
    return smallest_B


def _margins(name: str, score_BGX: Tensor, config: ModelConfig) -> Tensor:
    """How far each decision is from turning, [B, G]."""
    if name == CARD_GATE:
        return (score_BGX[..., 1] - config.gate_threshold).abs()
    if score_BGX.shape[-1] < 3:  # two experts: both are always taken
        return torch.full_like(score_BGX[..., 0], torch.inf)
    best = score_BGX.topk(3, dim=-1).values  # first against second is no tie: both experts are kept
    return best[..., 1] - best[..., 2]


@torch.no_grad()
def observe(network: Network, batch: Batch) -> tuple[dict[str, Tensor], Decisions]:
    """Outputs and decisions of the reference, in one pass, in its own precision."""
    calls = [_observe_call(network, part) for part in chunks(batch, REFERENCE_ROWS)]
    names, decisions = calls[0][0], calls[0][1]
    outputs = {name: torch.cat([call[0][name] for call in calls]) for name in names}
    joined: Decisions = {}
    for name in decisions:
        scores, counts = zip(*(call[1][name] for call in calls), strict=True)
        joined[name] = (torch.cat(scores), torch.cat(counts))
    return outputs, joined


def _observe_call(network: Network, batch: Batch) -> tuple[dict[str, Tensor], Decisions]:
    batch = as_dtype(batch, next(network.parameters()).dtype)
    seen: dict[str, Tensor] = {}

    def keep(name: str, args: tuple, kwargs: dict[str, Any], output: object) -> None:
        weights = gate_weights(mixtures[name])
        while name in seen:  # the gate's module runs once per history
            name += " again"
        seen[name] = (args[0] @ weights).transpose(0, 1)  # [B, G, X]

    mixtures: dict[str, Any] = {n: m for n, m in network.named_modules() if isinstance(m, ROUTED)}
    trace = Trace()
    with watch(mixtures, keep):
        logits, ensemble = network(batch, trace=trace)
    outputs = {"logits": logits, "ensemble": ensemble}
    return outputs, _reaching(network, batch, trace, seen)


def _reaching(network: Network, batch: Batch, trace: Trace, seen: dict[str, Tensor]) -> Decisions:
    """Which of the decisions count: not those about padding, nor about a card's history that is skipped."""
    B = n_rows(batch)
    masks = [~history.mask for history in histories(batch, network.config.sequences)]
    found: Decisions = {}
    with_card = torch.arange(B)
    if "gate_scores" in trace.tensors:
        gate_B2 = trace.tensors["gate_scores"]
        found[CARD_GATE] = (gate_B2[:, None], torch.ones(B, 1, dtype=torch.bool))
        (with_card,) = torch.where(gate_B2[:, 1] > network.config.gate_threshold)
    for name, score_BGX in seen.items():
        counts = torch.ones(score_BGX.shape[:2], dtype=torch.bool)
        if name.startswith("order_attention_ccid."):
            counts = torch.zeros(B, score_BGX.shape[1], dtype=torch.bool)
            counts[with_card] = masks[1][with_card]
            score_BGX = torch.zeros(B, *score_BGX.shape[1:], dtype=score_BGX.dtype).index_copy(
                0, with_card, score_BGX
            )
        elif name.startswith(("order_attention", "gate_emb")):
            counts = masks[1 if name.endswith(" again") else 0]
        found[name] = (score_BGX, counts)
    return found


def tied_tokens(block: MixtureOfExperts, x_GND: Tensor, dtype: torch.dtype) -> Tensor:
    """Tokens, bool [G, N], whose second and third expert are closer than this dtype resolves."""
    score_GNX = x_GND @ block.gate.w_gating
    if score_GNX.shape[-1] < 3:
        return torch.zeros(score_GNX.shape[:2], dtype=torch.bool)
    best = score_GNX.topk(3, dim=-1).values
    # Sizes of the products, not of the scores: terms that cancel in a sum have rounded before.
    scale_GN = (x_GND.abs() @ block.gate.w_gating.abs()).amax(-1)
    return best[..., 1] - best[..., 2] <= tolerance.TIE_FLOOR_ULP * tolerance.unit(dtype) * scale_GN


def other_choice(block: MixtureOfExperts, x_nD: Tensor) -> Tensor:
    """Output of the mixture with the third expert in place of the second, without capacity, [n, D]."""
    gates_nX = torch.softmax(x_nD @ block.gate.w_gating, dim=-1)
    gate_n3, expert_n3 = gates_nX.topk(3, dim=-1)
    pair = [0, 2]
    share_n2 = gate_n3[:, pair] / (gate_n3[:, pair].sum(-1, keepdim=True) + 1e-9)
    w1, w2 = block.experts.w1, block.experts.w2
    rows = []
    for x_D, share_2, experts in zip(x_nD, share_n2, expert_n3[:, pair].tolist(), strict=True):
        rows.append(sum(g * (torch.relu(x_D @ w1[e]) @ w2[e]) for g, e in zip(share_2, experts, strict=True)))
    return torch.stack(rows)  # type: ignore[arg-type]
