"""Probe weights: every parameter random and non-zero, so that no fault can hide.

Trained weights can hide one: a bias that is still zero, a card gate that never opens, an unused expert.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from tsa_model.equivalence.evidence.probe_trees import random_trees
from tsa_model.network.networks import Network
from tsa_model.network.trees import BoostedTrees

GATE_SPREAD = 6.0
"""Factor on the card gate's last layer, so that some rows fall on either side of its threshold."""


@torch.no_grad()
def with_probe_weights(network: Network, seed: int) -> Network:
    """A copy of the network with random weights: the same ones for the same names, shapes and seed."""
    probe = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in probe.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        if "layer_norm" in name:
            values = 0.1 * values + name.endswith("weight")
        elif parameter.dim() == 1:
            values = 0.1 * values
        elif not name.endswith("w_gating"):
            values = values / math.sqrt(parameter.shape[-1])
        if name == "gate_score.3.weight":
            values = values * GATE_SPREAD
        parameter.copy_(values)
    for module in probe.modules():
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            module.weight[module.padding_idx] = 0.0
        if isinstance(module, BoostedTrees):
            module.fill(random_trees(probe.config, seed))
    return probe
