"""Matrix products of any size are torch's, whoever computes them."""

from __future__ import annotations

import pytest
import torch

from tsa_model.network.fast import products
from tsa_model.network.fast.products import add_product, product, relu_of_product, with_padding

LARGE = (1024, 128, 256)
SMALL = (5, 128, 256)


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
    shapes = (n, K), (K, M), (M,), (n, M)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def of_all_kinds(x, w, bias, total):
    sums = total.clone()
    add_product(sums, x, w)
    return [product(x, w), product(x, w, bias), relu_of_product(x, w), sums]


@pytest.mark.parametrize("sizes", [LARGE, SMALL])
def test_products_are_those_of_float64(sizes, asked):
    single = of_all_kinds(*matrices(*sizes))
    assert asked == ([sizes] * 4 if sizes is LARGE else [])
    double = of_all_kinds(*matrices(*sizes, torch.float64))
    assert len(asked) == (4 if sizes is LARGE else 0)
    for found, expected in zip(single, double, strict=True):
        assert found.dtype == torch.float32
        assert expected.dtype == torch.float64
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5 * expected.abs().max())


def test_transposed_matrices_and_parts_of_larger_ones(asked):
    x, w, _, grad = matrices(*LARGE)
    wide = torch.nn.functional.pad(x, (3, 3, 3, 3))[3:-3, 3:-3]
    pairs = [(grad.t(), x), (x.t(), grad), (grad, w.t()), (wide, w)]
    for left, right in pairs:
        expected = left.double() @ right.double()
        torch.testing.assert_close(
            product(left, right).double(), expected, rtol=0, atol=2e-5 * expected.abs().max()
        )
    assert len(asked) == len(pairs)


def test_narrow_matrices_are_torchs_where_the_number_of_tokens_varies(asked):
    x, w, _, _ = matrices(16384, 64, 64)
    torch.testing.assert_close(product(x, w, varies=True), x @ w)
    assert asked == []
    product(x, w)
    assert len(asked) == 1


def test_numbers_of_many_tokens_repeat():
    wide, narrow = torch.empty(128, 64), torch.empty(64, 64)
    assert len(with_padding(torch.arange(500), wide)) == 500
    assert len(with_padding(torch.arange(5000), narrow)) == 5000
    lengths = {len(with_padding(torch.arange(n), wide)) for n in range(512, 8192, 7)}
    assert len(lengths) <= 4 * 8 + 1
    padded = with_padding(torch.arange(1000, 1600), wide)
    assert padded[:600].tolist() == list(range(1000, 1600))
    assert padded[600:].tolist() == [0] * 40
