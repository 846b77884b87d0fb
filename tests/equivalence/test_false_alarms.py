"""Correct networks of any configuration pass: fresh, random and trained ones."""

from __future__ import annotations

import random

import pytest
import torch
from support.batches import ragged_batch, randomised, tiny_config, tiny_sample

from tsa_model import ModelConfig, Network, build_network
from tsa_model.equivalence import judge
from tsa_model.equivalence.gate import Identity


def random_config(rng: random.Random) -> ModelConfig:
    dim = rng.choice([4, 8, 16, 32])
    sequences = rng.choice(["single", "dual"])
    return tiny_config(
        sequences,
        dim_embedding_table=dim,
        num_heads=rng.choice([1, 2, 4]),
        seq_len=rng.choice([1, 2, 3, 5, 9, 20, 51]),
        n_cat_features=rng.choice([1, 3, 9, 33]),
        n_num_features=rng.choice([1, 2, 10, 35]),
        n_embedding=rng.choice([60, 200]),
        n_engineered_num_features=rng.choice([0, 1, 5]),
        n_layers_order=rng.choice([1, 2, 3]),
        n_layers_feature=rng.choice([1, 2, 3]),
        num_experts=rng.choice([2, 3, 5]),
        use_moe=rng.random() < 0.75,
        use_time_seq=rng.random() < 0.7,
        emb_tbl_use_bias=rng.random() < 0.5,
        use_mlp=sequences == "single" and rng.random() < 0.5,
        moe_form=rng.choice(["top2_capacity"] * 4 + ["noisy_top2", "dense_softmax"]),
        feature_aggregation=rng.choice(["production"] * 3 + ["relu_halving", "linear"]),
    )


def random_network(config: ModelConfig, seed: int) -> Network:
    """Fresh, with random weights, or trained for some steps."""
    torch.manual_seed(seed)
    network = build_network(config, "fast")
    # The noisy mixture starts with a gate of zeros: all experts tie.
    if seed % 3 == 1 or config.moe_form == "noisy_top2":
        return randomised(network, seed).eval()
    if seed % 3 == 2:
        optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], 1e-2)
        batch = ragged_batch(config, 64, seed)
        for _ in range(15):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(batch)[0], batch["label"]).backward()
            optimizer.step()
    return network.eval()


def verdict_on(seed: int):
    config = random_config(random.Random(seed))
    return judge(random_network(config, seed), tiny_sample(config, 40, seed), Identity("", ""))


def test_a_correct_network_is_not_rejected():
    verdict = verdict_on(100)
    assert verdict.passed, verdict.reason


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(50))
def test_fifty_correct_networks_are_not_rejected(seed):
    threads = torch.get_num_threads()
    torch.set_num_threads(1 + seed % 2)
    try:
        verdict = verdict_on(seed)
    finally:
        torch.set_num_threads(threads)
    assert verdict.passed, verdict.reason
