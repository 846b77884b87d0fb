"""Time encoders against the legacy's frozen values and against one coordinate at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from support import golden
from torch import Tensor, nn

from tsa_model.network.forms import CosineTimeEncoding, PeriodicTimeEncoding, TimeEncode, TimeEncoder

ENCODERS = [PeriodicTimeEncoding, TimeEncoder, CosineTimeEncoding]


def by_coordinate(t_BL1: Tensor, dim: int, value: Callable[[float, int], float]) -> Tensor:
    """Reference: fill [L, B, dim] one number at a time."""
    B, L, _ = t_BL1.shape
    out = torch.empty(L, B, dim, dtype=torch.float64)
    for b in range(B):
        for i in range(L):
            for k in range(dim):
                out[i, b, k] = value(t_BL1[b, i, 0].item(), k)
    return out


def times(B: int = 3, L: int = 5) -> Tensor:
    """float64 seconds, 0 in the last row, as preprocessing gives them."""
    t = 1e5 * torch.rand(B, L, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t[:, -1] = 0
    return t


@pytest.mark.parametrize("name", ["TimeEncode", "TimeEncoder"])
def test_encoding_equals_the_legacy(name: str) -> None:
    meta, inputs, outputs = golden.load("components")
    encoder = {"TimeEncode": TimeEncode, "TimeEncoder": TimeEncoder}[name](8)
    encoder.load_state_dict(golden.state_dict(meta["cases"][name]["state"], meta["salt"]))
    t = torch.from_numpy(inputs[f"{name}/t"])
    expected = outputs[f"f64/{name}"]
    actual = encoder.double()(t.double()).detach().numpy()
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-11)
    actual = encoder.float()(t).detach().numpy()
    assert actual.dtype == np.float32
    # The sine of 10^5 has lost five digits in float32: the legacy itself is 0.012 off.
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=0.03)


def test_periodic_encoding_is_linear_first_and_sines_after() -> None:
    encoder = PeriodicTimeEncoding(6).double()
    w, b = encoder.weight[:, 0].tolist(), encoder.emb_tbl_bias.tolist()
    expected = by_coordinate(
        times(), 6, lambda t, k: w[k] * t + b[k] if k == 0 else math.sin(w[k] * t + b[k])
    )
    torch.testing.assert_close(encoder(times()), expected, rtol=1e-12, atol=1e-10)


def test_two_layer_encoding_is_linear_first_and_sines_after() -> None:
    encoder = TimeEncoder(6).double()
    w = encoder.linear.weight[:, 0].tolist() + encoder.periodic.weight[:, 0].tolist()
    b = encoder.linear.bias.tolist() + encoder.periodic.bias.tolist()
    expected = by_coordinate(
        times(), 6, lambda t, k: w[k] * t + b[k] if k == 0 else math.sin(w[k] * t + b[k])
    )
    torch.testing.assert_close(encoder(times()), expected, rtol=1e-12, atol=1e-10)


def test_cosine_encoding_is_the_cosine_of_every_frequency() -> None:
    encoder = CosineTimeEncoding(6).double()
    nn.init.normal_(encoder.phase)
    f, phase = encoder.frequency.tolist(), encoder.phase.tolist()
    expected = by_coordinate(times(), 6, lambda t, k: math.cos(t * f[k] + phase[k]))
    torch.testing.assert_close(encoder(times()), expected, rtol=1e-12, atol=1e-10)


def test_cosine_frequencies_start_between_a_second_and_thirty_years() -> None:
    encoder = CosineTimeEncoding(4)
    torch.testing.assert_close(encoder.frequency.data, torch.tensor([1.0, 1e-3, 1e-6, 1e-9]))
    assert not encoder.phase.any()
    assert torch.equal(encoder(torch.zeros(2, 3, 1)), torch.ones(3, 2, 4))


def test_periodic_parameters_start_within_kaiming_bounds_of_one_input() -> None:
    encoder = PeriodicTimeEncoding(2000)
    for parameter in (encoder.weight, encoder.emb_tbl_bias):
        assert 0.99 < parameter.abs().max() <= 1
        assert abs(parameter.mean()) < 0.1


@pytest.mark.parametrize("encoder", ENCODERS)
def test_gradients_are_derivatives(encoder: type[nn.Module]) -> None:
    module = encoder(4).double()
    t = (times(2, 3) / 1e5).requires_grad_()

    def forward(t: Tensor, *parameters: Tensor) -> Tensor:
        names = [name for name, _ in module.named_parameters()]
        return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (t,))

    assert torch.autograd.gradcheck(forward, (t, *module.parameters()))


def test_a_two_layer_encoding_needs_two_coordinates() -> None:
    with pytest.raises(ValueError, match="time_dim=1"):
        TimeEncoder(1)
