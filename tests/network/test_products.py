"""Matrix products of any size are torch's, whoever computes them."""

from __future__ import annotations

import pytest
import torch

from tsa_model.network.fast import products
from tsa_model.network.fast.products import add_gradient, add_product, product

LARGE, SMALL = (1300, 128, 256), (5, 128, 256)


@pytest.fixture
def asked(monkeypatch):
    """Every size that oneDNN computes."""
    sizes, onednn = [], products._onednn

    def ask(x, w, *others):
        sizes.append((*x.shape, len(w)))
        return onednn(x, w, *others)

    monkeypatch.setattr(products, "_onednn", ask)
    return sizes


def matrices(n, K, M, dtype=torch.float32):
    generator = torch.Generator().manual_seed(n)
    shapes = (n, K), (K, M), (M,), (n, M), (K, M)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def of_all_kinds(x, w, bias, tokens, weights):
    sums, gradient, place = tokens.clone(), weights.clone(), torch.full_like(tokens, torch.nan)
    add_product(sums, x, w)
    add_gradient(gradient, x, tokens)
    assert product(x, w, bias, out=place) is place
    return [product(x, w), product(x, w, bias), sums, gradient, place]


@pytest.mark.parametrize("sizes", [LARGE, SMALL])
def test_products_are_those_of_float64(sizes, asked):
    x, w, bias, tokens, weights = matrices(*sizes, torch.float64)
    expected = [
        x @ w,
        x @ w + bias,
        tokens + x @ w,
        weights + x.t() @ tokens,
        x @ w + bias,
    ]
    for found, exact in zip(of_all_kinds(*matrices(*sizes)), expected, strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), exact, rtol=0, atol=2e-5 * exact.abs().max())
    assert bool(asked) == (sizes is LARGE)
    n_asked = len(asked)
    for found, exact in zip(of_all_kinds(x, w, bias, tokens, weights), expected, strict=True):
        torch.testing.assert_close(found, exact)
    assert len(asked) == n_asked  # float64 is torch's alone


def test_transposed_weights_and_parts_of_larger_tensors(asked):
    x, w, _, grad, _ = matrices(*LARGE)
    wide = torch.nn.functional.pad(x, (3, 3, 3, 3))[3:-3, 3:-3]
    for left, right in [(grad, w.t()), (wide, w)]:
        exact = left.double() @ right.double()
        torch.testing.assert_close(
            product(left, right).double(), exact, rtol=0, atol=2e-5 * exact.abs().max()
        )
    assert asked


def test_sizes_are_few_whatever_the_number_of_tokens(asked):
    w, x = torch.randn(128, 256), torch.randn(4000, 128)
    for n in range(0, 4000, 97):
        product(x[:n], w)
    assert {size[0] for size in asked} == {1024, 512, 256}
    asked.clear()
    product(x[:1000], w)
    assert [size[0] for size in asked] == [512, 256]  # and 232 tokens by torch


def test_narrow_matrices_are_torchs(asked):
    x, w, *_ = matrices(16384, 64, 64)
    torch.testing.assert_close(product(x, w), x @ w)
    assert asked == []


def test_a_weight_that_is_no_number_shows_in_every_token(asked):
    x, w, bias, *_ = matrices(*LARGE)
    w[3, 5] = torch.nan
    assert product(x, w, bias)[:, 5].isnan().all()
    assert asked
