"""A network copies itself as deepcopy copies any module."""

from __future__ import annotations

import copy

import pytest
import torch
from support.batches import ragged_batch, tiny_config, tiny_network

from tsa_model.network.blocks import Block
from tsa_model.network.implementation import Implementation


def contents(value: object, seen: dict[int, int]) -> object:
    """All that a module holds; numbers of modules and tensors, in the order met, show who shares what."""
    if isinstance(value, torch.Tensor):
        return seen.setdefault(id(value), len(seen)), value.requires_grad, value.dtype, value.tolist()
    if isinstance(value, torch.nn.Module):
        number = seen.setdefault(id(value), len(seen))
        return type(value), number, contents(vars(value), seen)
    if isinstance(value, dict):
        return type(value), {key: contents(x, seen) for key, x in value.items()}
    return type(value), value.name if isinstance(value, Implementation) else value


def tensors(network: torch.nn.Module) -> list[torch.Tensor]:
    return [x for x in network.state_dict().values() if x.numel()]


@pytest.mark.parametrize(
    "config",
    [
        tiny_config("single", use_mlp=True, wide_hidden_dim=4),
        tiny_config("dual", boosted_trees=3, tree_leaves=4, tree_depth=3),
        tiny_config("dual", moe_form="noisy_top2", time_encoder="cosine"),
        tiny_config("single", members=2),
    ],
    ids=["single", "trees", "forms", "members"],
)
def test_a_copy_is_what_deepcopy_makes_of_any_module(config, monkeypatch):
    network = tiny_network(config)
    network.get_submodule("members.0.clf" if config.members > 1 else "clf").register_forward_hook(print)
    found = copy.deepcopy(network)
    monkeypatch.delattr(Block, "__deepcopy__")
    assert contents(found, {}) == contents(copy.deepcopy(network), {})
    assert {x.data_ptr() for x in tensors(network)}.isdisjoint(x.data_ptr() for x in tensors(found))


def test_a_changed_copy_leaves_the_network_alone():
    network = tiny_network(tiny_config())
    batch = ragged_batch(network.config)
    before, _ = network(batch)
    other = copy.deepcopy(network)
    other.train()
    other.clf.register_forward_hook(lambda module, args, output: output + 1)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    torch.testing.assert_close(network(batch)[0], before, rtol=0, atol=0)
    assert not network.training
    assert not network.clf._forward_hooks
