from __future__ import annotations

import warnings

import pytest

from tsa_model.settings.legacy_names import LOSS_NAMES, TRAINING_NAMES, WITHOUT_EFFECT
from tsa_model.training import TrainConfig


def test_the_legacys_parameters_are_understood() -> None:
    legacy = {
        "max_epoch": 70,
        "batch_size": 1024,
        "optim": "adam",
        "lr": 1e-5,
        "scheduler_maxlr": 1e-3,
        "beta1": 0.9,
        "beta2": 0.999,
        "loss": "FocalLoss",
        "loss_gamma": 2,
        "loss_alpha": 0.3,
        "patience": 10,
        "use_amp": 1,
        "metric_choices": ["auc", "f1_score"],
        "primary_metric": "val/f1_score",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = TrainConfig.model_validate(legacy)
    assert config == TrainConfig(
        loss="FocalLoss",
        loss_parameters={"gamma": 2, "alpha": 0.3},
        precision="16-mixed",
        metric_choices=("auroc", "f1"),
        primary_metric="f1",
    )


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_what_does_nothing_is_said(name: str) -> None:
    with pytest.warns(UserWarning, match=f"{name}=1 has no effect"):
        assert TrainConfig.model_validate({name: 1}) == TrainConfig()


def test_parameters_of_another_loss_do_nothing() -> None:
    with pytest.warns(UserWarning, match="loss_gamma=2 has no effect: CrossEntropyLoss"):
        config = TrainConfig.model_validate({"loss_gamma": 2, "loss_reduction": "sum"})
    assert config.loss_parameters == {"reduction": "sum"}


def test_one_field_under_two_names_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sets learning_rate, which is already 0\.1"):
        TrainConfig.model_validate({"learning_rate": 0.1, "lr": 0.2})
    with pytest.raises(ValueError, match=r"sets gamma, which is already 1\.0"):
        TrainConfig.model_validate(
            {"loss": "FocalLoss", "loss_parameters": {"gamma": 1.0}, "loss_gamma": 2.0}
        )


def test_another_value_of_a_fixed_parameter_is_refused() -> None:
    with pytest.raises(ValueError, match=r"always uses beta1=0\.9"):
        TrainConfig.model_validate({"beta1": 0.8})


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="learning_rat"):
        TrainConfig.model_validate({"learning_rat": 0.1})


def test_the_table_points_at_fields_that_exist() -> None:
    assert set(TRAINING_NAMES.values()) <= TrainConfig.model_fields.keys()
    legacy = TRAINING_NAMES.keys() | WITHOUT_EFFECT.keys() | LOSS_NAMES.keys()
    assert not legacy & TrainConfig.model_fields.keys()
