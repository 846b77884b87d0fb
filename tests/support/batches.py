"""Random batches of the shapes a network takes, small networks to run on them, and evidence about both."""

from __future__ import annotations

import torch

from tsa_model import ModelConfig, Network, build_network
from tsa_model.equivalence.evidence.effort import SMALL_NETWORK
from tsa_model.equivalence.evidence.generated import edge_rows, ragged_rows
from tsa_model.equivalence.evidence.networks import Networks
from tsa_model.equivalence.evidence.observations import Evidence
from tsa_model.equivalence.evidence.probe import with_probe_weights
from tsa_model.equivalence.evidence.sample import Sample, make_sample


def tiny_config(sequences: str = "dual", **changes: object) -> ModelConfig:
    """A network of some 40,000 weights that uses every part of the production form."""
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
    """A copy with random weights everywhere, biases and unused ones too; padding rows stay zero."""
    return with_probe_weights(network, seed)


def tiny_network(config: ModelConfig, seed: int = 0) -> Network:
    """The fast network of a configuration, random weights, in evaluation mode."""
    return randomised(build_network(config, "fast"), seed).eval()


def ragged_batch(config: ModelConfig, n: int = 16, seed: int = 0) -> dict[str, torch.Tensor]:
    """Rows with histories of 1 to seq_len orders."""
    return ragged_rows(config, n, seed)


def edge_batch(config: ModelConfig, seed: int = 0) -> tuple[dict[str, torch.Tensor], list[str]]:
    """One row per edge case (only the current order, all padding, times up to 1e7, ...), and their names."""
    return edge_rows(config, seed)


def tiny_sample(config: ModelConfig, n_real: int = 30, seed: int = 0) -> Sample:
    """Ragged rows in the place of real ones, and the edge cases."""
    batch = ragged_rows(config, 2 * n_real, seed)
    return make_sample(batch, [f"order-{i}" for i in range(2 * n_real)], config, n_real=n_real)


def tiny_evidence(config: ModelConfig, seed: int = 0) -> Evidence:
    """A tiny network beside its reference, on a tiny sample."""
    return Evidence(Networks.of(tiny_network(config, seed)), tiny_sample(config), SMALL_NETWORK)


def outputs_and_gradients(network: Network, batch: dict[str, torch.Tensor]) -> list:
    """Logits, the ensemble's output and all gradients of one step, whose draws are always the same."""
    network.zero_grad()
    torch.manual_seed(11)
    logits, ensemble = network(batch)
    (torch.nn.functional.cross_entropy(logits, batch["label"]) + ensemble.square().mean()).backward()
    gradients = {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
    return [logits, ensemble, gradients]
