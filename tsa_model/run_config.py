"""One file says everything about a run: the data, the model, the training."""

from __future__ import annotations

from tsa_model.config import ModelSettings
from tsa_model.dataset import DatasetDescription
from tsa_model.settings import Settings
from tsa_model.training.config import TrainConfig


class RunConfig(Settings):
    """The content of `configs/*.yaml`."""

    dataset: DatasetDescription
    model: ModelSettings = ModelSettings()
    training: TrainConfig = TrainConfig()
