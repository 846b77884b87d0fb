"""One file says everything about a run: data, model, training, gate, perhaps the simulator."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError, model_validator

from tsa_model.settings.base import Settings, in_words
from tsa_model.settings.dataset import DatasetDescription
from tsa_model.settings.descriptions import read_description
from tsa_model.settings.gate import GateConfig
from tsa_model.settings.model import ModelSettings
from tsa_model.settings.monitoring import AskedFor, MonitoringConfig
from tsa_model.settings.promotion import PromotionConfig
from tsa_model.settings.reasons import ReasonsConfig
from tsa_model.settings.scoring import ScoringConfig
from tsa_model.settings.simulation import SimulationConfig
from tsa_model.settings.tracking import TrackingConfig
from tsa_model.settings.train_job import TrainJobConfig
from tsa_model.settings.training import TrainConfig
from tsa_model.settings.tuning import TuningConfig


class RunConfig(Settings):
    """The content of `configs/*.yaml`."""

    dataset: DatasetDescription
    engine: Literal["duckdb", "pyspark"] = "duckdb"
    """What sorts the events: DuckDB inside the process, or the Spark that is configured where it runs."""
    model: ModelSettings = ModelSettings.preset("recommended")
    """A section, whose defaults are the legacy's, or the name of a preset; without it `recommended`."""
    training: TrainConfig = TrainConfig()
    train_job: TrainJobConfig | None = None
    """Train on several nodes of a Kubernetes cluster; None = inside the stage."""
    equivalence: GateConfig = GateConfig()
    scoring: ScoringConfig = ScoringConfig()
    promotion: PromotionConfig = PromotionConfig()
    reasons: ReasonsConfig = ReasonsConfig()
    monitoring: MonitoringConfig = MonitoringConfig()
    alarm: AskedFor | None = None
    """What monitoring found, where it started this run; the model report links it."""
    signing: Literal["optional", "required"] = "optional"
    """Documents are signed where a stage has a key (TSA_SIGNING_KEY); required = without one it stops."""
    tracking: TrackingConfig | None = None
    """Records of runs in MLflow, too; None = a run's own folder is its only record."""
    tuning: TuningConfig = TuningConfig()
    """What `tsa tune` searches."""
    simulation: SimulationConfig | None = None
    """Where no events are given, these make them."""

    @model_validator(mode="before")
    @classmethod
    def _complete_the_model(cls, content: Any) -> Any:
        """A name becomes its preset; a data set with one key has one history, where that was left open."""
        if not isinstance(content, dict):
            return content
        model = content.get("model", "recommended")
        if isinstance(model, str):
            model = ModelSettings.preset(model).model_dump(exclude_unset=True)
            content = {**content, "model": model}
        if _given(content.get("dataset"), "card_id") is not None:
            return content
        if isinstance(model, dict):
            return {**content, "model": {"sequences": "single", **model}}
        if isinstance(model, ModelSettings) and "sequences" not in model.model_fields_set:
            return {**content, "model": model.changed(sequences="single")}
        return content

    @model_validator(mode="after")
    def _check(self) -> RunConfig:
        if self.dataset.card_id is None and self.model.sequences == "dual":
            raise ValueError(
                "model.sequences: dual needs two histories, and dataset.card_id is not set: name the column"
                " of the second key, or choose sequences: single"
            )
        return self

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
        try:
            return cls.model_validate(source if isinstance(source, dict) else read_description(source))
        except ValidationError as error:
            raise ValueError(in_words(error, cls)) from None

    def at(self, interval_end: datetime | None) -> RunConfig:
        """The run description for data that end at `interval_end`.

        The split moves as a whole: its periods and the gaps between them keep their lengths, and the test
        period ends the label delay earlier than the data, so that its labels are known. Simulated orders
        move along.

        Args:
            interval_end: the first moment without data, with a time zone; None = the dates as written.
        """
        if interval_end is None:
            return self
        dataset = self.dataset
        shift = interval_end - timedelta(days=dataset.label_delay_days) - dataset.split.test_end
        change: dict[str, Any] = {
            "dataset": dataset.changed(split=dataset.split.moved(shift)),
        }
        if self.simulation is not None:
            start = self.simulation.start + shift
            change["simulation"] = self.simulation.changed(start=start)
        return self.changed(**change)


def _given(section: Any, name: str) -> Any:
    """A field of a section that may be read or not yet."""
    return section.get(name) if isinstance(section, dict) else getattr(section, name, None)
