"""How a model is trained. Defaults are those of spec section 13."""

from __future__ import annotations

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from tsa_model.settings import Settings


class TrainConfig(Settings):
    max_epochs: PositiveInt = 70
    batch_size: PositiveInt = 1024
    learning_rate: PositiveFloat = 1e-5
    max_learning_rate: PositiveFloat = 1e-3
    patience: NonNegativeInt = 10
    gradient_clip: float = 1.0
    loss: str = "CrossEntropyLoss"
    loss_parameters: dict[str, float | str | bool] = {}
    seed: NonNegativeInt = 0
