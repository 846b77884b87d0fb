"""Decisions near a tie are found, and both of their outcomes are known."""

from __future__ import annotations

import torch
from support.batches import ragged_batch, tiny_config, tiny_network

from tsa_model.equivalence.evidence.networks import Networks
from tsa_model.equivalence.evidence.ties import decision_margins, observe, other_choice, tied_tokens


def margins(network, batch, config):
    networks = Networks.of(network)
    (_, truth), (_, rounded) = (observe(n, batch) for n in (networks.reference64, networks.reference))
    return decision_margins(truth, rounded, config, len(batch["label"]))


def test_random_networks_are_far_from_ties():
    config = tiny_config("dual", num_experts=5)
    assert (margins(tiny_network(config), ragged_batch(config), config) > 1).float().mean() > 0.8


def test_two_equal_gate_columns_are_a_tie_in_every_row():
    config = tiny_config("single")
    network = tiny_network(config)
    with torch.no_grad():
        w = network.feature_attention.layer_stack_feature[0].feedforward.gate.w_gating
        w[:, 1:] = w[:, 1:2]
        w[:, 0] = 3 * w[:, 0]
    found = margins(network, ragged_batch(config), config)
    assert (found <= 1).any()


def test_a_card_gate_at_its_threshold_is_a_tie():
    config = tiny_config("dual", use_moe=False)
    network, batch = tiny_network(config), ragged_batch(config)
    scores = network.inspect(batch)["gate_scores"][:, 1]
    row = int(torch.where(scores > 0)[0][0])
    near = config.model_copy(update={"gate_threshold": scores[row].item()})
    found = margins(network.twin("fast", gate_threshold=near.gate_threshold), batch, near)
    assert found[row] <= 1
    assert (found > 1).any()


def test_two_experts_never_tie():
    config = tiny_config("single", num_experts=2)
    assert torch.isinf(margins(tiny_network(config), ragged_batch(config), config)).all()


def test_other_choice_is_what_the_mixture_gives_after_the_tie_turned():
    config = tiny_config("single")
    block = tiny_network(config).double().twin("reference").order_attention.layer_stack[0].feedforward
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 40, 16, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        block.gate.w_gating[:, 2] = block.gate.w_gating[:, 1] * (1 + 1e-9)
        gates = torch.softmax(x @ block.gate.w_gating, dim=-1)
        tied = tied_tokens(block, x, torch.float32) & (gates.argmax(-1) == 0)
        assert tied.any()
        other = other_choice(block, x[tied])
        w = block.gate.w_gating.clone()
        block.gate.w_gating[:, 2] = w[:, 1] * (1 - 1e-9)  # the tie falls the other way
        turned = block(x)[tied]
    assert torch.allclose(other, turned, rtol=1e-6, atol=1e-8)
