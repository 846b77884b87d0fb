"""What a loss refuses: unknown names and parameters, values without sense, targets of another shape."""

from __future__ import annotations

import math

import pytest
import torch

from tsa_model.losses import (
    LOSSES,
    create_loss_function,
    focal_loss,
)


@pytest.mark.parametrize("name", ["focalloss", "FocalLos", "", "nn.CrossEntropyLoss"])
def test_unknown_losses_are_refused_with_the_list_of_losses(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is unknown; the losses are .*'CyclicalFocalLoss'"):
        create_loss_function(name)


@pytest.mark.parametrize(
    ("name", "wrong", "allowed"),
    [
        ("CrossEntropyLoss", {"gamma": 2.0}, "label_smoothing"),
        ("FocalLoss", {"gama": 2.0}, "gamma"),
        ("AsymmetricLoss", {"reduction": "mean"}, "gamma_neg"),
        ("ASLFocalLoss", {"gamma_pos": 0.0}, "gamma"),
        ("CyclicalFocalLoss", {"epoch": 1}, "epochs"),
        ("BCEWithLogitsLoss", {"self": 1}, "pos_weight"),
    ],
)
def test_parameters_a_loss_does_not_have_are_refused_by_name(
    name: str, wrong: dict[str, object], allowed: str
) -> None:
    with pytest.raises(ValueError, match=rf"{name} has no parameter \['{next(iter(wrong))}'\].*'{allowed}'"):
        create_loss_function(name, **wrong)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("FocalLoss", {"gamma": -1.0}, "gamma=-1.0"),
        ("FocalLoss", {"alpha": "high"}, "alpha='high'"),
        ("FocalLoss", {"gamma": math.nan}, "gamma=nan"),
        ("FocalLoss", {"reduction": "average"}, "reduction='average'"),
        ("CrossEntropyLoss", {"reduction": "average"}, "reduction='average'"),
        ("AsymmetricLoss", {"eps": 0}, "eps=0"),
        ("CyclicalFocalLoss", {"epochs": 0}, "epochs=0"),
        ("SteppedCyclicalFocalLoss", {"cycle_length": 0}, "cycle_length=0"),
    ],
)
def test_values_that_make_no_sense_are_refused(
    name: str, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        create_loss_function(name, **parameters)


OF_LABELS = [name for name, loss in LOSSES.items() if loss.target_kind == "multi_label"]
OF_CLASSES = [name for name, loss in LOSSES.items() if loss.target_kind == "class_index"]


@pytest.mark.parametrize("name", [name for name in OF_LABELS if name != "BCEWithLogitsLoss"])
def test_targets_that_would_be_broadcast_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"\(5, 1\) and targets \(5,\)"):
        create_loss_function(name)(torch.zeros(5, 1), torch.zeros(5))


@pytest.mark.parametrize("name", [name for name in OF_CLASSES if name != "CrossEntropyLoss"])
def test_class_targets_of_another_shape_are_refused(name: str) -> None:
    epoch = (0,) if name == "CyclicalFocalLoss" else ()
    loss, targets = create_loss_function(name), torch.zeros(5, 1, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"\(5, 2\) and class targets \(5, 1\)"):
        loss(torch.zeros(5, 2), targets, *epoch)


def test_one_class_is_no_softmax() -> None:
    with pytest.raises(ValueError, match="at least 2 classes"):
        focal_loss(torch.zeros(5, 1), torch.zeros(5, dtype=torch.int64))
