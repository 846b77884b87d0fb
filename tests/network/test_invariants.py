"""What must hold whatever the weights are, in both computations."""

from __future__ import annotations

import pytest
import torch
from support.batches import edge_batch, ragged_batch, randomised, tiny_config
from torch import Tensor, nn

from tsa_model import Network, build_network
from tsa_model.network.parameters import MixtureParameters

both = pytest.mark.parametrize("implementation", ["reference", "fast"])
sequences_of = pytest.mark.parametrize("sequences", ["single", "dual"])


def network_of(sequences: str, implementation: str, **changes: object) -> Network:
    # Aggregation halves its width five times: fewer than 32 features would leave it nothing to say.
    sizes = {"n_cat_features": 35, "n_num_features": 33, "n_embedding": 120}
    network = build_network(tiny_config(sequences, **sizes, **changes), implementation)
    return randomised(network).double().eval()


def batch_of(network: Network, n: int = 24) -> dict[str, Tensor]:
    return {k: x.double() if x.is_floating_point() else x for k, x in ragged_batch(network.config, n).items()}


def take(batch: dict[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    return {key: value[rows] for key, value in batch.items()}


@both
@sequences_of
def test_padding_content_does_not_matter(sequences: str, implementation: str) -> None:
    network = network_of(sequences, implementation)
    batch = batch_of(network)
    expected, _ = network(batch)
    garbage = dict(batch)
    changed = 0
    for key in batch:
        if not key.startswith("key_padding_mask"):
            continue
        suffix = key.removeprefix("key_padding_mask")
        padding = batch[key][:, :-1]
        changed += int(padding.sum())
        for name in ("x_cat", "x_seq_cat", "x_num", "x_seq_num", "time_seq"):
            if name + suffix in batch:
                clean = batch[name + suffix]
                noise = torch.randint(1, 20, clean.shape).to(clean.dtype)
                garbage[name + suffix] = torch.where(padding[..., None], noise, clean)
    assert changed > 20
    torch.testing.assert_close(network(garbage)[0], expected, rtol=1e-10, atol=1e-12)


@both
def test_a_later_order_never_changes_an_earlier_score_with_a_causal_mask(implementation: str) -> None:
    network = network_of("single", implementation)
    block = network.order_attention
    block.return_seq = True
    L = network.config.seq_len
    batch = batch_of(network)
    batch["key_padding_mask"] = torch.zeros_like(batch["key_padding_mask"])
    later_is_masked = torch.ones(L + 1, L + 1, dtype=torch.bool).triu(1)
    names = ("x_cat", "x_num", "time_seq", "key_padding_mask")
    expected = block(*(batch[name] for name in names), later_is_masked)
    position = 5
    batch["x_cat"] = batch["x_cat"].clone()
    batch["x_cat"][:, position:] = 1 + batch["x_cat"][:, position:] % 80
    actual = block(*(batch[name] for name in names), later_is_masked)
    torch.testing.assert_close(actual[:, :position], expected[:, :position], rtol=1e-12, atol=1e-12)
    assert (actual[:, position:] - expected[:, position:]).abs().amax(dim=-1).min() > 1e-6


@both
@sequences_of
def test_in_deterministic_mode_a_row_alone_scores_as_in_a_batch(sequences: str, implementation: str) -> None:
    network = network_of(sequences, implementation)
    batch = batch_of(network)
    expected, _ = network(batch)
    alone = torch.cat([network(take(batch, torch.tensor([i])))[0] for i in range(len(expected))])
    torch.testing.assert_close(alone, expected, rtol=1e-10, atol=1e-12)


def test_a_gate_of_exactly_one_takes_no_slot_of_another_row() -> None:
    """Where all other gates are 0, the first expert stands in both places, the second time for nothing."""
    network = network_of("single", "reference", num_experts=2)
    n_alone = []

    def count(mixture: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        others = (inputs[0] @ mixture.gate.w_gating).softmax(-1)[..., 1:]
        n_alone.append(int((others == 0).all(-1).sum()))

    for module in network.modules():
        if isinstance(module, MixtureParameters):
            module.gate.w_gating.data.mul_(1e3)
            module.register_forward_hook(count)
    batch = batch_of(network)
    expected, _ = network(batch)
    assert sum(n_alone) > 100
    alone = torch.cat([network(take(batch, torch.tensor([i])))[0] for i in range(len(expected))])
    torch.testing.assert_close(alone, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(network.twin("fast")(batch)[0], expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(network.twin("static")(batch)[0], expected, rtol=1e-10, atol=1e-12)


@both
@sequences_of
def test_in_deterministic_mode_batch_order_does_not_matter(sequences: str, implementation: str) -> None:
    network = network_of(sequences, implementation)
    batch = batch_of(network)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        network(take(batch, order))[0], network(batch)[0][order], rtol=1e-10, atol=1e-12
    )


@both
def test_the_legacys_evaluation_does_depend_on_the_batch(implementation: str) -> None:
    network = network_of("single", implementation, moe_eval="legacy", moe_second_policy_eval="all")
    batch = batch_of(network, 64)
    expected, _ = network(batch)
    alone = torch.cat([network(take(batch, torch.tensor([i])))[0] for i in range(64)])
    assert (alone - expected).abs().max() > 1e-3


@both
@sequences_of
def test_shared_embedding_tables_are_one_object(sequences: str, implementation: str) -> None:
    network = network_of(sequences, implementation)
    tables = network.state_dict(keep_vars=True)
    of_orders = [v for k, v in tables.items() if k.endswith("embedding.weight") and "gate" not in k]
    assert len(of_orders) == (3 if sequences == "single" else 4)
    assert len({id(table) for table in of_orders}) == 1
    engineered = [v for k, v in tables.items() if k.endswith("embedding_engineered.weight")]
    assert len(engineered) == 2
    assert engineered[0] is engineered[1]


@both
@sequences_of
@pytest.mark.parametrize("training", [False, True])
def test_no_nan_or_infinity_on_any_mask_that_preprocessing_can_produce(
    sequences: str, implementation: str, training: bool
) -> None:
    network = network_of(sequences, implementation).float().train(training)
    batch, _ = edge_batch(network.config)
    logits, ensemble = network(batch)
    logits.sum().backward()
    assert torch.isfinite(logits).all()
    assert torch.isfinite(ensemble).all()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@both
@sequences_of
def test_every_trained_parameter_gets_a_gradient_even_when_no_row_has_a_card(
    sequences: str, implementation: str
) -> None:
    # DistributedDataParallel waits for every parameter that asks for a gradient.
    network = network_of(sequences, implementation).train()
    batch = batch_of(network)
    if sequences == "dual":
        batch["key_padding_mask_ccid"][:, : network.config.seq_len - 1] = True
        batch["key_padding_mask_ccid"][:, network.config.seq_len - 1] = False
    nn.functional.cross_entropy(network(batch)[0], batch["label"]).backward()
    without = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    never_trained = [name for name, p in network.named_parameters() if not p.requires_grad]
    assert never_trained
    assert set(never_trained) <= set(network.state_dict())
