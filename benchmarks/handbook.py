"""TSA beside the Fraud Detection Handbook's models: the book's protocol, the book's metrics, the same folds.

    python benchmarks/handbook.py --events PATH --first-training-day 2018-07-25 --folds 4 --json out.json

Fold k trains from `first-training-day` minus 7·k days: seven days of training, seven until their labels are
known, seven of testing. The book's models learn from its fifteen features, TSA from the sequences that
`configs/handbook.yaml` describes; only the periods of its `split` change with the fold. docs/HANDBOOK.md has
the results, and says what TSA may look at.

OUT.json: `models.<name>.<metric>` with `mean` and `sd` over the folds and `folds`, the mean over the seeds in
each fold, the latest fold first.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from handbook_models import (
    BASELINES,
    TSA,
    Transactions,
    build_fold,
    read_transactions,
    score_rival,
    score_tsa,
    train_tsa,
)
from handbook_protocol import Array, Fold, make_folds, measure, test_rows

from tsa_model.files import write_json
from tsa_model.settings.run import RunConfig

METRICS = ("auc_roc", "average_precision", "card_precision_at_100")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--events", required=True, help="the transactions, a Parquet file")
    parser.add_argument("--first-training-day", required=True, type=date.fromisoformat, help="of fold 0")
    parser.add_argument("--folds", type=int, default=4, help="number of folds")
    parser.add_argument("--json", required=True, type=Path, help="the result file to write")
    parser.add_argument("--seeds", type=int, default=1, help="trainings per model and fold")
    parser.add_argument("--curves", type=Path, help="draw TSA's learning curves into this PNG file")
    parser.add_argument("--config", default="handbook", help="run description: a shipped name or a file")
    parser.add_argument("--models", nargs="+", choices=[*TSA, *BASELINES], default=[*TSA, *BASELINES])
    options = parser.parse_args()
    folds = make_folds(options.first_training_day, options.folds)
    run = RunConfig.load(options.config)
    trainings = []
    with tempfile.TemporaryDirectory() as folder:
        data = read_transactions(options.events, run, folds[0], Path(folder))
        check_days(folds, data.day)
        for fold in folds:
            trainings += run_fold(options, run, fold, data, Path(folder))
            write_json(options.json, summary(trainings, folds, options.models))
    print_table(summary(trainings, folds, options.models)["models"])
    if options.curves is not None:
        draw_curves(trainings, run.training.primary_metric, options.curves)


def check_days(folds: list[Fold], day: Array) -> None:
    """Refuse folds that the transactions do not cover.

    Raises:
        ValueError: the first fold's training or the last fold's test lies outside.
    """
    first, last = int(day.min()), int(day.max())
    for fold in folds:
        if fold.first_training_day < first or fold.test_end - 1 > last:
            raise ValueError(
                f"the fold that trains from {fold.date} needs the 21 days from then on; the transactions"
                f" cover {np.datetime64(first, 'D')} to {np.datetime64(last, 'D')}"
            )


def run_fold(
    options: argparse.Namespace, run: RunConfig, fold: Fold, data: Transactions, folder: Path
) -> list[dict[str, Any]]:
    """Train and test every model on one fold.

    Returns:
        One entry per training: model, fold, seed, seconds of training, the metrics; TSA's learning curve.
    """
    rows = test_rows(fold, data.day, data.customer, data.label)
    aligned = (data.day[rows], data.customer[rows], data.label[rows])
    store = build_fold(options.events, run, fold, folder) if set(options.models) & set(TSA) else None
    trainings = []
    for name in options.models:
        for seed in range(options.seeds):
            entry: dict[str, Any] = {"model": name, "fold": fold.date, "seed": seed}
            started = time.perf_counter()
            if store is not None and name in TSA:
                place = folder / f"{name} {fold.date} {seed}"
                entry["validation_curve"] = train_tsa(name, store, run, seed, place)["curve"]
                entry["train_seconds"] = time.perf_counter() - started
                score = score_tsa(name, store, rows, place)
            else:
                score = score_rival(name, data, fold, rows, seed)
                entry["train_seconds"] = time.perf_counter() - started
            entry |= measure(*aligned, score)
            trainings.append(entry)
            figures = ", ".join(f"{metric} {entry[metric]:.4f}" for metric in METRICS)
            print(f"{fold.date} {name} seed {seed}: {figures} ({entry['train_seconds']:.0f} s)", flush=True)
    return trainings


def summary(trainings: list[dict[str, Any]], folds: list[Fold], models: list[str]) -> dict[str, Any]:
    """Mean and standard deviation over the folds, of the means over the seeds."""
    figures: dict[str, Any] = {}
    for name in models:
        mine = [entry for entry in trainings if entry["model"] == name]
        figures[name] = {}
        for metric in METRICS:
            by_fold = [[e[metric] for e in mine if e["fold"] == fold.date] for fold in folds]
            values = [float(np.mean(seeds)) for seeds in by_fold if seeds]
            sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            figures[name][metric] = {"mean": float(np.mean(values)), "sd": sd, "folds": values}
    return {"models": figures, "folds": [fold.date for fold in folds], "trainings": trainings}


def print_table(models: dict[str, Any]) -> None:
    """Print the results as the lines of a Markdown table."""
    print("| model | " + " | ".join(METRICS) + " |")
    for name, figures in models.items():
        cells = [f"{figures[metric]['mean']:.3f} ± {figures[metric]['sd']:.3f}" for metric in METRICS]
        print(f"| {name} | " + " | ".join(cells) + " |")


def draw_curves(trainings: list[dict[str, Any]], metric: str, path: Path) -> None:
    """Draw the validation metric of every TSA training against its epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot(xlabel="epoch", ylabel=f"validation {metric}")
    for name, colour in zip(TSA, ("C0", "C1"), strict=True):
        curves = [entry["validation_curve"] for entry in trainings if entry["model"] == name]
        for number, curve in enumerate(curves):
            label = name if number == 0 else None
            axes.plot(range(1, len(curve) + 1), curve, color=colour, alpha=0.5, label=label)
    axes.legend()
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
