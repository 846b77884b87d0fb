"""The rival: a logistic regression on the order's own features. Histories add the model's lead over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsa_model.batch import ENGINEERED, histories

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

    rows, labels = store.targets("train"), store.labels("train")
    if rows.size > MAX_TRAINING_ROWS:
        kept = np.random.default_rng(seed).choice(rows.size, MAX_TRAINING_ROWS, replace=False)
        kept.sort()
        rows, labels = rows[kept], labels[kept]
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


def current_orders(store: SequenceStore, rows: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The current order's category indices [n, Fc] and numerical and engineered values [n, Fn + Fe]."""
    categories, values = [], []
    for start in range(0, rows.size, CHUNK):
        batch = store.batch_rows(rows[start : start + CHUNK], "single")
        (history,) = histories(batch, "single")
        categories.append(history.cat[:, -1].numpy())
        parts = [history.num[:, -1].numpy()]
        if ENGINEERED in batch:
            parts.append(batch[ENGINEERED].numpy())
        values.append(np.concatenate(parts, axis=1).astype(np.float64))
    return np.concatenate(categories), np.concatenate(values)


def _design(n_embedding: int, categories: NDArray[np.int64], values: NDArray[np.float64]) -> csr_matrix:
    """One column per vocabulary index, then the values; index 0 is a category like any other."""
    from scipy.sparse import csr_matrix, hstack

    n_rows, n_features = categories.shape
    ones = np.ones(categories.size)
    starts = np.arange(0, categories.size + 1, n_features)
    one_hot = csr_matrix((ones, categories.ravel(), starts), shape=(n_rows, n_embedding + 2))
    return hstack([one_hot, csr_matrix(values)], format="csr")
