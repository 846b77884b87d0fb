"""Plain formulas of the losses (TSA spec, sections 10 and 11); check 4 compares the shipped losses with them.

They work on probabilities in float64, for logits that are not extreme, and share nothing with
`tsa_model.losses`, not even the defaults.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Parameters = dict[str, Any]


def plain_loss(name: str, given: Parameters, logits_BC: Tensor, label_B: Tensor, epoch: int = 0) -> Tensor:
    """The loss of a batch, reduced as the loss reduces it.

    Args:
        name: of the loss.
        given: parameters that differ from the specification's defaults.
        logits_BC: float64 [B, C].
        label_B: int64 [B].
        epoch: for `CyclicalFocalLoss`.

    Raises:
        ValueError: there is no such loss.
    """
    if name not in FORMULAS:
        raise ValueError(f"loss {name!r} has no plain formula; the formulas are {sorted(FORMULAS)}")
    formula, multi_label, defaults = FORMULAS[name]
    if name == "CyclicalFocalLoss":
        given = {**given, "epoch": epoch}
    parameters = {**defaults, **given}
    if not multi_label:
        return formula(logits_BC, label_B, **parameters)
    if logits_BC.shape[1] == 2:  # two classes are one yes-no decision with the logit x_1 - x_0
        return formula(logits_BC[:, 1:] - logits_BC[:, :1], label_B[:, None].double(), **parameters)
    return formula(logits_BC, functional.one_hot(label_B, logits_BC.shape[1]).double(), **parameters)


def _reduced(loss: Tensor, reduction: str) -> Tensor:
    return {"none": loss, "mean": loss.mean(), "sum": loss.sum()}[reduction]


def _cross_entropy(x: Tensor, y: Tensor, **given: Any) -> Tensor:
    p = torch.softmax(x, dim=-1)
    C = x.shape[1]
    smoothing = given["label_smoothing"]
    target = functional.one_hot(y, C).to(x) * (1 - smoothing) + smoothing / C
    weight = given["weight"] if given["weight"] is not None else [1.0] * C
    weight_C = torch.as_tensor(weight, dtype=x.dtype)
    per_row = -(target * weight_C * torch.log(p)).sum(-1)
    counted = y != given["ignore_index"]
    if given["reduction"] == "mean":
        return per_row[counted].sum() / weight_C[y[counted]].sum()
    return _reduced(per_row * counted, given["reduction"])


def _bce(x: Tensor, y: Tensor, **given: Any) -> Tensor:
    s = torch.sigmoid(x)
    pos = 1.0 if given["pos_weight"] is None else torch.as_tensor(given["pos_weight"], dtype=x.dtype)
    weight = 1.0 if given["weight"] is None else torch.as_tensor(given["weight"], dtype=x.dtype)
    return _reduced(-weight * (pos * y * torch.log(s) + (1 - y) * torch.log(1 - s)), given["reduction"])


def _focal(x: Tensor, y: Tensor, alpha: float, gamma: float, reduction: str) -> Tensor:
    p = torch.softmax(x, dim=-1)
    onehot = functional.one_hot(y, x.shape[1]).to(x)
    return _reduced(-alpha * ((onehot + 1e-6) * (1 - p) ** gamma * torch.log(p)).sum(-1), reduction)


def _binary_focal(x: Tensor, y: Tensor, alpha: float, gamma: float, reduction: str) -> Tensor:
    s = torch.sigmoid(x)
    positive = -alpha * (1 - s) ** gamma * y * torch.log(s)
    negative = -(1 - alpha) * s**gamma * (1 - y) * torch.log(1 - s)
    return _reduced(positive + negative, reduction)


def _asymmetric(
    x: Tensor, y: Tensor, gamma_neg: float, gamma_pos: float, clip: float, eps: float, **given: Any
) -> Tensor:
    s = torch.sigmoid(x)
    p_neg = (1 - s + (clip or 0.0)).clamp(max=1)
    value = y * torch.log(s.clamp(min=eps)) + (1 - y) * torch.log(p_neg.clamp(min=eps))
    pt = s * y + p_neg * (1 - y)
    weight = (1 - pt).clamp(min=1e-300) ** (gamma_pos * y + gamma_neg * (1 - y))
    return -(value * (weight.detach() if given["disable_torch_grad_focal_loss"] else weight)).sum()


def _asl(
    x: Tensor,
    y: Tensor,
    gamma_pos: float,
    gamma_neg: float,
    eps: float,
    reduction: str,
    eta: float = 0.0,
    gamma_hc: float = 0.0,
) -> Tensor:
    p = torch.softmax(x, dim=-1)
    C = x.shape[1]
    onehot = functional.one_hot(y, C).to(x)
    asymmetric = (1 - p * onehot - (1 - p) * (1 - onehot)) ** (gamma_pos * onehot + gamma_neg * (1 - onehot))
    confident = (1 + p * onehot) ** (gamma_hc * onehot)
    weight = (1 - eta) * asymmetric + eta * confident
    loss = -((onehot * (1 - eps) + eps / C) * weight * torch.log(p)).sum(-1)
    return loss.mean() if reduction == "mean" else loss.sum()


def _cyclical(
    x: Tensor, y: Tensor, gamma_hc: float, epochs: int, factor: float, epoch: int, **given: Any
) -> Tensor:
    step = factor * epoch / (epochs - 1) if epochs > 1 else 0.0
    if factor * epoch < epochs:
        eta = 1 - step
    else:
        eta = 0.0 if factor == 1 else (step - 1) / (factor - 1)
    return _asl(x, y, eta=eta, gamma_hc=gamma_hc, **given)


def _asl_focal(x: Tensor, y: Tensor, gamma: float, eps: float, reduction: str) -> Tensor:
    return _asl(x, y, gamma_pos=gamma, gamma_neg=gamma, eps=eps, reduction=reduction)


def _focal_cross_entropy(x: Tensor, y: Tensor, alpha: float, gamma: float, reduction: str) -> Tensor:
    pt = torch.softmax(x, dim=-1).gather(1, y[:, None])[:, 0]
    return _reduced(-alpha * (1 - pt) ** gamma * torch.log(pt), reduction)


def _stepped(x: Tensor, y: Tensor, gamma_min: float, gamma_max: float, **given: Any) -> Tensor:
    half_cosine = gamma_min + (gamma_max - gamma_min) * (1 + math.cos(0.0)) / 2  # of the first call
    del given["cycle_length"]
    return _focal_cross_entropy(x, y, gamma=half_cosine, **given)


_FOCAL: Parameters = {"alpha": 0.25, "gamma": 2.0, "reduction": "mean"}
_ASYMMETRIC: Parameters = {"gamma_neg": 4.0, "gamma_pos": 1.0, "clip": 0.05, "eps": 1e-8}
_ASL: Parameters = {"gamma_pos": 0.0, "gamma_neg": 4.0, "eps": 0.1, "reduction": "mean"}

FORMULAS: dict[str, tuple[Callable[..., Tensor], bool, Parameters]] = {
    "CrossEntropyLoss": (
        _cross_entropy,
        False,
        {"weight": None, "ignore_index": -100, "reduction": "mean", "label_smoothing": 0.0},
    ),
    "BCEWithLogitsLoss": (_bce, True, {"weight": None, "reduction": "mean", "pos_weight": None}),
    "FocalLoss": (_focal, False, _FOCAL),
    "BinaryFocalLossWithLogits": (_binary_focal, True, _FOCAL),
    "AsymmetricLoss": (_asymmetric, True, {**_ASYMMETRIC, "disable_torch_grad_focal_loss": True}),
    "AsymmetricLossOptimized": (_asymmetric, True, {**_ASYMMETRIC, "disable_torch_grad_focal_loss": False}),
    "ASLSingleLabel": (_asl, False, _ASL),
    "CyclicalFocalLoss": (_cyclical, False, {**_ASL, "gamma_hc": 0.0, "epochs": 70, "factor": 2.0}),
    "ASLFocalLoss": (_asl_focal, False, {"gamma": 2.0, "eps": 0.1, "reduction": "mean"}),
    "FocalCrossEntropyLoss": (_focal_cross_entropy, False, _FOCAL),
    "SteppedCyclicalFocalLoss": (
        _stepped,
        False,
        {"alpha": 0.25, "gamma_min": 1.0, "gamma_max": 3.0, "cycle_length": 1000, "reduction": "mean"},
    ),
}
"""Loss → formula, whether it judges yes-no decisions, and the specification's defaults."""
