"""What the reference computes for some orders in float64, and which float32 scores that allows."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor

from tsa_model.batch import Batch, as_dtype, histories, n_rows, rows_of
from tsa_model.equivalence.evidence.networks import REFERENCE_ROWS, outputs
from tsa_model.equivalence.evidence.ties import other_choice
from tsa_model.export.parity import ABSOLUTE, FRAGILE_MARGIN, RELATIVE, SCORE_TOLERANCE
from tsa_model.network.blocks import MixtureOfExperts
from tsa_model.network.checkpoint import load_model, read_description
from tsa_model.network.networks import Network
from tsa_model.network.trace import Trace

ULPS = 4.0
"""Rounding of a score itself, in units in its last place: softmax is a few float32 operations."""
MOST_TURNED = 4
"""Decisions of one order that are turned in every combination; of more, each alone and all together."""


class Allowed(NamedTuple):
    """The scores that a float32 computation may give, [B] each."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def holds(self, score: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which of [B] scores lie inside; NaN does not."""
        return (score >= self.low) & (score <= self.high)


def reference_of(weights_dir: Path, weights_sha256: str) -> Network:
    """The reference in float64 over trained weights, as it evaluates deterministically.

    Raises:
        ValueError: the weights are not those with this digest.
    """
    found = read_description(weights_dir).weights_sha256
    if found != weights_sha256:
        raise ValueError(
            f"{weights_dir} holds the weights {found}, the exported model was made from {weights_sha256}: "
            "export the model again"
        )
    network = load_model(weights_dir, "reference").twin("reference", moe_eval="deterministic")
    return network.double().eval()


def logits_of(reference: Network, batch: Batch) -> NDArray[np.float64]:
    """The reference's logits [B, 2], in float64."""
    return outputs(reference, batch, REFERENCE_ROWS)["logits"].numpy()


def allowed_scores(logits: NDArray[Any]) -> Allowed:
    """Scores whose logits are within the tolerance of the export's parity check.

    The same error of the logits moves a score near 0 or 1 far less than one near 1/2, so the score's own
    tolerance alone would let any score below it be rounded to 0.

    Args:
        logits: [B, 2], the truth.
    """
    logits = logits.astype(np.float64)
    distance = logits[:, 1] - logits[:, 0]
    error = (ABSOLUTE + RELATIVE * np.abs(logits)).sum(axis=1)
    score = expit(distance)
    rounding = ULPS * float(np.finfo(np.float32).eps) * score
    return Allowed(
        np.maximum(expit(distance - error), score - SCORE_TOLERANCE) - rounding,
        np.minimum(expit(distance + error), score + SCORE_TOLERANCE) + rounding,
    )


@torch.no_grad()
def other_routings(reference: Network, batch: Batch) -> Iterator[NDArray[np.float64]]:
    """Logits [1, 2] of one order where decisions that rounding can turn are turned.

    A decision is one between the second and the third expert of a token, or whether the card's history
    counts. Only those closer than `FRAGILE_MARGIN` are turned.

    Args:
        reference: in float64.
        batch: one order.
    """
    assert n_rows(batch) == 1
    batch = as_dtype(batch, torch.float64)
    for network in _by_card_gate(reference, batch):
        close = _close_decisions(network, batch)
        if network is not reference:
            yield network(batch)[0].numpy()
        if len(close) <= MOST_TURNED:
            turned = [c for k in range(1, len(close) + 1) for c in itertools.combinations(close, k)]
        else:
            turned = [*((one,) for one in close), tuple(close)]
        for decisions in turned:
            yield _with_turned(network, batch, decisions).numpy()


def _by_card_gate(reference: Network, batch: Batch) -> Iterator[Network]:
    """The reference, and one whose threshold lies on the other side of the card gate if that is close."""
    yield reference
    trace = Trace()
    reference(batch, trace=trace)
    if "gate_scores" in trace.tensors:
        gate, threshold = float(trace.tensors["gate_scores"][0, 1]), reference.config.gate_threshold
        if abs(gate - threshold) < FRAGILE_MARGIN:
            moved = gate + FRAGILE_MARGIN if gate > threshold else gate - FRAGILE_MARGIN
            yield reference.twin("reference", gate_threshold=max(0.0, moved))


Decision = tuple[str, int]
"""A mixture's name and the place of a token in the sequence."""


def _close_decisions(network: Network, batch: Batch) -> list[Decision]:
    close: list[Decision] = []

    def look(name: str, module: MixtureOfExperts, args: tuple[Tensor, ...]) -> None:
        if args[0].shape[1] == 0 or module.num_experts < 3:  # no card history; or both experts are taken
            return
        gates_GX = torch.softmax(args[0][:, 0] @ module.gate.w_gating, dim=-1)
        best = gates_GX.topk(3, dim=-1).values
        found = torch.nonzero(best[:, 1] - best[:, 2] < FRAGILE_MARGIN)[:, 0].tolist()
        close.extend((name, place) for place in found if _counts(name, batch, place))

    handles = [
        module.register_forward_pre_hook(partial(look, name)) for name, module in _mixtures(network).items()
    ]
    try:
        network(batch)
    finally:
        for handle in handles:
            handle.remove()
    return close


def _counts(name: str, batch: Batch, place: int) -> bool:
    """Whether a token is no padding."""
    if not name.startswith("order_attention"):
        return True
    dual = "order_attention_cid" in name or "order_attention_ccid" in name
    found = histories(batch, "dual" if dual else "single")
    return not bool(found[1 if "order_attention_ccid" in name else 0].mask[0, place])


def _with_turned(network: Network, batch: Batch, decisions: tuple[Decision, ...]) -> Tensor:
    """The logits where these tokens take their third expert in place of the second."""

    def turn(places: list[int], module: MixtureOfExperts, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        output = output.clone()
        output[places, 0] = other_choice(module, args[0][places, 0])
        return output

    mixtures, places = _mixtures(network), defaultdict(list)
    for name, place in decisions:
        places[name].append(place)
    handles = [mixtures[name].register_forward_hook(partial(turn, found)) for name, found in places.items()]
    try:
        return network(batch)[0]
    finally:
        for handle in handles:
            handle.remove()


def _mixtures(network: Network) -> dict[str, MixtureOfExperts]:
    return {name: module for name, module in network.named_modules() if isinstance(module, MixtureOfExperts)}


def turned_scores(
    reference: Network, batch: Batch, score: NDArray[np.float32], wrong: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which of the wrong scores another routing gives, [B]: rounding may decide as it likes there."""
    explained = np.zeros(len(score), bool)
    for place in np.flatnonzero(wrong).tolist():
        row = rows_of(batch, slice(place, place + 1))
        found = (allowed_scores(logits) for logits in other_routings(reference, row))
        explained[place] = any(bool(one.holds(score[place : place + 1])[0]) for one in found)
    return explained
