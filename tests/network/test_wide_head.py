"""The wide head: the current order's numbers straight to the logits."""

from __future__ import annotations

import itertools

import pytest
import torch
from support.batches import ragged_batch, tiny_config, tiny_network

from tsa_model.network.networks import build_network
from tsa_model.settings.model import WIDE_EDGES


def in_double(batch):
    return {name: x.double() if x.is_floating_point() else x for name, x in batch.items()}


def shares(row):
    """How far each number is through each interval, one at a time."""
    found = []
    for value in row:
        for low, high in itertools.pairwise(WIDE_EDGES):
            found.append(0.0 if value <= low else 1.0 if value >= high else (value - low) / (high - low))
    return found


def by_hand(network, numbers):
    """One row at a time, one product at a time."""
    (first, _, second), rows = network.wide, []
    for row in numbers.tolist():
        if network.config.wide_encoding == "piecewise":
            row = row + shares(row)
        for layer in (first, second):
            row = [
                sum(w * v for w, v in zip(weights, row, strict=True)) + bias
                for weights, bias in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
            ]
            row = [max(v, 0.0) for v in row] if layer is first else row
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("implementation", ["reference", "fast"])
@pytest.mark.parametrize("n_engineered", [0, 3])
@pytest.mark.parametrize("sequences", ["single", "dual"])
@pytest.mark.parametrize("encoding", ["none", "piecewise"])
def test_it_is_added_to_the_classifiers_logits(sequences, n_engineered, implementation, encoding):
    config = tiny_config(
        sequences, wide_hidden_dim=6, n_engineered_num_features=n_engineered, wide_encoding=encoding
    )
    network = tiny_network(config).double().twin(implementation)
    batch = in_double(ragged_batch(config))
    for numbers in (batch.get("x_num"), batch.get("x_seq_num_cid"), batch.get("x_engineered")):
        if numbers is not None:  # beyond both ends, on an edge, and huge
            numbers[..., 0] *= 20
            numbers[0, ..., 0], numbers[1, ..., 0], numbers[2, ..., 0] = 0.15, -3.0, 1e9
    with torch.no_grad():
        logits, ensemble = network(batch)
        without = network.clf(ensemble)
    current = batch["x_num" if sequences == "single" else "x_seq_num_cid"][:, -1]
    numbers = torch.cat([current, batch["x_engineered"]], dim=1) if n_engineered else current
    torch.testing.assert_close(logits - without, by_hand(network, numbers), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("encoding", ["none", "piecewise"])
def test_fast_equals_reference_in_outputs_and_gradients(encoding):
    config = tiny_config(wide_hidden_dim=6, wide_encoding=encoding)
    network = tiny_network(config).double()
    batch = in_double(ragged_batch(config))
    found = {}
    for name in ("reference", "fast"):
        twin = network.twin(name)
        twin.zero_grad()
        logits = twin(batch)[0]
        (logits * torch.linspace(-1, 1, logits.numel()).view_as(logits)).sum().backward()
        grads = {key: p.grad.clone() for key, p in twin.named_parameters() if p.grad is not None}
        assert grads["wide.0.weight"].abs().max() > 0
        found[name] = logits.detach(), grads
    torch.testing.assert_close(found["fast"], found["reference"], rtol=1e-10, atol=1e-11)


def test_without_it_every_weight_is_what_it_was():
    weights = []
    for width in (0, 6):
        torch.manual_seed(0)
        weights.append(build_network(tiny_config(wide_hidden_dim=width)).state_dict())
    assert [name for name in weights[1] if name not in weights[0]] == [
        f"wide.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")
    ]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
