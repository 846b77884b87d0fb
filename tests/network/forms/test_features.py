"""Feature aggregations and factorisation-machine interactions against loops over numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import golden
from torch import Tensor, nn

from tsa_model.network.forms import FeatureAggregationLinear, FeatureAggregationReLU, compute_fm_parallel

AGGREGATIONS = [FeatureAggregationReLU, FeatureAggregationLinear]


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def layer_by_layer(values: list[float], layers: list[nn.Linear], relu: bool) -> float:
    """Reference: one list of numbers through linear layers, one product at a time."""
    for i, layer in enumerate(layers):
        rows, biases = layer.weight.tolist(), layer.bias.tolist()
        values = [
            sum(w * v for w, v in zip(row, values, strict=True)) + bias
            for row, bias in zip(rows, biases, strict=True)
        ]
        if relu and i < len(layers) - 1:
            values = [max(v, 0.0) for v in values]
    (value,) = values
    return value


@pytest.mark.parametrize(
    ("n_features", "widths"),
    [(1, [1, 1]), (2, [2, 1, 1]), (11, [11, 5, 2, 1, 1]), (53, [53, 26, 13, 6, 3, 1, 1])],
)
def test_relu_aggregation_halves_to_one_and_ends_linearly(n_features: int, widths: list[int]) -> None:
    torch.manual_seed(0)
    aggregation = FeatureAggregationReLU(n_features).double()
    layers = [layer for layer in aggregation.encoder if isinstance(layer, nn.Linear)]
    assert [layer.in_features for layer in layers] + [layers[-1].out_features] == widths
    for layer in layers:  # positive enough that the signal survives every ReLU somewhere
        nn.init.uniform_(layer.weight, -0.5, 1.0)
    x = normal(2, 3, 4, n_features)
    y = aggregation(x)
    assert y.shape == (2, 3, 4, 1)
    assert y.unique().numel() > 4
    expected = [layer_by_layer(row, layers, relu=True) for row in x.reshape(-1, n_features).tolist()]
    torch.testing.assert_close(
        y.flatten(), torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("n_features", [1, 47])
def test_linear_aggregation_is_one_weighted_sum(n_features: int) -> None:
    aggregation = FeatureAggregationLinear(n_features).double()
    x = normal(2, 3, 4, n_features)
    expected = [
        layer_by_layer(row, [aggregation.encoder], relu=False) for row in x.reshape(-1, n_features).tolist()
    ]
    y = aggregation(x)
    assert y.shape == (2, 3, 4, 1)
    torch.testing.assert_close(
        y.flatten(), torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_gradients_are_derivatives(aggregation: type[nn.Module]) -> None:
    torch.manual_seed(3)
    module = aggregation(5).double()

    def forward(x: Tensor, *parameters: Tensor) -> Tensor:
        names = [name for name, _ in module.named_parameters()]
        return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(forward, (normal(3, 5).requires_grad_(), *module.parameters()))


def test_interactions_equal_the_legacy() -> None:
    _, inputs, outputs = golden.load("components")
    v = torch.from_numpy(inputs["compute_FM_parallel/x"])
    expected = outputs["f64/compute_FM_parallel"]
    np.testing.assert_allclose(compute_fm_parallel(v.double()).numpy(), expected, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(
        compute_fm_parallel(v).numpy(), expected, rtol=0, atol=2e-5 * abs(expected).max()
    )


def test_interactions_are_the_sum_over_pairs_of_features() -> None:
    v = normal(2, 5, 3)
    expected = torch.zeros(2, 3, dtype=torch.float64)
    for i in range(5):
        for j in range(i + 1, 5):
            expected += v[:, i] * v[:, j]
    torch.testing.assert_close(compute_fm_parallel(v), expected, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(compute_fm_parallel, v.requires_grad_())


def test_one_feature_has_no_interaction() -> None:
    assert not compute_fm_parallel(normal(4, 1, 3)).any()
