"""One training process from start to end: trains, and leaves its metrics or its error as a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tsa_model.files import write_json
from tsa_model.settings.run import RunConfig


def train_process(
    store: str | Path,
    config: RunConfig | str,
    model: str | Path,
    training_log: str | Path,
    seed: int | None = None,
    max_epochs: int | None = None,
    metrics: str | Path | None = None,
) -> dict[str, Any] | None:
    """Train, as the only process or as one of those that torch.distributed has started.

    Args:
        store: folder of the sequence store.
        config: the run description, or where it is.
        model: model folder to write.
        training_log: folder of logs and resume points; gets `error.json` from the first process that fails.
        seed: replaces the run's.
        max_epochs: replaces the run's.
        metrics: JSON file to write the metrics to.

    Returns:
        What `train_model` returned, in the first process; None in the others.
    """
    from tsa_model.training import train_model
    from tsa_model.training.processes import die_with_parent, started_by_launcher

    if started_by_launcher():
        die_with_parent()
    try:
        result = train_model(
            store, RunConfig.load(config), model, training_log, seed=seed, max_epochs=max_epochs
        )
    except Exception as error:
        # Whoever started several processes reads here what the first one to fail said.
        path = Path(training_log) / "error.json"
        if not path.exists():
            write_json(path, {"type": type(error).__name__, "message": str(error)})
        raise
    if int(os.environ.get("RANK", "0")) != 0:
        return None
    if metrics:
        write_json(metrics, result)
    return result


def in_a_line(result: dict[str, Any], model: str | Path) -> str:
    """What a training came to."""
    return f"{result['key_figure']} after {result['epochs']} epochs, model in {model}"
