"""The losses against the legacy's frozen values, against definitions written out, and at their extremes."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
import torch
from support import golden
from torch import Tensor, nn
from torch.nn.functional import one_hot

from tsa_model.equivalence.checks.plain_losses import FORMULAS
from tsa_model.losses import (
    LOSSES,
    AsymmetricLoss,
    AsymmetricLossOptimized,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    CyclicalFocalLoss,
    binary_focal_loss_with_logits,
    compute_loss,
    create_loss_function,
    focal_loss,
    prepare_target,
)
from tsa_model.settings.losses import LOSS_PARAMETERS

META, INPUTS, OUTPUTS = golden.load("losses")
DTYPES = {"f32": torch.float32, "f64": torch.float64}
CLASS_LOSSES = [name for name, loss in LOSSES.items() if loss.target_kind == "class_index"]
LABEL_LOSSES = [name for name, loss in LOSSES.items() if loss.target_kind == "multi_label"]

# Exponents below 1 have an infinite slope at 0; parameters under which a careless power gives NaN.
STEEP = {
    "FocalLoss": {"gamma": 0.5},
    "BinaryFocalLossWithLogits": {"gamma": 0.5},
    "AsymmetricLoss": {"gamma_neg": 0.5, "gamma_pos": 0.5, "disable_torch_grad_focal_loss": False},
    "AsymmetricLossOptimized": {"gamma_neg": 0.5, "gamma_pos": 0.5},
    "ASLSingleLabel": {"gamma_neg": 0.5, "gamma_pos": 0.5},
    "CyclicalFocalLoss": {"gamma_neg": 0.5, "gamma_pos": 0.5, "gamma_hc": 0.5},
    "ASLFocalLoss": {"gamma": 0.5},
    "FocalCrossEntropyLoss": {"gamma": 0.5},
    "SteppedCyclicalFocalLoss": {"gamma_min": 0.5, "gamma_max": 0.5},
}
# By default the asymmetric loss holds its weight constant in the gradient, which is then no derivative.
DIFFERENTIABLE = {"AsymmetricLoss": {"disable_torch_grad_focal_loss": False}}


def random_case(name: str, seed: int = 0, n: int = 12, n_classes: int = 3) -> tuple[Tensor, Tensor]:
    """float64 logits that want a gradient, and targets of the kind the loss takes."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, n_classes, dtype=torch.float64, generator=generator)
    if name in CLASS_LOSSES:
        target = torch.randint(n_classes, (n,), generator=generator)
    else:
        target = torch.randint(2, (n, n_classes), generator=generator).double()
    return logits.requires_grad_(), target


def call(loss: nn.Module, logits: Tensor, target: Tensor, epoch: int = 3) -> Tensor:
    return loss(logits, target, epoch) if isinstance(loss, CyclicalFocalLoss) else loss(logits, target)


def parse(description: str) -> tuple[str, dict[str, object], dict[str, int]]:
    """`Name a=1 b=mean epoch=3 note` → name, constructor arguments, call arguments."""
    name, *words = description.split()
    arguments: dict[str, object] = {}
    for word in words:
        key, separator, text = word.partition("=")
        if separator:
            literals = {"True": True, "False": False, "mean": "mean", "sum": "sum", "none": "none"}
            arguments[key] = literals[text] if text in literals else float(text)
    epoch = {"epoch": int(arguments.pop("epoch"))} if "epoch" in arguments else {}
    return name, arguments, epoch


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", META["cases"], ids=lambda case: f"{case['index']}-{case['call'].split()[0]}")
def test_value_and_gradient_equal_the_legacy(case: dict[str, object], dtype: str) -> None:
    name, arguments, epoch = parse(case["call"])
    logits = torch.from_numpy(INPUTS[f"{case['inputs']}/logits"]).to(DTYPES[dtype]).requires_grad_()
    target = torch.from_numpy(INPUTS[f"{case['inputs']}/target"])
    target = target.to(DTYPES[dtype]) if target.is_floating_point() else target
    value = create_loss_function(name, **arguments)(logits, target, **epoch)
    value.sum().backward()
    for what, actual in (("value", value.detach()), ("grad", logits.grad)):
        expected = OUTPUTS[f"f64/{case['index']}/{what}"]
        assert actual.shape == expected.shape
        if dtype == "f64":
            np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-9, atol=1e-11)
        else:  # rounding of float32, seen up to 4e-7 of the largest value
            np.testing.assert_allclose(actual.numpy(), expected, rtol=0, atol=2e-5 * abs(expected).max())


def test_cross_entropy_is_minus_log_softmax_of_the_class() -> None:
    logits, target = random_case("CrossEntropyLoss")
    rows = [
        math.log(sum(math.exp(x) for x in row)) - row[y]
        for row, y in zip(logits.tolist(), target.tolist(), strict=True)
    ]
    assert CrossEntropyLoss()(logits, target).item() == pytest.approx(np.mean(rows), rel=1e-12)
    weight = [1.0, 2.0, 5.0]
    weighted = sum(weight[y] * row for y, row in zip(target.tolist(), rows, strict=True))
    weighted /= sum(weight[y] for y in target.tolist())
    loss = CrossEntropyLoss(weight=weight).double()
    assert loss(logits, target).item() == pytest.approx(weighted, rel=1e-12)


def test_binary_cross_entropy_is_the_log_likelihood_of_independent_decisions() -> None:
    logits, target = random_case("BCEWithLogitsLoss")
    terms = [
        (3.0 if y else 1.0) * math.log1p(math.exp(-x if y else x))
        for x, y in zip(logits.flatten().tolist(), target.flatten().tolist(), strict=True)
    ]
    loss = BCEWithLogitsLoss(pos_weight=3.0, reduction="sum").double()
    assert loss(logits, target).item() == pytest.approx(sum(terms), rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_the_derivative_of_the_value(name: str) -> None:
    logits, target = random_case(name, seed=1, n=4)
    loss = create_loss_function(name, **DIFFERENTIABLE.get(name, {})).eval()
    assert torch.autograd.gradcheck(lambda x: call(loss, x, target), logits)


@pytest.mark.parametrize("steep", [False, True], ids=["default", "steep"])
@pytest.mark.parametrize(
    ("name", "dtype"),
    # PyTorch's own two compute in the logits' precision, where 3e4 overflows half.
    [(name, dtype) for name in LOSSES for dtype in (torch.float32, torch.float64)]
    + [(name, torch.float16) for name in STEEP],
    ids=str,
)
def test_extreme_logits_give_finite_values_and_gradients(name: str, dtype: torch.dtype, steep: bool) -> None:
    loss = create_loss_function(name, **(STEEP.get(name, {}) if steep else {}))
    levels = [0.0, 20.0, 90.0, 3e4]
    rows = [[sign * a, b] for a in levels for b in levels for sign in (-1.0, 1.0)]
    # Every pair of levels with every label, both as classes and as independent decisions.
    x = torch.tensor(rows + rows, dtype=dtype).requires_grad_()
    label = torch.arange(2).repeat_interleave(len(rows))
    target = label if name in CLASS_LOSSES else one_hot(label, 2).to(dtype)
    value = call(loss, x, target)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_logits_are_judged_in_float32(name: str, n_classes: int) -> None:
    logits = torch.tensor([[3e4, -3e4, 0.1], [-9.0, 0.2, 3.0]], dtype=torch.float16)[:, :n_classes]
    label = torch.tensor([1, 1])
    half, single = (compute_loss(create_loss_function(name), x, label) for x in (logits, logits.float()))
    assert half.dtype == torch.float32
    assert half.item() == single.item() < math.inf


@pytest.mark.parametrize("name", ["FocalLoss", "ASLSingleLabel", "ASLFocalLoss", "FocalCrossEntropyLoss"])
def test_a_confident_mistake_still_pulls(name: str) -> None:
    x = torch.tensor([[60.0, -60.0]], requires_grad=True)
    call(create_loss_function(name), x, torch.tensor([1])).backward()
    assert x.grad[0, 1] < 0 < x.grad[0, 0]


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_trains_a_classifier_from_labels(name: str, n_classes: int) -> None:
    generator = torch.Generator().manual_seed(5)
    label = torch.arange(120) % n_classes
    x = one_hot(label, n_classes) + 0.3 * torch.randn(120, n_classes, generator=generator)
    weight = torch.zeros(n_classes, n_classes, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=0.1)
    loss = create_loss_function(name)
    values = []
    for epoch in range(40):
        optimizer.zero_grad()
        value = compute_loss(loss, x @ weight, label, epoch=epoch)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < values[0]
    assert ((x @ weight).argmax(dim=-1) == label).float().mean() > 0.9


def test_two_classes_are_one_decision_whose_sigmoid_is_the_score() -> None:
    logits, label = random_case("CrossEntropyLoss", n_classes=2)
    decision, target = prepare_target(BCEWithLogitsLoss(), logits, label)
    torch.testing.assert_close(decision.sigmoid()[:, 0], logits.softmax(-1)[:, 1], rtol=1e-12, atol=0)
    assert target.tolist() == [[float(y)] for y in label.tolist()]
    binary = compute_loss(BCEWithLogitsLoss(), logits, label)
    torch.testing.assert_close(binary, CrossEntropyLoss()(logits, label), rtol=1e-12, atol=0)


def test_more_classes_are_one_decision_each() -> None:
    logits, label = random_case("CrossEntropyLoss", n_classes=3)
    decisions, target = prepare_target(AsymmetricLoss(), logits, label)
    assert decisions is logits
    assert target.dtype == logits.dtype
    assert target.argmax(-1).tolist() == label.tolist()
    assert target.sum().item() == len(label)


def test_class_losses_take_labels_as_they_are() -> None:
    logits, label = random_case("FocalLoss")
    assert prepare_target(LOSSES["FocalLoss"](), logits, label) == (logits, label)


def test_the_epoch_reaches_the_cyclical_loss() -> None:
    logits, label = random_case("CyclicalFocalLoss")
    loss = CyclicalFocalLoss(gamma_hc=2.0, epochs=10)
    values = [compute_loss(loss, logits, label, epoch=epoch) for epoch in (0, 4)]
    assert values[1].item() == loss(logits, label, 4).item()
    assert values[0].item() != values[1].item()


@pytest.mark.parametrize(
    ("epochs", "factor", "expected"),
    [
        (11, 2.0, [1.0, 0.8, 0.6, 0.4, 0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (5, 1.0, [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]),
        (1, 2.0, [1.0]),
    ],
)
def test_confident_share_falls_and_rises_once(epochs: int, factor: float, expected: list[float]) -> None:
    loss = CyclicalFocalLoss(epochs=epochs, factor=factor)
    assert [loss.confident_share(epoch) for epoch in range(len(expected))] == pytest.approx(expected)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_functional_forms_equal_the_modules(reduction: str) -> None:
    parameters = {"alpha": 0.3, "gamma": 1.5, "reduction": reduction}
    for name, function in (
        ("FocalLoss", focal_loss),
        ("BinaryFocalLossWithLogits", binary_focal_loss_with_logits),
    ):
        logits, target = random_case(name)
        module = create_loss_function(name, **parameters)
        assert torch.equal(function(logits, target, **parameters), module(logits, target))


@pytest.mark.parametrize("constant", [True, False])
def test_optimized_asymmetric_loss_equals_the_plain_one_bit_for_bit(constant: bool) -> None:
    results = []
    for kind in (AsymmetricLoss, AsymmetricLossOptimized):
        logits, target = random_case("AsymmetricLoss", seed=2)
        value = kind(disable_torch_grad_focal_loss=constant)(logits, target)
        value.backward()
        results.append((value.item(), logits.grad.tolist()))
    assert results[0] == results[1]


def test_optimized_asymmetric_loss_keeps_less_memory_for_the_backward_pass() -> None:
    def bytes_kept(loss: nn.Module) -> int:
        logits = torch.randn(1000, 10, requires_grad=True)
        target = torch.ones(1000, 10)
        with torch.profiler.profile(profile_memory=True) as profile:
            kept = loss(logits, target)
        assert kept.requires_grad
        return sum(event.self_cpu_memory_usage for event in profile.events())

    plain = bytes_kept(AsymmetricLoss(disable_torch_grad_focal_loss=False))
    optimized = bytes_kept(AsymmetricLossOptimized())
    assert optimized < plain / 10


def test_settings_know_every_loss_and_its_parameters() -> None:
    assert {
        name: tuple(inspect.signature(loss).parameters) for name, loss in LOSSES.items()
    } == LOSS_PARAMETERS


def test_the_gate_has_a_plain_formula_for_every_loss() -> None:
    assert FORMULAS.keys() == LOSSES.keys()
