"""What is made of weights once is made again when a weight changes, however it changes."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from support.batches import ragged_batch, randomised, tiny_config
from torch import Tensor, nn
from torch.func import functional_call

from tsa_model import Network, TemporalMultiheadAttention, build_network
from tsa_model.network.fast.prepared import prepared

SIZES = {"num_heads": 1, "n_cat_features": 35, "n_num_features": 33, "n_embedding": 120}


def logits(network: Network, batch: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return network(batch)[0]


def step(network: Network, batch: dict[str, Tensor], **how: bool) -> None:
    network(batch)[0].square().sum().backward()
    torch.optim.Adam(network.parameters(), lr=0.1, **how).step()


def written_over(network: Network, _: object) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.1)


def replaced(network: Network, _: object) -> None:
    for parameter in network.parameters():
        parameter.data = parameter.data * 1.1


def unseen(network: Network, _: object) -> None:
    for parameter in network.parameters():
        parameter.data.mul_(1.1)


def unseen_in_one_place(network: Network, _: object) -> None:
    for module in network.modules():
        if isinstance(module, TemporalMultiheadAttention):
            module.in_proj_weight.data[-1, 0] += 0.2


CHANGES: dict[str, Callable[[Network, dict[str, Tensor]], object]] = {
    "in place": written_over,
    "other tensors": replaced,
    "where torch does not count": unseen,
    "one number where torch does not count": unseen_in_one_place,
    "loaded": lambda network, _: network.load_state_dict(
        {name: 1.1 * values for name, values in network.state_dict().items()}
    ),
    "Adam": step,
    "Adam, tensor by tensor": lambda network, batch: step(network, batch, foreach=False),
    "Adam in one kernel": lambda network, batch: step(network, batch, fused=True),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_network_follows_its_weights(change: str) -> None:
    config = tiny_config("single", **SIZES)
    network = randomised(build_network(config, "fast")).double().eval()
    batch = {k: x.double() if x.is_floating_point() else x for k, x in ragged_batch(config, 6).items()}
    before = logits(network, batch)
    CHANGES[change](network, batch)
    after = logits(network, batch)
    assert (after - before).abs().max() > 1e-3
    torch.testing.assert_close(after, logits(network.twin("reference"), batch), rtol=1e-10, atol=1e-12)


def test_weights_handed_in_for_one_call() -> None:
    config = tiny_config("single", **SIZES)
    network, other = (randomised(build_network(config, "fast"), seed).double().eval() for seed in (1, 2))
    batch = {k: x.double() if x.is_floating_point() else x for k, x in ragged_batch(config, 6).items()}
    own = logits(network, batch)
    torch.testing.assert_close(logits(copy.deepcopy(network), batch), own, rtol=0, atol=0)
    with torch.no_grad():
        found = functional_call(network, dict(other.named_parameters()), (batch,))[0]
    torch.testing.assert_close(found, logits(other, batch), rtol=0, atol=0)
    assert (found - own).abs().max() > 1e-3


def test_only_evaluation_keeps_anything() -> None:
    made = []
    layer = nn.Linear(2, 2)

    def make() -> Tensor:
        made.append(0)
        return layer.weight * 2

    for _ in range(2):
        prepared(layer, "twice", (layer.weight,), make)  # gradients are recorded
    assert len(made) == 2
    with torch.no_grad():
        prepared(layer, "twice", (layer.weight,), make)  # training
        layer.eval()
        with torch.autocast("cpu"):
            prepared(layer, "twice", (layer.weight,), make)
        assert len(made) == 4
        for _ in range(3):
            prepared(layer, "twice", (layer.weight,), make)
    assert len(made) == 5
