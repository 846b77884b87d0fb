"""What `tsa tune` may change of a run description, and how long it looks."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from tsa_model.settings.base import Settings
from tsa_model.settings.dataset import DatasetDescription
from tsa_model.settings.model import ModelSettings
from tsa_model.settings.training import TrainConfig

Value = bool | int | float | str | None
SECTIONS: dict[str, type[Settings]] = {
    "dataset": DatasetDescription,
    "model": ModelSettings,
    "training": TrainConfig,
}
OF_DATASET = ("target_positive_rate", "seq_len", "scale_quantile", "min_count", "known_label")
"""Settings of the data set that change what a model sees, but not what it is asked."""
NOT_SEARCHED = ("members", "seed", "devices", "num_nodes", "strategy", "primary_metric", "metric_choices")


class Span(Settings):
    """Numbers between two bounds, both included."""

    low: float
    high: float
    log: bool = False
    """Try factors instead of steps; for rates."""
    whole: bool = False
    """Whole numbers only."""

    @model_validator(mode="after")
    def _check(self) -> Span:
        if not self.low < self.high:
            raise ValueError(f"low={self.low:g} is not below high={self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low={self.low:g} with log: factors need a positive bound")
        if self.whole and (self.low % 1 or self.high % 1):
            raise ValueError(f"low={self.low:g}, high={self.high:g} with whole: give whole bounds")
        return self


class Choices(Settings):
    """Some values by name."""

    choices: Annotated[tuple[Value, ...], Field(min_length=2)]


SPACE: dict[str, Span | Choices] = {
    "training.max_learning_rate": Span(low=0.001, high=0.01, log=True),
    "training.batch_size": Choices(choices=(64, 128, 256)),
    "training.weight_decay": Choices(choices=(0.0, 0.01, 0.1)),
    "training.optimizer": Choices(choices=("adam", "adamw")),
    "model.dropout": Span(low=0.0, high=0.3),
    "model.wide_hidden_dim": Choices(choices=(32, 64, 128)),
    "dataset.target_positive_rate": Choices(choices=(0.03, 0.06, 0.12, 0.2)),
}
"""What is searched where a description does not say otherwise: what moved results most (docs/TUNING.md)."""


class TuningConfig(Settings):
    """A search for better settings; see `tsa tune`."""

    trials: PositiveInt = 20
    """Trainings of the search."""
    seed: NonNegativeInt = 0
    """Of the search and of every training: the same seed tries the same."""
    finalists: NonNegativeInt = 3
    """The best trials that are trained once more, with another seed, before the winner is named; the
    description's own settings always are."""
    max_epochs: PositiveInt | None = None
    """Epochs of a trial; None = the description's."""
    space: dict[str, Span | Choices] = SPACE
    """`section.setting` → what may be tried."""

    @model_validator(mode="after")
    def _check(self) -> TuningConfig:
        if not self.space:
            raise ValueError("space is empty: name at least one setting to search")
        for path in self.space:
            section, _, name = path.partition(".")
            known = SECTIONS.get(section)
            if known is None or name not in known.model_fields:
                raise ValueError(
                    f"space names {path!r}, which is no setting of {', '.join(SECTIONS)}:"
                    " write section.setting, such as training.max_learning_rate"
                )
            if (section == "dataset" and name not in OF_DATASET) or name in NOT_SEARCHED:
                raise ValueError(
                    f"space names {path!r}, which says what is asked of a model and not how well it answers;"
                    f" of the data set only {', '.join(OF_DATASET)} can be searched"
                )
        return self
