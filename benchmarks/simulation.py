"""How visible the simulated frauds are: AUC by pattern, from the order alone and with either history.

python benchmarks/simulation.py [--orders 60000] [--seed 7]
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tsa_model.settings.run import RunConfig
from tsa_model.simulation import PATTERNS, simulate_orders_and_patterns


def history_features(orders: pd.DataFrame, key: str, categorical: list[str]) -> pd.DataFrame:
    """What a person would compute by hand over a key's earlier orders; nothing of the order's own moment."""
    keys = orders[key].astype("Int64").fillna(-orders["order_id"])  # no key: a history of its own
    by_key = orders.groupby(keys, sort=False)
    n_earlier = by_key.cumcount()
    features = {"n": n_earlier}
    for name in categorical:
        n_same = orders.groupby([keys, orders[name]], sort=False).cumcount()
        features[f"{name}_same"] = n_same / n_earlier.clip(lower=1)
    for name in ("log_amount", "hour", "session_minutes"):
        mean = (by_key[name].cumsum() - orders[name]) / n_earlier.clip(lower=1)
        features[f"{name}_change"] = orders[name] - mean
    for back in (1, 3, 5):
        features[f"seconds_since_{back}"] = orders["order_time"] - by_key["order_time"].shift(back)
        features[f"digital_{back}_ago"] = by_key["shipping"].shift(back).eq("digital")
    return pd.DataFrame(features).astype(float).add_prefix(f"{key}_")


def read_arguments() -> argparse.Namespace:
    """Number of orders and seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


def main() -> None:
    """Fit on the training period, print test AUC overall and by pattern."""
    run = RunConfig.load("demo")
    assert run.simulation is not None
    simulation = run.simulation.changed(**vars(read_arguments()))
    orders, pattern = simulate_orders_and_patterns(simulation)

    categorical = list(run.dataset.categorical)
    numerical = [*run.dataset.numerical, *run.dataset.engineered]
    known = orders["label"].notna()
    label = orders["label"].fillna(0).to_numpy(dtype=int)

    def rows(period: str) -> np.ndarray:
        start, end = (moment.timestamp() for moment in run.dataset.split.window(period))
        return np.flatnonzero(known & orders["order_time"].between(start, end, inclusive="left"))

    train, test = rows("train"), rows("test")
    shares = {name: f"{np.mean(pattern == code):.2%}" for code, name in enumerate(PATTERNS)}
    print(f"{len(orders):,} orders: {shares}; train {len(train):,}, test {len(test):,}")

    def report(name: str, score: np.ndarray) -> None:
        figures = [roc_auc_score(label[test], score)]
        for code in range(1, 5):
            wanted = (pattern[test] == code) | (label[test] == 0)
            figures.append(roc_auc_score(label[test][wanted], score[wanted]))
        print(f"{name:42s}" + "".join(f"{figure:12.3f}" for figure in figures))

    print(f"{'test AUC':42s}" + "".join(f"{name:>12s}" for name in ("all", *PATTERNS[1:5])))
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), categorical), (StandardScaler(), numerical)
    )
    plain = make_pipeline(columns, LogisticRegression(max_iter=1_000))
    plain.fit(orders.iloc[train], label[train])
    report("logistic regression, order alone", plain.predict_proba(orders.iloc[test])[:, 1])

    own = orders[numerical].copy()
    own[categorical] = orders[categorical].apply(lambda column: column.astype("category").cat.codes)
    customer = history_features(orders, "customer_id", categorical)
    card = history_features(orders, "card_id", categorical)
    for name, parts in {
        "boosted trees, order alone": [own],
        "boosted trees, order and customer": [own, customer],
        "boosted trees, order and card": [own, card],
        "boosted trees, order and both histories": [own, customer, card],
    }.items():
        table = pd.concat(parts, axis=1).to_numpy(dtype=float)
        trees = HistGradientBoostingClassifier(max_iter=150, learning_rate=0.08, random_state=0)
        trees.fit(table[train], label[train])
        report(name, trees.predict_proba(table[test])[:, 1])


if __name__ == "__main__":
    main()
