"""Several networks as one: the mean of their logits, computed both ways."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.batches import ragged_batch, tiny_config, tiny_network

from tsa_model.network.checkpoint import load_model, save_model
from tsa_model.network.fast.form import FAST
from tsa_model.network.networks import build_network, members_of

SIZES = {"members": 3, "n_layers_order": 1, "n_layers_feature": 1}


def in_double(batch):
    return {name: x.double() if x.is_floating_point() else x for name, x in batch.items()}


@pytest.mark.parametrize("sequences", ["single", "dual"])
def test_logits_are_the_mean_of_the_members_and_fast_equals_reference(sequences):
    config = tiny_config(sequences, **SIZES)
    network = tiny_network(config).double()
    batch = in_double(ragged_batch(config))
    found = {}
    for name in ("reference", "fast"):
        twin = network.twin(name)
        twin.zero_grad()
        logits, ensemble = twin(batch)
        of_members = [member(batch) for member in members_of(twin)]
        expected = sum(each[0] for each in of_members) / 3
        torch.testing.assert_close(logits, expected, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(ensemble, torch.cat([each[1] for each in of_members], dim=1))
        (logits * torch.linspace(-1, 1, logits.numel()).view_as(logits)).sum().backward()
        grads = {key: p.grad.clone() for key, p in twin.named_parameters() if p.grad is not None}
        found[name] = logits.detach(), grads
    torch.testing.assert_close(found["fast"], found["reference"], rtol=1e-10, atol=1e-11)
    first, second = (member.clf[0].weight for member in members_of(network)[:2])
    assert not torch.equal(first, second)


def test_a_row_alone_scores_as_in_its_batch():
    config = tiny_config(moe_eval="deterministic", **SIZES)
    network = tiny_network(config).double().eval()
    batch = in_double(ragged_batch(config))
    with torch.no_grad():
        together = network(batch)[0]
        alone = network({name: x if name == "attn_mask" else x[2:3] for name, x in batch.items()})[0]
    torch.testing.assert_close(alone, together[2:3], rtol=1e-10, atol=1e-12)


def test_a_wrong_mean_gives_other_logits():
    config = tiny_config(**SIZES)
    network = tiny_network(config)
    batch = ragged_batch(config)
    forgets_one = network.twin(replace(FAST, mean_of_members=lambda logits: sum(logits[1:]) / 2))
    with torch.no_grad():
        assert not torch.allclose(forgets_one(batch)[0], network(batch)[0], rtol=1e-3)


def test_a_model_folder_keeps_every_member(tmp_path):
    network = tiny_network(tiny_config(**SIZES)).eval()
    save_model(network, tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.config.members == len(members_of(again)) == 3
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)


def test_one_member_is_the_network_itself():
    config = tiny_config(members=1)
    network = build_network(config)
    assert members_of(network) == [network]
    assert not any(name.startswith("members.") for name in network.state_dict())


def test_looking_inside_names_the_way():
    network = tiny_network(tiny_config(**SIZES))
    with pytest.raises(ValueError, match="member by member"):
        network.inspect({})
