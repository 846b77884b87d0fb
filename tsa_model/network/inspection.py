"""What a network did with a batch: gate scores, attention weights, expert load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tsa_model.network.trace import Trace

if TYPE_CHECKING:
    from tsa_model.network.networks import Network

_SHOWN = ("gate_scores_raw", "gate_scores", "attention_weights", "expert_load")


@torch.no_grad()
def inspect_network(network: Network, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Run the plain computation on a batch and return what it saw.

    Args:
        network: single or dual; its mode (training or evaluation) and weights are used as they are.
        batch: tensors named as in TSA spec, section 1.

    Returns:
        `logits` and `ensemble`; for the dual network `gate_scores_raw` and `gate_scores` [B, 2] (columns cid,
        ccid); per layer `<layer>.attention_weights` [B, H, T, T]; per mixture `<mixture>.expert_load` [2, X]
        (tokens an expert accepted as first and as second choice) and `<mixture>.routing_changed`, the share
        of tokens whose experts differ between the legacy's evaluation and the deterministic one.
    """
    trace = Trace()
    logits, ensemble = network.twin("reference")(batch, trace=trace)
    details = {"logits": logits, "ensemble": ensemble}
    details |= {name: value for name, value in trace.tensors.items() if name.rsplit(".", 1)[-1] in _SHOWN}
    routings = []
    for moe_eval in ("legacy", "deterministic"):
        trace = Trace()
        network.twin("reference", moe_eval=moe_eval).eval()(batch, trace=trace)
        routings.append({k: v for k, v in trace.tensors.items() if k.endswith(".routing")})
    legacy, deterministic = routings
    for name, routing_2GNX in legacy.items():
        if routing_2GNX.shape != deterministic[name].shape:
            continue  # the rows with a card history differ already, so there is no token to compare
        changed_GN = (routing_2GNX != deterministic[name]).any(dim=-1).any(dim=0)
        details[name.removesuffix("routing") + "routing_changed"] = changed_GN.double().mean()
    return details
