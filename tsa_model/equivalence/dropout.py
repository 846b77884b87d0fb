"""Dropout draws cannot be compared one by one, but their effect can: off in evaluation, and in training as
strong in the shipped network as in the reference, place by place.
"""

from __future__ import annotations

import re

import torch
from torch import nn

from tsa_model.config import ModelConfig
from tsa_model.equivalence import tolerance
from tsa_model.equivalence.generated import random_rows, sequence_names
from tsa_model.equivalence.networks import REFERENCE_ROWS, Networks, outputs, rows_of
from tsa_model.equivalence.probe import with_probe_weights
from tsa_model.equivalence.results import Measurement, at_least, at_most
from tsa_model.network.blocks import TemporalMultiheadAttention
from tsa_model.network.networks import Network, build_network

N_REPEATS = 384
RATE = 0.5


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
    return config.model_copy(update=sizes)


def measure_dropout(config: ModelConfig, seed: int = 0) -> list[Measurement]:
    """One place at a time: the spread it causes in the shipped network, as a multiple of the reference's."""
    config = small_config(config)
    networks = Networks.of(with_probe_weights(build_network(config, "fast").eval(), seed))
    row = random_rows(config, [[config.seq_len]] * len(sequence_names(config)), seed)
    batch = rows_of(row, torch.zeros(N_REPEATS, dtype=torch.long))
    measurements = []
    for place in sorted(_places(networks.shipped)):
        spreads = []
        for network in (networks.reference, networks.shipped):
            _switch(network, place, True)
            torch.manual_seed(seed)
            found = outputs(network, batch, REFERENCE_ROWS if network is networks.reference else None)
            spreads.append(
                torch.cat([found["logits"], found["ensemble"]], dim=1).double().var(dim=0).sum().item()
            )
            _switch(network, place, False)
        ratio = spreads[1] / spreads[0] if spreads[0] > 0 else float(spreads[1] > 0)
        ratio = max(ratio, 1 / ratio) if ratio else torch.inf
        measurements.append(
            at_most(f"dropout at {place}: spread against the reference's", ratio, tolerance.DROPOUT_SPREAD)
        )
    measurements.append(at_least("places of dropout compared", len(measurements), 1))
    return measurements


def _place(name: str) -> str:
    return re.sub(r"(layer_stack\w*)\.\d+", r"\1.*", name)


def _places(network: Network) -> set[str]:
    kinds = (nn.Dropout, TemporalMultiheadAttention)
    return {_place(name) for name, module in network.named_modules() if isinstance(module, kinds)}


def _switch(network: Network, place: str, on: bool) -> None:
    for name, module in network.named_modules():
        if isinstance(module, (nn.Dropout, TemporalMultiheadAttention)) and _place(name) == place:
            module.training = on
