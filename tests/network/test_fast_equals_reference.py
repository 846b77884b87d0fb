"""The fast computation against the plain one, over the same parameters and the same random draws."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from support.batches import edge_batch, ragged_batch, randomised, tiny_config
from torch import Tensor, nn

from tsa_model import (
    AttentionLayer,
    AttentionLayerPreNorm,
    Network,
    TemporalMultiheadAttention,
    build_network,
)
from tsa_model.network.blocks import plain_feedforward
from tsa_model.network.fast import pieces
from tsa_model.network.fast.form import fast_in_pieces
from tsa_model.network.fast.pieces import PieceSizes
from tsa_model.settings.presets import PRESETS

CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "legacy_random": {"moe_eval": "legacy"},
    "legacy_threshold": {
        "moe_eval": "legacy",
        "moe_second_policy_eval": "threshold",
        "moe_second_policy_train": "threshold",
    },
    "four_heads": {"num_heads": 4},
    "one_head_folds": {"num_heads": 1, "dim_embedding_table": 4},
    "one_layer": {"n_layers_order": 1, "n_layers_feature": 1, "gate_layers": 2},
    "no_moe": {"use_moe": False},
    "no_time": {"use_time_seq": False, "gate_use_time_seq": True},
    "no_engineered_no_bias": {"n_engineered_num_features": 0, "emb_tbl_use_bias": False},
    "gate_with_moe": {"gate_use_moe": True},
    "wide_features": {"n_cat_features": 109, "n_num_features": 67, "n_embedding": 300},
}
NETWORKS = [(sequences, case) for sequences in ("single", "dual") for case in CASES]
ids = [f"{sequences}-{case}" for sequences, case in NETWORKS]


def both(sequences: str, case: dict[str, Any], dtype: torch.dtype) -> tuple[Network, Network]:
    # Aggregation halves its width five times: fewer than 32 features would leave it nothing to say.
    sizes = {"n_cat_features": 35, "n_num_features": 33, "n_embedding": 120}
    config = tiny_config(sequences, **{**sizes, **case})
    fast = randomised(build_network(config, "fast")).to(dtype)
    return fast.twin("reference"), fast


def to(batch: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {k: x.to(dtype) if x.is_floating_point() else x for k, x in batch.items()}


def forward(network: Network, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    torch.manual_seed(3)
    return network(batch)


def logits_in_pieces(network: Network, batch: dict[str, Tensor], rows: int = 64) -> Tensor:
    pieces = zip(*(x.split(rows) for x in batch.values()), strict=True)
    return torch.cat([network.eval()(dict(zip(batch, piece, strict=True)))[0] for piece in pieces])


def gradients(network: Network, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return gradients_of(network, batch, *forward(network, batch))


def gradients_of(
    network: Network, batch: dict[str, Tensor], logits: Tensor, ensemble: Tensor
) -> dict[str, Tensor]:
    network.zero_grad()
    (nn.functional.cross_entropy(logits, batch["label"]) + ensemble.square().mean()).backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("sequences", "case"), NETWORKS, ids=ids)
def test_outputs_and_gradients_in_float64(sequences: str, case: str) -> None:
    reference, fast = both(sequences, CASES[case], torch.float64)
    for batch in (ragged_batch(fast.config, 40), edge_batch(fast.config)[0]):
        batch = to(batch, torch.float64)
        for training in (False, True):
            expected = forward(reference.train(training), batch)
            actual = forward(fast.train(training), batch)
            torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)
            with torch.no_grad():  # then the fast form adds in place
                in_place = forward(fast, batch)
            torch.testing.assert_close(in_place, expected, rtol=1e-10, atol=1e-12)
        expected_gradients = gradients_of(reference, batch, *expected)
        assert len(expected_gradients) > 20
        actual_gradients = gradients_of(fast, batch, *actual)
        torch.testing.assert_close(actual_gradients, expected_gradients, rtol=1e-10, atol=1e-12)


# Under the random policy float32 draws other numbers than float64: there is no common truth to measure by.
@pytest.mark.parametrize("case", [case for case in CASES if case != "legacy_random"])
@pytest.mark.parametrize("sequences", ["single", "dual"])
def test_float32_error_is_at_most_twice_the_references(sequences: str, case: str) -> None:
    reference, fast = both(sequences, CASES[case], torch.float32)
    truth = copy.deepcopy(reference).double()
    batch = ragged_batch(fast.config, 192)
    # The plain mixture's work grows with the square of the rows of a call.
    with torch.no_grad():
        exact = logits_in_pieces(truth, to(batch, torch.float64))
        errors = [(logits_in_pieces(network, batch) - exact).abs() for network in (reference, fast)]
    # The largest of some hundred rounding errors is luck on both sides; their norm is not.
    assert errors[1].mean() <= 2 * errors[0].mean()
    assert errors[1].norm() <= 2 * errors[0].norm()


@pytest.mark.parametrize("sequences", ["single", "dual"])
@pytest.mark.parametrize("preset", PRESETS)
def test_other_written_forms(preset: str, sequences: str) -> None:
    reference, fast = both(sequences, dict(PRESETS[preset]), torch.float64)
    batch = to(ragged_batch(fast.config, 12), torch.float64)
    expected, actual = forward(reference.eval(), batch), forward(fast.eval(), batch)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(forward(fast, batch), expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradients(fast, batch), gradients(reference, batch), rtol=1e-10, atol=1e-12)


def test_the_mlp_branch() -> None:
    reference, fast = both("single", {"use_mlp": True}, torch.float64)
    batch = to(ragged_batch(fast.config, 12), torch.float64)
    torch.testing.assert_close(forward(fast.eval(), batch), forward(reference.eval(), batch))
    without = {key: value for key, value in batch.items() if key != "x_engineered"}
    with pytest.raises(ValueError, match="x_engineered"):
        fast(without)


@pytest.mark.parametrize("at_once", [1, 3])
def test_small_pieces_give_the_same_numbers(at_once: int) -> None:
    reference, fast = both("dual", {"moe_eval": "legacy"}, torch.float64)
    batch = to(ragged_batch(fast.config, 33), torch.float64)
    expected = gradients(reference, batch)
    sizes = PieceSizes(activation_bytes=4096, aggregation_elements=200, at_once=at_once)
    cut = fast.twin(fast_in_pieces(sizes))
    torch.testing.assert_close(gradients(cut, batch), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("rows", [1, 7])
def test_a_layer_leaves_its_input_alone(rows: int) -> None:
    x = torch.randn(40, rows, 8, dtype=torch.float64)
    before = x.clone()
    for kind in (AttentionLayer, AttentionLayerPreNorm):
        layer = kind(8, 1, plain_feedforward(8, 16, 0.0), implementation="fast").double().eval()
        with torch.no_grad():
            layer(x)
        torch.testing.assert_close(x, before, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["dropout1", "dropout2"])
def test_a_dropout_that_is_switched_on_alone_drops(name: str) -> None:
    layer = AttentionLayer(8, 1, plain_feedforward(8, 16, 0.0), dropout=0.5, implementation="fast").eval()
    layer.get_submodule(name).train()
    x = torch.randn(40, 7, 8)
    with torch.no_grad():
        assert not torch.equal(layer(x), layer(x))


def test_a_piece_is_trimmed_only_where_all_its_rows_are_empty() -> None:
    padding = torch.ones(5, 6, dtype=torch.bool)
    for row, first in enumerate([4, 0, 5, 2, 4]):
        padding[row, first:] = False
    rows = pieces.split_by_length(padding, size=2)
    assert [piece.start for piece in rows] == [0, 4, 5]
    assert sorted(torch.cat([piece.index for piece in rows]).tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("timed", [False, True])
def test_folded_attention_drops_the_same_weights(timed: bool) -> None:
    torch.manual_seed(0)
    reference = TemporalMultiheadAttention(4, 1, dropout=0.4).double()
    nn.init.normal_(reference.in_proj_bias)
    fast = TemporalMultiheadAttention(4, 1, dropout=0.4, implementation="fast").double()
    fast.load_state_dict(reference.state_dict())
    x = torch.randn(7, 6, 4, dtype=torch.float64)
    time = torch.rand(7, 6, 1, dtype=torch.float64) * 1e7 if timed else None
    results = []
    for block in (reference, fast):
        torch.manual_seed(5)
        own_x = x.clone().requires_grad_()
        y = block(own_x, time)
        y.square().sum().backward()
        parameters = [p.grad for p in block.parameters()]
        results.append([y, own_x.grad, *parameters])
    torch.testing.assert_close(results[1], results[0], rtol=1e-10, atol=1e-12)


def test_gradients_of_the_inputs() -> None:
    reference, fast = both("single", {"num_heads": 1}, torch.float64)
    batch = to(ragged_batch(fast.config, 10), torch.float64)
    results = []
    for network in (reference, fast):
        inputs = batch["x_num"].clone().requires_grad_()
        network.eval()({**batch, "x_num": inputs})[0].square().sum().backward()
        results.append(inputs.grad)
    assert results[0].abs().max() > 0
    torch.testing.assert_close(results[1], results[0], rtol=1e-10, atol=1e-14)


@pytest.mark.gpu
@pytest.mark.parametrize("sequences", ["single", "dual"])
def test_on_the_gpu_float32_equals_the_cpu(sequences: str) -> None:
    _, fast = both(sequences, {"num_heads": 1}, torch.float32)
    batch = ragged_batch(fast.config, 64)
    with torch.no_grad():
        expected, _ = fast.eval()(batch)
        actual, _ = fast.cuda()({key: value.cuda() for key, value in batch.items()})
    torch.testing.assert_close(actual.cpu(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("sequences", ["single", "dual"])
def test_on_the_gpu_bf16_autocast_trains(sequences: str) -> None:
    _, fast = both(sequences, {"num_heads": 1, "use_moe": False}, torch.float32)
    batch = {key: value.cuda() for key, value in ragged_batch(fast.config, 64).items()}
    exact = gradients(fast.cuda().eval(), batch)
    with torch.autocast("cuda", torch.bfloat16):
        lowered = gradients(fast, batch)
    assert lowered.keys() == exact.keys()
    total = torch.cat([exact[name].flatten() for name in exact])
    difference = torch.cat([(lowered[name] - exact[name]).flatten() for name in exact])
    assert difference.norm() <= 0.1 * total.norm()
