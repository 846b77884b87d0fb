"""Train from the command line: `python -m tsa_model.train --store DIR --config demo --model DIR ...`.

With more than one process, `python -m torch.distributed.run --nproc-per-node N -m tsa_model.train ...`
starts them; `training.devices` and `training.num_nodes` must say the same numbers.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from tsa_model.files import write_json
from tsa_model.settings.run import RunConfig
from tsa_model.training import train_model
from tsa_model.training.processes import die_with_parent, started_by_launcher


def main(arguments: Sequence[str] | None = None) -> None:
    """Train a model; see `--help`."""
    options = _parser().parse_args(arguments)
    if started_by_launcher():
        die_with_parent()
    try:
        result = train_model(
            options.store,
            RunConfig.load(options.config),
            options.model,
            options.training_log,
            seed=options.seed,
            max_epochs=options.max_epochs,
        )
    except Exception as error:
        # Whoever started several processes reads here what the first one to fail said.
        path = Path(options.training_log) / "error.json"
        if not path.exists():
            write_json(path, {"type": type(error).__name__, "message": str(error)})
        raise
    if int(os.environ.get("RANK", "0")) == 0:
        if options.metrics:
            write_json(options.metrics, result)
        print(f"{result['key_figure']} after {result['epochs']} epochs, model in {options.model}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tsa_model.train",
        description="Train a TSA model on a sequence store. Killed and started again with the same arguments,"
        " it goes on from its last resume point.",
    )
    parser.add_argument("--store", required=True, help="sequence store (folder)")
    parser.add_argument("--config", required=True, help="run description: a shipped name, a file or its text")
    parser.add_argument("--model", required=True, help="model folder to write")
    parser.add_argument("--training-log", required=True, help="folder of logs and resume points")
    parser.add_argument("--seed", type=int, help="replaces the run's seed")
    parser.add_argument("--max-epochs", type=int, help="replaces the run's number of epochs")
    parser.add_argument("--metrics", help="JSON file to write the metrics to")
    return parser


if __name__ == "__main__":
    main()
