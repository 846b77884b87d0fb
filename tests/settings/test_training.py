from __future__ import annotations

import pytest

from tsa_model.settings.run import RunConfig
from tsa_model.training import TrainConfig


def test_the_defaults_are_the_specifications() -> None:
    config = TrainConfig.preset("paper")
    assert config == TrainConfig()
    assert (config.optimizer, config.learning_rate, config.max_learning_rate) == ("adam", 1e-5, 1e-3)
    assert (config.schedule, config.batch_size, config.max_epochs) == ("one_cycle", 1024, 70)
    assert (config.patience, config.gradient_clip, config.loss) == (10, 1.0, "CrossEntropyLoss")


@pytest.mark.parametrize("name", ["demo", "handbook"])
def test_the_other_presets_are_the_shipped_descriptions(name: str) -> None:
    assert TrainConfig.preset(name) == RunConfig.load(name).training


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"primary_metric": "f1"}, "primary_metric='f1' is not among"),
        ({"schedule": "warmup", "learning_rate": 0.01}, r"learning_rate=0\.01 is above"),
        ({"strategy": "fsdp", "precision": "16-mixed"}, "precision='16-mixed' cannot be sharded"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig.model_validate(settings)
