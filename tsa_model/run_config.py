"""One file says everything about a run: data, model, training, gate, perhaps the simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from tsa_model.config import ModelSettings
from tsa_model.dataset import DatasetDescription, read_description
from tsa_model.equivalence.config import GateConfig
from tsa_model.promotion.config import PromotionConfig
from tsa_model.scoring.config import ScoringConfig
from tsa_model.settings import Settings
from tsa_model.simulate import SimulationConfig
from tsa_model.training.config import TrainConfig
from tsa_model.training.train_job import TrainJobConfig


class RunConfig(Settings):
    """The content of `configs/*.yaml`."""

    dataset: DatasetDescription
    engine: Literal["duckdb", "pyspark"] = "duckdb"
    """What sorts the events: DuckDB inside the process, or the Spark that is configured where it runs."""
    model: ModelSettings = ModelSettings()
    training: TrainConfig = TrainConfig()
    train_job: TrainJobConfig | None = None
    """Train on several nodes of a Kubernetes cluster; None = inside the stage."""
    equivalence: GateConfig = GateConfig()
    scoring: ScoringConfig = ScoringConfig()
    promotion: PromotionConfig = PromotionConfig()
    simulation: SimulationConfig | None = None
    """Where no events are given, these make them."""

    @classmethod
    def load(cls, source: RunConfig | dict[str, Any] | str | Path) -> RunConfig:
        """Return the run description in `source`.

        Args:
            source: a run description, its dictionary, a shipped name ("demo"), a YAML/JSON path, or the text.

        Raises:
            ValueError: nothing of that name exists, or a setting is unknown or refused.
        """
        if isinstance(source, RunConfig):
            return source
        return cls.model_validate(source if isinstance(source, dict) else read_description(source))
