"""What a network did with a batch: gate scores, attention weights, expert load."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tsa_model.batch import Batch
from tsa_model.network.trace import Trace

_SHOWN = ("gate_scores_raw", "gate_scores", "attention_weights", "expert_load")


@torch.no_grad()
def inspect_batch(
    batch: Batch, reference: nn.Module, legacy: nn.Module, deterministic: nn.Module
) -> dict[str, Tensor]:
    """Run the plain computation on a batch and return what it saw.

    Args:
        batch: tensors named as in TSA spec, section 1.
        reference: the plain computation, in the mode (training or evaluation) to look into.
        legacy: the same weights in the legacy's evaluation, where rows queue for experts.
        deterministic: the same weights in the evaluation without queues.

    Returns:
        `logits` and `ensemble`; for the dual network `gate_scores_raw` and `gate_scores` [B, 2] (columns cid,
        ccid); per layer `<layer>.attention_weights` [B, H, T, T]; per mixture `<mixture>.expert_load` [2, X]
        (tokens an expert accepted as first and as second choice) and `<mixture>.routing_changed`, the share
        of tokens whose experts differ between the legacy's evaluation and the deterministic one.
    """
    trace = Trace()
    logits, ensemble = reference(batch, trace=trace)
    details = {"logits": logits, "ensemble": ensemble}
    details |= {name: value for name, value in trace.tensors.items() if name.rsplit(".", 1)[-1] in _SHOWN}
    legacy_routings, routings = _routings(legacy, batch), _routings(deterministic, batch)
    for name, routing_2GNX in legacy_routings.items():
        if routing_2GNX.shape != routings[name].shape:
            continue  # the rows with a card history differ already, so there is no token to compare
        changed_GN = (routing_2GNX != routings[name]).any(dim=-1).any(dim=0)
        details[name.removesuffix("routing") + "routing_changed"] = changed_GN.double().mean()
    return details


def _routings(network: nn.Module, batch: Batch) -> dict[str, Tensor]:
    trace = Trace()
    network(batch, trace=trace)
    return {name: value for name, value in trace.tensors.items() if name.endswith(".routing")}
