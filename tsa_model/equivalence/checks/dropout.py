"""Check 4, random draws: dropout, and the noise of one form of mixture.

Two computations need not draw the same numbers, so single outputs are not compared. Distributions are: place
by place, the shipped network's outputs must be distributed as the reference's.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from tsa_model.batch import history_names, rows_of
from tsa_model.equivalence import tolerance
from tsa_model.equivalence.evidence.generated import random_rows
from tsa_model.equivalence.evidence.networks import Networks, outputs
from tsa_model.equivalence.evidence.probe import with_probe_weights
from tsa_model.equivalence.results import Measurement, at_least, at_most
from tsa_model.network.blocks import TemporalMultiheadAttention
from tsa_model.network.forms.experts import NoisyTop2Experts
from tsa_model.network.networks import Network, build_network
from tsa_model.settings.model import ModelConfig

N_REPEATS = 768
ROWS_PER_CALL = 96
RATE = 0.5
RANDOM = (nn.Dropout, TemporalMultiheadAttention, NoisyTop2Experts)
"""Modules that draw random numbers in training."""


def small_config(config: ModelConfig) -> ModelConfig:
    """The same architecture in sizes that cost nothing."""
    heads = min(config.num_heads, 2)
    sizes = {
        "n_cat_features": 3,
        "n_num_features": 3,
        "n_embedding": 20,
        "n_engineered_num_features": min(config.n_engineered_num_features, 2),
        "seq_len": 6,
        "dim_embedding_table": 4 * heads,
        "num_heads": heads,
        "dim_attn_feedforward": 8,
        "n_layers_order": min(config.n_layers_order, 2),
        "n_layers_feature": min(config.n_layers_feature, 2),
        "num_experts": min(config.num_experts, 3),
        "gate_embedding_dim": 4,
        "gate_hidden_dim": 8,
        "gate_feedforward_dim": 8,
        "gate_layers": 1,
        "gate_threshold": 0.0,
        "dropout": RATE,
        "moe_eval": "deterministic",
    }
    return config.changed(**sizes)


def measure_dropout(config: ModelConfig, seed: int = 0) -> list[Measurement]:
    """One place at a time: how far the outputs' distribution is from the reference's, over many draws."""
    config = small_config(config)
    networks = Networks.of(with_probe_weights(build_network(config, "fast").eval(), seed))
    row = random_rows(config, [[config.seq_len]] * len(history_names(config.sequences)), seed)
    batch = rows_of(row, torch.zeros(N_REPEATS, dtype=torch.long))
    measurements = []
    for place in sorted(_places(networks.shipped)):
        draws = []
        for network in (networks.reference, networks.shipped):
            _switch(network, place, True)
            torch.manual_seed(seed)
            found = outputs(network, batch, ROWS_PER_CALL)
            draws.append(torch.cat([found["logits"], found["ensemble"]], dim=1))
            _switch(network, place, False)
        furthest = max(distance(x, y) for x, y in zip(draws[0].T, draws[1].T, strict=True))
        measurements.append(
            at_most(
                f"random draws at {place}: distance of the outputs' distributions",
                furthest,
                tolerance.DROPOUT_DISTANCE,
            )
        )
    measurements.append(at_least("places of random draws compared", len(measurements), 1))
    return measurements


def distance(x: Tensor, y: Tensor) -> float:
    """Kolmogorov-Smirnov distance: the largest gap between two samples' cumulative distributions.

    Gaps that close when one sample is moved by a rounding do not count. So a value that both networks always
    give, each with its own rounding, is one value.
    """
    x, y = (z.double().sort().values for z in (x, y))
    return max(_gap(x, y), _gap(y, x))


def _gap(x: Tensor, y: Tensor) -> float:
    """Largest excess of the share of `x` up to a value over the share of `y` up to slightly more, sorted."""
    of_x = torch.searchsorted(x, x, right=True) / len(x)
    of_y = torch.searchsorted(y, x + tolerance.DROPOUT_ROUNDING, right=True) / len(y)
    return (of_x - of_y).max().item()


def _place(name: str) -> str:
    """Layers of a stack, and the order attentions, which run the same code, count as one place."""
    name = re.sub(r"^(gate_emb|order_attention)\w*", "order_attention", name)
    return re.sub(r"(layer_stack\w*)\.\d+", r"\1.*", name)


def _places(network: Network) -> set[str]:
    return {_place(name) for name, module in network.named_modules() if isinstance(module, RANDOM)}


def _switch(network: Network, place: str, on: bool) -> None:
    for name, module in network.named_modules():
        if isinstance(module, RANDOM) and _place(name) == place:
            module.training = on
