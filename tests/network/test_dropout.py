"""Padding without gradients, in training with dropout where rows queue: the reference's numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.batches import edge_batch, ragged_batch, randomised, tiny_config
from torch import Tensor, nn

from tsa_model import ModelConfig, build_network
from tsa_model.equivalence.evidence.training_step import Conditions, for_training, take_step
from tsa_model.network.fast import order_attention
from tsa_model.network.fast.dropout import layers_with_dropout
from tsa_model.network.fast.form import fast_in_pieces
from tsa_model.network.fast.pieces import PieceSizes
from tsa_model.network.implementation import Implementation
from tsa_model.network.trace import Trace


def config_of(sequences: str = "dual", **changes: object) -> ModelConfig:
    sizes: dict[str, object] = {"seq_len": 30, "n_layers_order": 3, "num_experts": 3, "dropout": 0.2}
    return tiny_config(sequences, **{**sizes, **changes})


def in_sevens(config: ModelConfig) -> Implementation:
    """Pieces of seven rows, so that rows are sorted, cut at different lengths and put back."""
    row_bytes = 8 * (config.seq_len + 1) * 2 * config.dim_embedding_table
    return fast_in_pieces(PieceSizes(activation_bytes=7 * row_bytes))


def cross_entropy(logits: Tensor, labels: Tensor, epoch: int) -> Tensor:
    return nn.functional.cross_entropy(logits, labels)


def assert_one_step_is_the_references(config: ModelConfig, batch: dict[str, Tensor], policy: str) -> None:
    network = randomised(build_network(config, "reference")).double()
    conditions = Conditions(cross_entropy, rate=0.2, seed=3)
    reference, fast = (
        take_step(for_training(network, policy, compute), batch, conditions)
        for compute in (None, in_sevens(config))
    )
    assert fast.strange == ()
    assert fast.drawn == reference.drawn
    torch.testing.assert_close(fast.logits, reference.logits, rtol=1e-10, atol=1e-12)
    assert sum(gradient is not None for gradient in reference.gradients.values()) > 20
    for name, gradient in reference.gradients.items():
        found = fast.gradients[name]
        if gradient is None or not gradient.any():
            assert found is None or not found.any(), name
        else:
            torch.testing.assert_close(found, gradient, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("policy", ["random", "all", "none", "threshold"])
@pytest.mark.parametrize(
    ("sequences", "changes"),
    [
        ("single", {}),
        ("dual", {}),
        ("single", {"n_layers_order": 1}),
        ("single", {"num_heads": 1, "n_layers_order": 2}),
        ("single", {"use_time_seq": False}),
        ("dual", {"gate_use_moe": True}),
    ],
    ids=["single", "dual", "one_layer", "one_head", "no_time", "gate_with_moe"],
)
def test_a_step_is_the_references(sequences: str, changes: dict[str, Any], policy: str) -> None:
    config = config_of(sequences, **changes)
    assert_one_step_is_the_references(config, ragged_batch(config, 40, seed=3), policy)


@pytest.mark.parametrize("policy", ["random", "all"])
def test_rows_at_the_edge_and_padding_that_is_not_blank(policy: str) -> None:
    config = config_of("single")
    assert_one_step_is_the_references(config, edge_batch(config)[0], policy)
    batch = ragged_batch(config, 40, seed=3)
    padded = batch["key_padding_mask"][:, :-1, None]
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(batch["x_num"].shape, generator=generator)
    spoiled = {**batch, "x_num": torch.where(padded, noise, batch["x_num"])}
    assert_one_step_is_the_references(config, spoiled, policy)


@pytest.mark.parametrize("heads", [1, 2])
def test_what_is_left_out_changes_no_draw(heads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who traces every token gets a computation that leaves nothing out: it has to draw the same."""
    config = config_of("dual", num_heads=heads)
    network = randomised(build_network(config, in_sevens(config))).double().train()
    batch = ragged_batch(config, 40, seed=3)
    batch = {name: x.double() if x.is_floating_point() else x for name, x in batch.items()}
    calls = []

    def watched(*arguments: Any) -> Tensor:
        calls.append(1)
        return layers_with_dropout(*arguments)

    monkeypatch.setattr(order_attention, "layers_with_dropout", watched)
    results = []
    for further in ({}, {"trace": Trace()}):
        torch.manual_seed(11)
        logits, _ = network(batch, **further)
        gradients = torch.autograd.grad(
            logits.square().sum(), [p for p in network.parameters() if p.requires_grad], allow_unused=True
        )
        results.append([logits, [g for g in gradients if g is not None], torch.rand(5)])
    assert len(calls) == 2  # of both histories, without the trace
    torch.testing.assert_close(results[1], results[0], rtol=1e-9, atol=1e-12)


def test_no_row_at_all() -> None:
    """A gate that closes on every card leaves a history without rows."""
    config = config_of("dual", gate_threshold=0.999)
    network = randomised(build_network(config, "fast")).train()
    logits, _ = network(ragged_batch(config, 12))
    logits.sum().backward()
    assert logits.isfinite().all()
