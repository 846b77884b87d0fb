"""Both computations against the legacy's frozen tensors (see tests/golden)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support import golden
from torch import Tensor, nn

from tsa_model import (
    AttentionLayer,
    AttentionLayerPreNorm,
    FeatureAggregation,
    FeatureAttentionModule,
    MixtureOfExperts,
    ModelConfig,
    Network,
    OrderAttentionModule,
    TemporalMultiheadAttention,
    build_network,
    load_legacy_state_dict,
)
from tsa_model.network.blocks import plain_feedforward
from tsa_model.network.fast import products

IMPLEMENTATIONS = ("reference", "fast")
DTYPES = {"f64": torch.float64, "f32": torch.float32}
EVALUATED = [
    "single_moe_time_engineered",
    "single_plain_notime",
    "single_capacity_binds",
    "single_long_deltas",
    "single_causal",
    "single_wide_features",
    "dual_moe",
    "dual_plain_gate_extremes",
]
DIFFERENTIATED = ["single_gradients", "single_gradients_random_policy", "dual_gradients"]
COMPONENTS = sorted(golden.load("components")[0]["cases"])

F32_OF_LARGEST = 2e-5
"""Largest float32 error allowed, relative to the tensor's largest value; the legacy's own is about 1e-6."""
F32_GRADIENT_OF_LEGACY = 5
"""Where the legacy itself is further off, in gradients that are sums which nearly cancel (its worst: 5e-5):
largest float32 error of a gradient, relative to the legacy's own (observed: 3.2 times); for all gradients
together it is twice (observed: 0.7 to 1.2 times)."""


def assert_close(actual: Tensor, expected: np.ndarray, precision: str, rtol: float, atol: float) -> None:
    values = actual.detach().double().numpy()
    if precision == "f64":
        np.testing.assert_allclose(values, expected, rtol=rtol, atol=atol)
    else:
        np.testing.assert_allclose(values, expected, rtol=0, atol=F32_OF_LARGEST * np.abs(expected).max())


def golden_network(
    name: str, implementation: str, dtype: torch.dtype, policy: str = "all", moe_eval: str = "legacy"
) -> tuple[Network, dict[str, Tensor], dict[str, Any], dict[str, np.ndarray]]:
    meta, inputs, outputs = golden.load(name)
    config = ModelConfig(
        sequences=meta["kind"],
        **meta["config"],
        moe_second_policy_train=policy,
        moe_second_policy_eval=policy,
        moe_eval=moe_eval,
    )
    network = build_network(config, implementation).to(dtype)
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    load_legacy_state_dict(network, golden.network_state_dict(meta, shapes, dtype))
    tensors = {key: torch.from_numpy(value) for key, value in inputs.items()}
    batch = {key: x.to(dtype) if x.is_floating_point() else x for key, x in tensors.items()}
    return network, batch, meta, outputs


@pytest.mark.parametrize("name", EVALUATED + DIFFERENTIATED + ["single_trajectory"])
def test_state_dict_has_the_legacys_names_in_its_order_and_its_weight_sum(name: str) -> None:
    network, _, meta, outputs = golden_network(name, "fast", torch.float64)
    assert list(network.state_dict()) == meta["state_names"]
    total = sum(value.abs().sum().item() for value in network.state_dict().values())  # shared: per name
    assert total == pytest.approx(float(outputs["f64/weight_abs_sum"]), rel=1e-12)


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", EVALUATED)
def test_evaluation(name: str, implementation: str, precision: str) -> None:
    _, _, outputs = golden.load(name)
    policies = {key.split("/")[1] for key in outputs if key.endswith("/logits")}
    assert {"all", "deterministic"} <= policies
    for policy in sorted(policies):
        moe_eval = "deterministic" if policy == "deterministic" else "legacy"
        second = "all" if policy == "deterministic" else policy
        network, batch, meta, outputs = golden_network(
            name, implementation, DTYPES[precision], second, moe_eval
        )
        network.eval()
        if policy == "random":
            torch.manual_seed(meta["random_seed"])
        with torch.no_grad():
            logits, ensemble = network(batch)
        # Random policies draw in the run's own precision, so float32 has a truth of its own.
        truth = precision if policy == "random" else "f64"
        assert_close(logits, outputs[f"{truth}/{policy}/logits"], precision, 1e-9, 1e-11)
        assert_close(ensemble, outputs[f"{truth}/{policy}/ensemble"], precision, 1e-9, 1e-11)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", ["dual_moe", "dual_plain_gate_extremes"])
def test_inspect_shows_the_legacys_gate_scores(name: str, implementation: str) -> None:
    network, batch, _, outputs = golden_network(name, implementation, torch.float64)
    details = network.eval().inspect(batch)
    assert_close(details["gate_scores_raw"], outputs["f64/gate_scores_raw"], "f64", 1e-9, 1e-11)


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_gradients(name: str, implementation: str, precision: str) -> None:
    meta, _, _ = golden.load(name)
    policy = "random" if meta["random_seed"] is not None else "all"
    network, batch, _, outputs = golden_network(name, implementation, DTYPES[precision], policy)
    network.train()
    if policy == "random":
        torch.manual_seed(meta["random_seed"])
    logits, _ = network(batch)
    loss = nn.functional.cross_entropy(logits, batch["label"], reduction="sum")
    loss.backward()
    truth = precision if policy == "random" else "f64"
    assert_close(logits, outputs[f"{truth}/train/logits"], precision, 1e-9, 1e-11)
    assert_close(loss, outputs[f"{truth}/train/loss"], precision, 1e-9, 1e-11)
    untouched = {key for key, p in network.named_parameters() if p.grad is None}
    assert untouched == set(outputs[f"{precision}/train/params_without_grad"])
    own = legacys = 0.0
    for key, parameter in network.named_parameters():
        if parameter.grad is None:
            continue
        expected = outputs[f"f64/train/grad/{key}"]
        if precision == "f64" or policy == "random":
            expected = outputs[f"{precision}/train/grad/{key}"]
        if precision == "f64":
            assert_close(parameter.grad, expected, precision, 1e-8, 1e-10)
            continue
        error = np.abs(parameter.grad.double().numpy() - expected).max()
        legacy_error = np.abs(outputs[f"f32/train/grad/{key}"].astype(np.float64) - expected).max()
        own, legacys = own + error, legacys + legacy_error
        bound = max(F32_OF_LARGEST * np.abs(expected).max(), F32_GRADIENT_OF_LEGACY * legacy_error)
        assert error <= bound, f"{key}: {error:.3g} > {bound:.3g}"
    assert own <= 2 * legacys or policy == "random"


@pytest.fixture
def every_product_by_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The golden networks' matrices are too small for it otherwise."""
    monkeypatch.setattr(products, "LEAST_MULTIPLICATIONS", 1)


@pytest.mark.usefixtures("every_product_by_onednn")
@pytest.mark.parametrize("name", EVALUATED)
def test_evaluation_by_onednn(name: str) -> None:
    test_evaluation(name, "fast", "f32")


@pytest.mark.usefixtures("every_product_by_onednn")
@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_gradients_by_onednn(name: str) -> None:
    test_gradients(name, "fast", "f32")


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_twenty_adam_steps(implementation: str) -> None:
    # float64 only: in float32 a routing decision near a tie makes even two runs of one program part ways.
    network, batch, meta, outputs = golden_network("single_trajectory", implementation, torch.float64)
    network.train()
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=1e-3)
    losses = []
    for _ in range(meta["steps"]):
        optimizer.zero_grad()
        logits, _ = network(batch)
        loss = nn.functional.cross_entropy(logits, batch["label"])
        losses.append(loss.detach())
        loss.backward()
        optimizer.step()
    assert len(losses) == 20
    assert_close(torch.stack(losses), outputs["f64/steps/loss"], "f64", 1e-8, 1e-10)
    assert_close(network.eval()(batch)[0], outputs["f64/steps/logits"], "f64", 1e-8, 1e-10)


def _mixture(dim: int, implementation: str, policy: str, hidden: int, experts: int) -> MixtureOfExperts:
    return MixtureOfExperts(dim, experts, hidden, policy, policy, implementation=implementation)


def _layers(kind: type, dim: int, heads: int, n: int, moe: bool, implementation: str) -> list[Any]:
    return [
        kind(
            dim,
            heads,
            _mixture(dim, implementation, "all", 12, 3) if moe else plain_feedforward(dim, 12, 0.0),
            implementation=implementation,
        )
        for _ in range(n)
    ]


def _component(name: str, state: dict[str, list[int]], implementation: str) -> nn.Module:
    """The block a golden case was computed with, sizes read from its parameters' shapes."""
    kind, *rest = name.split("_")
    if kind == "FeatureAggregation":
        return FeatureAggregation(int(rest[0]), implementation)
    if kind == "MoE":
        return _mixture(8, implementation, rest[0], hidden=6, experts=5)
    if kind == "TemporalMultiheadAttention":
        return TemporalMultiheadAttention(8, int(rest[0][1:]), implementation=implementation)
    if kind in ("AttentionLayer", "AttentionLayerPreNorm"):
        layer_kind = AttentionLayer if kind == "AttentionLayer" else AttentionLayerPreNorm
        return _layers(layer_kind, 8, int(rest[0][1:]), 1, rest[1] == "moe1", implementation)[0]
    table = nn.Embedding(*state["embedding.weight"], padding_idx=0)
    if kind == "OrderAttentionLayer":
        return OrderAttentionModule(
            table,
            33,
            _layers(AttentionLayer, 16, 2, 2, True, implementation),
            FeatureAggregation(35, implementation),
            FeatureAggregation(33, implementation),
            bias_rows=68,
            return_seq=name.endswith("seq1"),
            implementation=implementation,
        )
    return FeatureAttentionModule(
        table,
        nn.Embedding(*state["embedding_engineered.weight"], padding_idx=0),
        35,
        33,
        _layers(AttentionLayerPreNorm, 8, 2, 2, True, implementation),
        implementation=implementation,
    )


_ARGUMENTS = {
    "TemporalMultiheadAttention": ("x", "time", "key_padding_mask", "attn_mask"),
    "AttentionLayer": ("x", "time", "key_padding_mask", "attn_mask"),
    "OrderAttentionLayer": ("x_cat", "x_num", "time_seq", "key_padding_mask"),
    "FeatureAttentionLayer": ("x_cat", "x_num", "x_engineered"),
}


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", [name for name in COMPONENTS if not name.startswith(("Time", "compute_FM"))])
def test_component(name: str, implementation: str, precision: str) -> None:
    meta, inputs, outputs = golden.load("components")
    case = meta["cases"][name]
    block = _component(name, case["state"], implementation)
    shapes = {key: tuple(value.shape) for key, value in block.state_dict().items()}
    assert shapes == {key: tuple(shape) for key, shape in case["state"].items()}
    block.load_state_dict(golden.state_dict(shapes, meta["salt"]))
    block = block.to(DTYPES[precision]).train(case["train"])
    own = {key.split("/")[1]: value for key, value in inputs.items() if key.split("/")[0] == name}
    tensors = {key: torch.from_numpy(value) for key, value in own.items()}
    tensors = {k: x.to(DTYPES[precision]) if x.is_floating_point() else x for k, x in tensors.items()}
    names = _ARGUMENTS.get(name.split("_")[0], ("x",))
    assert set(tensors) <= set(names)
    if name.endswith("time0"):  # the legacy is handed the time and ignores it, here it is not handed over
        del tensors["time"]
    if case["seed"] is not None:
        torch.manual_seed(case["seed"])
    with torch.no_grad():
        actual = block(*(tensors.get(key) for key in names))
    truth = precision if "random" in name else "f64"
    expected = outputs[f"{truth}/{name}"]
    undefined = np.isnan(expected)  # the legacy gives NaN where all keys of a query are masked
    np.testing.assert_array_equal(np.isnan(actual.numpy()), undefined)
    assert_close(actual[~torch.from_numpy(undefined)], expected[~undefined], precision, 1e-9, 1e-11)
