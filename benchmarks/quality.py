"""TSA beside what a user would pick instead, on any orders: the same store, the same split, paired intervals.

    python benchmarks/quality.py --events orders.parquet --config my_run.yaml --json out.json
    python benchmarks/quality.py --simulate cards --seeds 2 --json out.json

Without --config the description is what `tsa init` writes. Every model learns from the store's training
targets and is measured on its test targets:

- `tsa_recommended`: the preset `recommended`; `tsa`: the description's own model;
- `tsa_legacy`: the preset `legacy` at the widths of the recommended one, for its full size wants a GPU;
- `lightgbm`: the order's own columns; `lightgbm_windows`: also the description's windows;
  `lightgbm_lags`: also its lags and logarithms; `random_forest` and `logistic_regression`: the columns
  of `lightgbm_windows`.

OUT.json: `models.<name>`: figures of each seed, their mean and standard deviation; `differences.<name>`:
AP and AUC of the first TSA minus the model's, means of the seeds' scores, with the interval of a paired
bootstrap over test orders.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tsa_model.advice.description import describe_events
from tsa_model.batch import ENGINEERED, history_names
from tsa_model.evaluation.metrics import Ranking, auc, average_precision
from tsa_model.files import write_json
from tsa_model.network.checkpoint import load_model
from tsa_model.promotion.bootstrap import paired_differences
from tsa_model.sequences import SequenceStore
from tsa_model.settings.model import ModelSettings
from tsa_model.settings.run import RunConfig
from tsa_model.simulation import (
    CardPaymentsConfig,
    SimulationConfig,
    simulate_card_payments,
    simulate_orders,
)
from tsa_model.training import train_model

Array = NDArray[Any]
TSA = ("tsa_recommended", "tsa", "tsa_legacy")
RIVALS = ("lightgbm", "lightgbm_windows", "lightgbm_lags", "random_forest", "logistic_regression")
ROWS = 2048
SIMULATIONS = {
    "cards": lambda: simulate_card_payments(CardPaymentsConfig()),
    "orders": lambda: simulate_orders(SimulationConfig()),
}


@dataclass(frozen=True)
class Columns:
    """The current orders' columns of some rows, as the store has them."""

    names: list[str]
    values: Array
    """[n, columns] float64: scaled numbers, and vocabulary indices."""

    def of(self, kinds: set[str], run: RunConfig) -> Array:
        """The columns that are the order's own, and those of the given kinds: `windows`, `lags`."""
        made = {
            "windows": {column for window in run.dataset.windows for column in window.columns()},
            "lags": {column for lag in run.dataset.lags for column in lag.columns()}
            | set(run.dataset.log_columns),
        }
        unwanted = set().union(*(columns for kind, columns in made.items() if kind not in kinds))
        kept = [place for place, name in enumerate(self.names) if name not in unwanted]
        return self.values[:, kept]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--events", type=Path, help="a CSV or Parquet file, or a folder of them")
    source.add_argument("--simulate", choices=[*SIMULATIONS], help="orders made on the spot")
    parser.add_argument("--config", help="run description; the default is what `tsa init` writes")
    parser.add_argument("--json", required=True, type=Path, help="the result file to write")
    parser.add_argument("--seeds", type=int, default=1, help="trainings per model")
    parser.add_argument("--epochs", type=int, help="of TSA; the default is the description's")
    parser.add_argument("--models", nargs="+", choices=[*TSA, *RIVALS], default=[*TSA, *RIVALS])
    parser.add_argument("--resamples", type=int, default=300, help="of the paired bootstrap")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = compare(options, Path(folder))
    write_json(options.json, result)
    print_table(result)


def compare(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Train every model with every seed, and measure all of them on the same test orders."""
    events = options.events
    if events is None:
        events = folder / f"{options.simulate}.parquet"
        SIMULATIONS[options.simulate]().to_parquet(events, index=False)
    description = options.config or describe_events(events, {}, None, None, len(os.sched_getaffinity(0)))
    run = RunConfig.load(description)
    store = SequenceStore.build(events, run.dataset, folder / "store")
    label = store.labels("test")
    columns = {period: read_columns(store, store.targets(period)) for period in ("train", "test")}
    models: dict[str, Any] = {}
    scores: dict[str, Array] = {}
    for name in options.models:
        found, of_seeds = [], []
        for seed in range(options.seeds):
            started = time.perf_counter()
            if name in TSA:
                place = folder / f"{name} {seed}"
                score = score_tsa(variant(name, run), store, seed, options.epochs, place)
            else:
                score = score_rival(name, run, columns, store.labels("train"), seed)
            of_seeds.append(score)
            found.append(figures(label, score) | {"seconds": time.perf_counter() - started})
            print(f"{name} seed {seed}: AUC {found[-1]['auc']:.4f}, AP {found[-1]['ap']:.4f}", flush=True)
        models[name] = {"seeds": found} | spread(found)
        scores[name] = np.mean(of_seeds, axis=0)
    return {
        "orders": len(store),
        "train": len(store.targets("train")),
        "test": len(label),
        "models": models,
        "differences": differences(options, label, scores),
    }


def variant(name: str, run: RunConfig) -> RunConfig:
    """The description with the model that a name stands for."""
    if name == "tsa":
        return run
    recommended = ModelSettings.preset("recommended")
    model = recommended
    if name == "tsa_legacy":
        narrow = ["dim_embedding_table", "dim_attn_feedforward", "num_heads", "n_layers_order"]
        narrow += ["n_layers_feature", "num_experts", "moe_eval"]
        model = ModelSettings(**{field: getattr(recommended, field) for field in narrow})
    return run.changed(model=model.changed(sequences=run.model.sequences))


def figures(label: Array, score: Array) -> dict[str, float]:
    """AUC and average precision."""
    counts = Ranking(score, label).counts()
    return {"auc": float(auc(*counts)), "ap": float(average_precision(*counts))}


def spread(found: list[dict[str, float]]) -> dict[str, float]:
    """Mean and standard deviation of each figure over the seeds."""
    result = {}
    for figure in ("auc", "ap"):
        values = [each[figure] for each in found]
        result[f"{figure}_mean"] = float(np.mean(values))
        result[f"{figure}_sd"] = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return result


def differences(
    options: argparse.Namespace, label: Array, scores: dict[str, Array]
) -> dict[str, dict[str, list[float]]]:
    """The first TSA minus every other model: difference, and the ends of its 95 % interval."""
    first = next((name for name in scores if name in TSA), None)
    found = {}
    for name in scores:
        if first is None or name == first:
            continue
        intervals = paired_differences(label, scores[first], scores[name], 0.95, options.resamples, 0)
        found[name] = {figure: [each.value, each.low, each.high] for figure, each in intervals.items()}
    return found


def read_columns(store: SequenceStore, rows: Array) -> Columns:
    """Every feature of the given orders themselves, without the known label, which says nothing of them."""
    (names, *_) = history_names("single")
    fitted = store.preprocessing
    parts = []
    for first in range(0, len(rows), ROWS):
        batch = store.batch_rows(rows[first : first + ROWS], "single")
        numbers = [batch[names.num][:, -1].numpy(), batch[names.cat][:, -1].numpy()]
        if store.n_engineered:
            numbers.insert(0, batch[ENGINEERED].numpy())
        parts.append(np.concatenate(numbers, axis=1, dtype=np.float64))
    titles = [*fitted.engineered, *fitted.numerical, *fitted.categorical]
    return Columns(titles, np.concatenate(parts))


def score_rival(name: str, run: RunConfig, columns: dict[str, Columns], label: Array, seed: int) -> Array:
    """Train one of `RIVALS` and return its scores of the test orders."""
    kinds: set[str] = {"lightgbm": set(), "lightgbm_lags": {"windows", "lags"}}.get(name, {"windows"})
    train, test = (columns[period].of(kinds, run) for period in ("train", "test"))
    model = create_rival(name.removesuffix("_windows").removesuffix("_lags"), seed)
    return model.fit(train, label).predict_proba(test)[:, 1]


def create_rival(name: str, seed: int) -> Any:
    """A classifier with scikit-learn's interface."""
    from handbook_models import create_baseline

    return create_baseline(name, seed)


def score_tsa(run: RunConfig, store: SequenceStore, seed: int, epochs: int | None, folder: Path) -> Array:
    """Train a TSA and return its scores of the test orders."""
    # Members of one seed must not be those of another.
    first = seed * run.training.members
    with contextlib.redirect_stdout(io.StringIO()):
        train_model(store.directory, run, folder / "model", folder / "log", seed=first, max_epochs=epochs)
    network, rows = load_model(folder / "model"), store.targets("test")
    scores = []
    with torch.inference_mode():
        for start in range(0, len(rows), ROWS):
            batch = store.batch_rows(rows[start : start + ROWS], network.config.sequences)
            scores.append(network(batch)[0].double().softmax(dim=1)[:, 1].numpy())
    return np.concatenate(scores)


def print_table(result: dict[str, Any]) -> None:
    """Print the results as the lines of a Markdown table."""
    print("| model | AUC | AP | first TSA minus it, AP |\n|---|---|---|---|")
    for name, each in result["models"].items():
        gap = result["differences"].get(name, {}).get("average_precision")
        words = "" if gap is None else f"{gap[0]:+.3f} ({gap[1]:+.3f} to {gap[2]:+.3f})"
        auc_words = f"{each['auc_mean']:.3f} ± {each['auc_sd']:.3f}"
        print(f"| {name} | {auc_words} | {each['ap_mean']:.3f} ± {each['ap_sd']:.3f} | {words} |")


if __name__ == "__main__":
    main()
