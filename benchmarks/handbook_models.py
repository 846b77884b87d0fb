"""What the handbook benchmark compares: the book's models on the book's features, and TSA on sequences."""

from __future__ import annotations

import contextlib
import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from handbook_protocol import EPOCH, Array, Fold, training_rows

from tsa_model.batch import ENGINEERED
from tsa_model.network.checkpoint import load_model
from tsa_model.sequences import SequenceStore
from tsa_model.settings.dataset import DatasetDescription
from tsa_model.settings.run import RunConfig
from tsa_model.training import train_model

TREES = "lightgbm"
BASELINES = ("logistic_regression", "random_forest", TREES)
TSA: dict[str, Literal["single", "dual"]] = {"tsa_dual": "dual", "tsa_single": "single"}

TSA_TRAIN_DAYS = 112
"""TSA's training period, which ends with the book's training week; its last days select the epoch. It may
begin before the first transaction."""
TSA_VALI_DAYS = 2
SCORING_ROWS = 2048

WINDOW_DAYS = (1, 7, 30)
BOOK_WINDOWS = (
    {"name": "customer_count", "key": "customer", "statistic": "count", "days": WINDOW_DAYS},
    {
        "name": "customer_mean",
        "key": "customer",
        "statistic": "mean",
        "column": "tx_amount",
        "days": WINDOW_DAYS,
    },
    {"name": "terminal_count", "key": "card", "statistic": "label_count", "days": WINDOW_DAYS},
    {"name": "terminal_risk", "key": "card", "statistic": "label_rate", "days": WINDOW_DAYS},
)


@dataclass(frozen=True)
class Transactions:
    """All transactions in time order, row-aligned."""

    day: Array
    """Days since 1970-01-01 (UTC), [N] int64."""
    customer: Array
    label: Array
    features: Array
    """The book's features, [N, 15] float64."""


def read_transactions(events: str | Path, run: RunConfig, fold: Fold, folder: Path) -> Transactions:
    """Read the transactions and compute the book's features from them.

    Args:
        events: the Parquet file of transactions.
        run: names the columns.
        fold: any one; the store that computes the features wants to know a training period.
        folder: where that store may lie.
    """
    columns = [f"{window['name']}_{days}d" for window in BOOK_WINDOWS for days in window["days"]]
    book = {
        "calendar": ("weekend", "night"),
        "categorical": (),
        "numerical": ("tx_amount",),
        "windows": BOOK_WINDOWS,
        "engineered": ("tx_amount", "weekend", "night", *columns),
    }
    description = split_at(run.dataset, fold, TSA_TRAIN_DAYS, 0).model_dump() | book
    store = SequenceStore.build(events, description, folder / "book_features")
    feature = {}
    rows = np.arange(len(store))
    scaled = np.concatenate([read_engineered(store, part) for part in np.array_split(rows, 64)])
    for values, (name, scaling) in zip(scaled.T, store.preprocessing.engineered.items(), strict=True):
        feature[name] = (values.astype(np.float64) - scaling.min) / scaling.scale
    for days in WINDOW_DAYS:  # the book counts the transaction itself among its customer's
        before, mean = np.rint(feature[f"customer_count_{days}d"]), feature[f"customer_mean_{days}d"]
        feature[f"customer_count_{days}d"] = before + 1
        feature[f"customer_mean_{days}d"] = (before * mean + feature["tx_amount"]) / (before + 1)
    customer = pd.read_parquet(events, columns=[run.dataset.order_id, run.dataset.customer_id])
    by_id = customer.set_index(run.dataset.order_id)[run.dataset.customer_id]
    return Transactions(
        day=store.times_of(rows).astype("datetime64[D]").astype(np.int64),
        customer=by_id.loc[store.ids_of(rows)].to_numpy(),
        label=store.labels_of(rows),
        features=np.stack(list(feature.values()), axis=1),
    )


def read_engineered(store: SequenceStore, rows: Array) -> Array:
    """The engineered features of some rows as a model sees them, [n, Fe] float32."""
    return store.batch_rows(rows, "single")[ENGINEERED].numpy()


def split_at(
    description: DatasetDescription, fold: Fold, train_days: int, vali_days: int
) -> DatasetDescription:
    """The description with the fold's periods: training and validation end with the book's training week."""
    first = fold.first_delay_day - train_days
    vali = fold.first_delay_day - vali_days
    days = {
        "train": (first, vali),
        "vali": (vali, fold.first_delay_day),
        "cali": (fold.first_delay_day, fold.first_delay_day),
        "test": (fold.first_test_day, fold.test_end),
    }
    split = {
        f"{period}_{edge}": pd.Timestamp(EPOCH) + pd.Timedelta(days=day)
        for period, edges in days.items()
        for edge, day in zip(("start", "end"), edges, strict=True)
    }
    return DatasetDescription.model_validate(description.model_dump() | {"split": split})


def score_rival(name: str, data: Transactions, fold: Fold, rows: Array, seed: int) -> Array:
    """Train one of `BASELINES` on the fold's training week and return its scores of `rows`."""
    train = training_rows(fold, data.day)
    model = create_baseline(name, seed).fit(data.features[train], data.label[train])
    return model.predict_proba(data.features[rows])[:, 1]


def create_baseline(name: str, seed: int) -> Any:
    """A classifier with scikit-learn's interface."""
    if name == "logistic_regression":
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    if name == "random_forest":
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(n_estimators=100, max_depth=20, random_state=seed, n_jobs=-1)
    from lightgbm import LGBMClassifier

    return LGBMClassifier(
        n_estimators=200,
        learning_rate=0.05,
        num_leaves=15,
        min_child_samples=50,
        random_state=seed,
        deterministic=True,
        verbose=-1,
    )


def build_fold(events: str | Path, run: RunConfig, fold: Fold, folder: Path) -> SequenceStore:
    """The sequence store that TSA learns the fold from."""
    description = split_at(run.dataset, fold, TSA_TRAIN_DAYS, TSA_VALI_DAYS)
    return SequenceStore.build(events, description, folder / "store")


def train_tsa(name: str, store: SequenceStore, run: RunConfig, seed: int, folder: Path) -> dict[str, Any]:
    """Train one of `TSA` by the project's own trainer; the model folder is `folder`/model.

    Returns:
        What `train_model` does, and `curve`: the validation metric after each epoch, of the first member.
    """
    model = run.model.changed(sequences=TSA[name])
    run = run.changed(model=model)
    with contextlib.redirect_stdout(io.StringIO()):
        result = train_model(store.directory, run, folder / "model", folder / "log", seed=seed)
    log = sorted((folder / "log").rglob("metrics.csv"))[0]
    metric = f"val/{run.training.primary_metric}"
    with log.open() as lines:
        return result | {"curve": [float(row[metric]) for row in csv.DictReader(lines) if row.get(metric)]}


def score_tsa(name: str, store: SequenceStore, rows: Array, folder: Path) -> Array:
    """Scores of some rows by the model that `train_tsa` left in `folder`."""
    network = load_model(folder / "model")
    scores = []
    with torch.inference_mode():
        for first in range(0, len(rows), SCORING_ROWS):
            batch = store.batch_rows(rows[first : first + SCORING_ROWS], TSA[name])
            scores.append(network(batch)[0].double().softmax(dim=1)[:, 1].numpy())
    return np.concatenate(scores)
