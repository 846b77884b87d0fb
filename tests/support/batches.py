"""Random batches of the shapes a network takes: ragged histories, and the rows that break careless code."""

from __future__ import annotations

import torch

from tsa_model import ModelConfig, Network, build_network
from tsa_model.equivalence.generated import edge_rows, ragged_rows
from tsa_model.equivalence.sample import Sample, make_sample


def tiny_config(sequences: str = "dual", **changes: object) -> ModelConfig:
    sizes = {
        "sequences": sequences,
        "n_cat_features": 5,
        "n_num_features": 4,
        "n_embedding": 40,
        "n_engineered_num_features": 3,
        "seq_len": 9,
        "dim_embedding_table": 8,
        "dim_attn_feedforward": 12,
        "num_heads": 2,
        "n_layers_order": 2,
        "n_layers_feature": 2,
        "num_experts": 3,
        "gate_embedding_dim": 4,
        "gate_hidden_dim": 16,
        "gate_feedforward_dim": 8,
        "moe_eval": "deterministic",
    }
    return ModelConfig(**{**sizes, **changes})


def randomised(network: Network, seed: int = 0) -> Network:
    """Give every parameter random values, biases and unused ones too; padding rows stay zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            values = torch.randn(parameter.shape, generator=generator)
            if "layer_norm" in name and name.endswith("weight"):
                values = 1 + 0.1 * values
            elif parameter.dim() >= 2 and not name.endswith("w_gating"):
                values = values / parameter.shape[-1] ** 0.5
            elif parameter.dim() < 2:
                values = 0.1 * values
            parameter.copy_(values)
        for module in network.modules():
            if isinstance(module, torch.nn.Embedding):
                module.weight[0] = 0
    return network


def tiny_network(config: ModelConfig, seed: int = 0) -> Network:
    return randomised(build_network(config, "fast"), seed).eval()


def ragged_batch(config: ModelConfig, n: int = 16, seed: int = 0) -> dict[str, torch.Tensor]:
    return ragged_rows(config, n, seed)


def edge_batch(config: ModelConfig, seed: int = 0) -> tuple[dict[str, torch.Tensor], list[str]]:
    return edge_rows(config, seed)


def tiny_sample(config: ModelConfig, n_real: int = 30, seed: int = 0) -> Sample:
    batch = ragged_rows(config, 2 * n_real, seed)
    return make_sample(batch, [f"order-{i}" for i in range(2 * n_real)], config, n_real=n_real)
