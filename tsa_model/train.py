"""A training process: `python -m tsa_model.train --store DIR --config demo --model DIR ...`.

People have `tsa train`.

With more than one process, `python -m torch.distributed.run --nproc-per-node N -m tsa_model.train ...`
starts them; `training.devices` and `training.num_nodes` must say the same numbers. The options are read here,
with the standard library alone: the machines that only train have no command line of ours.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tsa_model.stopping import whole_process
from tsa_model.training.entry import in_a_line, train_process


def main(arguments: Sequence[str] | None = None) -> None:
    """Train a model; see `--help`."""
    options = parser().parse_args(arguments)
    result = train_process(**vars(options))
    if result is not None:
        print(in_a_line(result, options.model))


def parser() -> argparse.ArgumentParser:
    """The options, named as the parameters of `train_process`."""
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
    with whole_process():
        main()
