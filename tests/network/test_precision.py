"""In which dtype a block makes its tokens, and that its parameters' gradients keep their own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tsa_model.network.precision import computed_in, token_dtype

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("dtype", "training", "expected"),
    [
        (torch.float32, True, torch.float64),
        (torch.float32, False, None),
        (torch.float64, True, None),
        (torch.bfloat16, True, None),
    ],
)
def test_only_float32_in_training_is_widened(
    dtype: torch.dtype, training: bool, expected: torch.dtype | None
) -> None:
    assert token_dtype(nn.LayerNorm(4, dtype=dtype).train(training), CPU) == expected


def test_mixed_precision_is_not_widened() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert token_dtype(nn.LayerNorm(4), CPU) is None


def test_a_module_computed_in_float64_leaves_float32_gradients() -> None:
    torch.manual_seed(0)
    module, x = nn.Linear(3, 2), torch.randn(5, 3)
    y = computed_in(torch.float64, module, x)
    assert y.dtype == torch.float64
    y.square().sum().backward()
    twin = nn.Linear(3, 2).double()
    twin.load_state_dict(module.state_dict())
    twin(x.double()).square().sum().backward()
    assert module.weight.dtype == module.weight.grad.dtype == torch.float32
    torch.testing.assert_close(module.weight.grad, twin.weight.grad.float(), rtol=0, atol=0)
