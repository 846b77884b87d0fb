"""Building, loading and looking inside."""

from __future__ import annotations

import copy

import pytest
import torch
from support.batches import ragged_batch, randomised, tiny_config

from tsa_model import MixtureOfExperts, ModelConfig, build_network, load_legacy_state_dict


def test_a_state_dict_that_does_not_fit_is_listed_and_changes_nothing() -> None:
    network = randomised(build_network(tiny_config("single")))
    before = copy.deepcopy(network.state_dict())
    other = {name: torch.zeros_like(value) for name, value in before.items()}
    del other["clf.0.weight"]
    other["clf.9.weight"] = torch.zeros(1)
    other["clf.3.bias"] = torch.zeros(5)
    other["feature_attention.embedding.weight"] = torch.ones_like(before["embedding.weight"])
    with pytest.raises(ValueError, match=r"missing: \['clf.0.weight'\]") as error:
        load_legacy_state_dict(network, other)
    assert "surplus: ['clf.9.weight']" in str(error.value)
    assert "clf.3.bias is (5,), expected (2,)" in str(error.value)
    assert "feature_attention.embedding.weight differs from embedding.weight" in str(error.value)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_loading_keeps_the_networks_precision() -> None:
    source = randomised(build_network(tiny_config("dual")))
    network = build_network(tiny_config("dual")).double()
    load_legacy_state_dict(network, source.state_dict())
    assert network.clf[0].weight.dtype == torch.float64
    torch.testing.assert_close(network.clf[0].weight.float(), source.clf[0].weight, rtol=0, atol=0)


def test_a_twin_computes_from_the_very_same_parameters() -> None:
    network = build_network(tiny_config("dual"), "fast").eval()
    twin = network.twin("reference", moe_eval="legacy")
    assert twin.implementation == "reference"
    assert twin.config.moe_eval == "legacy"
    assert not twin.training
    own, others = dict(network.named_parameters()), dict(twin.named_parameters())
    assert own.keys() == others.keys()
    assert all(own[name] is others[name] for name in own)


@pytest.mark.parametrize("implementation", ["reference", "fast"])
def test_inspect_shows_gate_attention_and_experts(implementation: str) -> None:
    config = tiny_config("dual")
    network = randomised(build_network(config, implementation)).eval()
    batch = ragged_batch(config, 30)
    details = network.inspect(batch)
    torch.testing.assert_close(details["gate_scores_raw"].sum(dim=1), torch.ones(30))
    no_card = batch["key_padding_mask_ccid"].sum(dim=1) == config.seq_len - 1
    assert no_card.any()
    assert (details["gate_scores"][no_card, 1] == 0).all()
    weights = details["order_attention_cid.layer_stack.0.attention_weights"]
    assert weights.shape == (30, config.num_heads, config.seq_len + 1, config.seq_len + 1)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones_like(weights[..., 0]))
    assert (weights.masked_select(batch["key_padding_mask_cid"][:, None, None, :]) == 0).all()
    load = details["order_attention_cid.layer_stack.1.expert_load"]
    assert load.sum() == 2 * 30 * (config.seq_len + 1)
    changed = details["order_attention_cid.layer_stack.1.routing_changed"]
    assert 0 < changed < 1


@pytest.mark.parametrize("implementation", ["reference", "fast"])
@pytest.mark.parametrize("policy", ["all", "none", "random", "threshold"])
def test_a_gate_of_one_leaves_nothing_for_a_second_expert(implementation: str, policy: str) -> None:
    # exp(-200) is 0 in float32: the second choice then falls on an expert whose gate is 0, or on the first.
    moe = MixtureOfExperts(2, 3, 4, policy, policy, implementation=implementation)
    moe = randomised(moe).eval()
    x_GND = torch.tensor([[[1.0, 0.3], [-1.0, 0.7]]])
    with torch.no_grad():
        moe.gate.w_gating.copy_(torch.tensor([[200.0, 0.0, -200.0], [0.0, 0.0, 0.0]]))
        expected = [
            torch.relu(x @ moe.experts.w1[i]) @ moe.experts.w2[i]
            for x, i in zip(x_GND[0], (0, 2), strict=True)
        ]
        torch.testing.assert_close(moe(x_GND)[0], torch.stack(expected))


@pytest.mark.parametrize("implementation", ["reference", "fast"])
def test_capacity_takes_first_choices_in_order_and_second_choices_behind_them(implementation: str) -> None:
    # Two experts, every token prefers expert 0 and has expert 1 second: 0 takes the first C tokens, and 1 the
    # first C as second choices; the last tokens lose both.
    moe = MixtureOfExperts(2, 2, 3, "all", "all", implementation=implementation).double()
    moe.capacity_factor_train = 1.0
    with torch.no_grad():
        moe.gate.w_gating.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
        moe.experts.w1.fill_(1.0)
        moe.experts.w2.fill_(1.0)
    x = torch.ones(1, 16, 2, dtype=torch.float64)
    assert moe.capacity(16) == 8
    y = moe(x)
    torch.testing.assert_close(y[0, :8], torch.full((8, 2), 6.0, dtype=torch.float64), rtol=1e-8, atol=0)
    assert (y[0, 8:] == 0).all()


def test_configurations_that_cannot_be_built_are_refused() -> None:
    sizes = {"n_cat_features": 3, "n_num_features": 2, "n_embedding": 10}
    with pytest.raises(ValueError, match="num_heads=3 does not divide"):
        ModelConfig(**sizes, num_heads=3)
    with pytest.raises(ValueError, match="num_experts=1"):
        ModelConfig(**sizes, num_experts=1)
    with pytest.raises(ValueError, match="use_mlp"):
        ModelConfig(**sizes, use_mlp=True, sequences="dual")
    with pytest.raises(ValueError, match=r"dropout=1\.0"):
        ModelConfig(**sizes, dropout=1.0)
    with pytest.raises(ValueError, match="implementation='slow'"):
        build_network(ModelConfig(**sizes), "slow")  # type: ignore[arg-type]


def test_a_batch_without_a_tensor_is_refused_by_name() -> None:
    config = tiny_config("dual")
    batch = ragged_batch(config, 2)
    del batch["time_seq_ccid"]
    with pytest.raises(ValueError, match="time_seq_ccid"):
        build_network(config)(batch)


@pytest.mark.parametrize("sequences", ["single", "dual"])
def test_embedding_std_scales_the_fresh_tables_and_nothing_else(sequences: str) -> None:
    torch.manual_seed(0)
    plain = build_network(tiny_config(sequences)).state_dict()
    torch.manual_seed(0)
    scaled = build_network(tiny_config(sequences, embedding_std=0.25)).state_dict()
    for name, tensor in plain.items():
        is_table = "embedding" in name and name.endswith(".weight")
        assert torch.equal(scaled[name], tensor * 0.25 if is_table else tensor), name


@pytest.mark.parametrize("sequences", ["single", "dual"])
def test_a_twin_shares_every_tensor_and_draws_nothing(sequences):
    network = build_network(tiny_config(sequences, wide_hidden_dim=4), "fast").eval()
    network.clf[0].bias.requires_grad_(False)
    before = torch.get_rng_state()
    twin = network.twin("reference", moe_eval="legacy")
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(module.training for module in twin.modules())
    own, theirs = network.state_dict(keep_vars=True), twin.state_dict(keep_vars=True)
    assert list(own) == list(theirs)
    assert all(own[name] is theirs[name] for name in own)
    assert [name for name, _ in network.named_parameters()] == [name for name, _ in twin.named_parameters()]
    with pytest.raises(ValueError, match="in the twin"):
        network.twin("reference", dim_attn_feedforward=5)
