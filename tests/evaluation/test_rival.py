"""The models that stand beside TSA."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score
from support.plain_demo import plain_demo

from tsa_model.batch import ENGINEERED, histories
from tsa_model.evaluation import score_rival, score_trees
from tsa_model.evaluation.rival import current_orders
from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig
from tsa_model.simulation import simulate_orders


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> SequenceStore:
    run = RunConfig.load(plain_demo())
    orders = simulate_orders(run.simulation.changed(orders=12_000))
    return SequenceStore.build(orders, run.dataset, tmp_path_factory.mktemp("rival") / "store")


@pytest.mark.parametrize("known_label", [False, True])
def test_a_current_order_is_the_last_one_of_its_history(tmp_path, known_label) -> None:
    description = plain_demo()
    description["dataset"]["known_label"] = known_label
    run = RunConfig.load(description)
    orders = simulate_orders(run.simulation.changed(orders=2_000))
    store = SequenceStore.build(orders, run.dataset, tmp_path / "store")
    rows = np.arange(len(store))[::-3]
    batch = store.arrays(rows, "single")
    (history,) = histories(batch, "single")
    categories, values = current_orders(store, rows)
    assert (categories.dtype, values.dtype) == (np.int64, np.float64)
    np.testing.assert_array_equal(categories, history.cat[:, -1])
    np.testing.assert_array_equal(values, np.concatenate([history.num[:, -1], batch[ENGINEERED]], axis=1))


@pytest.mark.parametrize("score", [score_rival, score_trees])
def test_a_rival_scores_every_target_with_a_probability_better_than_chance(store, score) -> None:
    found = score(store, "test")
    label = store.labels("test")
    assert found.shape == label.shape
    assert ((found >= 0) & (found <= 1)).all()
    assert roc_auc_score(label, found) > 0.65
    assert average_precision_score(label, found) > 3 * label.mean()


def test_trees_are_the_same_in_every_run_and_learn_from_training_targets_only(store, monkeypatch) -> None:
    first = score_trees(store, "test")
    np.testing.assert_array_equal(first, score_trees(store, "test"))
    labels = SequenceStore.labels

    def of_a_coin(self, period):
        if period in ("train", "vali"):
            return np.random.default_rng(0).integers(0, 2, labels(self, period).size)
        return 1 - labels(self, period)

    monkeypatch.setattr(SequenceStore, "labels", of_a_coin)
    assert abs(roc_auc_score(labels(store, "test"), score_trees(store, "test")) - 0.5) < 0.12
