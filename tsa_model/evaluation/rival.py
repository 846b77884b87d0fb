"""The rivals: logistic regression and boosted trees on what the description computes of the order itself.

They see its features, windows and lags. What a sequence of orders adds is TSA's lead over them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsa_model.evaluation.boosting import Table, fit
from tsa_model.sequences.features.preprocessing import LABEL_VALUES
from tsa_model.settings.dataset import KNOWN_LABEL

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from tsa_model.sequences import SequenceStore

CHUNK = 8192
MAX_TRAINING_ROWS = 200_000


def score_rival(store: SequenceStore, period: str = "test", seed: int = 0) -> NDArray[np.float64]:
    """Fit a logistic regression on the training targets' current orders and score a period.

    It sees what the network sees of the current order (categories one-hot, numerical and engineered values
    standardised) and nothing of any history.

    Args:
        store: the sequence store.
        period: the period to score.
        seed: of the sample taken when there are more than 200,000 training targets.

    Returns:
        Probability of fraud of each of the period's targets, in their order.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    rows, labels = _training_targets(store, seed)
    scaler = StandardScaler()
    categories, values = current_orders(store, rows)
    inputs = _design(store.n_embedding, categories, scaler.fit_transform(values))
    model = LogisticRegression(C=1.0, max_iter=500).fit(inputs, labels)
    scored = []
    for start in range(0, store.targets(period).size, CHUNK):
        categories, values = current_orders(store, store.targets(period)[start : start + CHUNK])
        inputs = _design(store.n_embedding, categories, scaler.transform(values))
        scored.append(model.predict_proba(inputs)[:, 1])
    return np.concatenate(scored) if scored else np.zeros(0)


def score_trees(store: SequenceStore, period: str = "test", seed: int = 0) -> NDArray[np.float64]:
    """Fit LightGBM on the training targets' current orders, stop early on the validation period, score.

    It sees what the logistic regression sees. One thread, so that the trees depend on no machine.

    Args:
        store: the sequence store.
        period: the period to score.
        seed: of the trees' sampling, and of the sample taken when there are more than 200,000 targets.

    Returns:
        Probability of fraud of each of the period's targets, in their order.
    """
    rows, labels = _training_targets(store, seed)
    targets, vali = store.targets(period), store.targets("vali")
    if not targets.size:
        return np.zeros(0)
    model = fit(
        Table(_columns(store, rows), labels),
        Table(_columns(store, vali), store.labels("vali")) if vali.size else None,
        seed=seed,
        n_categorical=len(store.preprocessing.categorical),
    )
    return np.asarray(model.predict(_columns(store, targets), num_threads=1), np.float64)


def _training_targets(store: SequenceStore, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    rows, labels = store.targets("train"), store.labels("train")
    if rows.size <= MAX_TRAINING_ROWS:
        return rows, labels
    kept = np.random.default_rng(seed).choice(rows.size, MAX_TRAINING_ROWS, replace=False)
    kept.sort()
    return rows[kept], labels[kept]


def _columns(store: SequenceStore, rows: NDArray[Any]) -> NDArray[np.float32]:
    """Category indices, then values, of the current orders, [n, features]; indices are whole in float32."""
    categories, values = current_orders(store, rows)
    return np.concatenate([categories, values], axis=1).astype(np.float32)


def current_orders(store: SequenceStore, rows: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The current order's category indices [n, Fc] and numerical and engineered values [n, Fn + Fe]."""
    stored, values = store.own_values(rows)
    categories = np.empty((len(stored), len(store.preprocessing.categorical)), np.int64)
    categories[:, : stored.shape[1]] = stored
    if store.description.known_label:  # never known of the order itself
        categories[:, -1] = store.preprocessing.categorical[KNOWN_LABEL].values[LABEL_VALUES[0]]
    return categories, values.astype(np.float64)


def _design(n_embedding: int, categories: NDArray[np.int64], values: NDArray[np.float64]) -> csr_matrix:
    """One column per vocabulary index, then the values; index 0 is a category like any other."""
    from scipy.sparse import csr_matrix, hstack

    n_rows, n_features = categories.shape
    ones = np.ones(categories.size)
    starts = np.arange(0, categories.size + 1, n_features)
    one_hot = csr_matrix((ones, categories.ravel(), starts), shape=(n_rows, n_embedding + 2))
    return hstack([one_hot, csr_matrix(values)], format="csr")
