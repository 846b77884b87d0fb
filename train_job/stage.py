"""The training stage: inside this process, or on the nodes of a TrainJob."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tsa_model import training
from tsa_model.settings.run import RunConfig


def train_model(
    store_dir: str | Path,
    run: RunConfig,
    model_dir: str | Path,
    log_dir: str | Path,
    seed: int | None = None,
    max_epochs: int | None = None,
) -> dict[str, Any]:
    """Train where the run description says; see `tsa_model.training.train_model`.

    Raises:
        TrainJobError: the TrainJob did not give a model.
    """
    config = run.train_job
    if config is None:
        return training.train_model(store_dir, run, model_dir, log_dir, seed=seed, max_epochs=max_epochs)
    changes = {"seed": seed, "max_epochs": max_epochs}
    settings = run.training.model_dump() | {k: v for k, v in changes.items() if v is not None}
    run = run.changed(training=training.TrainConfig.model_validate(settings))
    from train_job.on_nodes import train_on_nodes  # needs the Kubernetes client

    return train_on_nodes(Path(store_dir), run, config, Path(model_dir), Path(log_dir))
