"""Orders that come several times are made into a token once: the same numbers, and the same gradients."""

from __future__ import annotations

import pytest
import torch
from support.batches import outputs_and_gradients, ragged_batch, randomised, tiny_config
from torch import Tensor

from tsa_model import build_network
from tsa_model.network.fast import distinct, order_attention
from tsa_model.network.fast.distinct import FEWEST, distinct_orders


def some_orders(n: int, n_kinds: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    kind = torch.randint(0, n_kinds, (n,), generator=generator)
    x_cat, x_num = (
        torch.randint(0, 3, (n_kinds, 2), generator=generator),
        torch.rand(n_kinds, 3, generator=generator),
    )
    return x_cat[kind], x_num[kind]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_every_order_is_found_among_the_distinct_ones(dtype: torch.dtype) -> None:
    x_cat, x_num = some_orders(1000, 70)
    x_num = x_num.to(dtype)
    found = distinct_orders(x_cat, x_num)
    assert found is not None
    first, which = found
    rows = {(*a, *b) for a, b in zip(x_cat.tolist(), x_num.tolist(), strict=True)}
    assert len(first) == len(rows)
    assert torch.equal(x_cat[first][which], x_cat)
    assert torch.equal(x_num[first][which], x_num)


def test_nothing_is_looked_for_where_nothing_is_gained() -> None:
    x_cat, x_num = some_orders(FEWEST, 5)
    assert distinct_orders(x_cat[1:], x_num[1:]) is None
    assert distinct_orders(x_cat, x_num.clone().requires_grad_()) is None
    assert distinct_orders(x_cat, torch.arange(3.0 * FEWEST).view(-1, 3)) is None


def test_orders_with_one_sum_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    x_cat, x_num = some_orders(1000, 70)
    monkeypatch.setattr(distinct, "_factors", lambda n: torch.zeros(n, dtype=torch.long))
    assert distinct_orders(x_cat, x_num) is None


@pytest.mark.parametrize("sequences", ["single", "dual"])
@pytest.mark.parametrize("training", [False, True])
def test_overlapping_histories(sequences: str, training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config(sequences, seq_len=20)
    batch = ragged_batch(config, 40, seed=3)
    batch = {name: x[torch.arange(80) % 40] for name, x in batch.items()}
    batch = {name: x.double() if x.is_floating_point() else x for name, x in batch.items()}
    found = []

    def watched(*orders: Tensor) -> tuple[Tensor, Tensor] | None:
        found.append(distinct_orders(*orders))
        return found[-1]

    monkeypatch.setattr(order_attention, "distinct_orders", watched)
    reference = randomised(build_network(config, "reference")).double().train(training)
    results = []
    for network in (reference, reference.twin("fast").train(training)):
        results.append(outputs_and_gradients(network, batch))
    torch.testing.assert_close(results[1], results[0], rtol=1e-10, atol=1e-12)
    assert found
    assert all(each is not None and 2 * len(each[0]) <= len(each[1]) for each in found)
