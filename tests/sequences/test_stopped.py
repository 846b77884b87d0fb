"""Training targets where a policy stopped orders."""

from __future__ import annotations

import numpy as np
import pytest
from support.plain_demo import plain_demo

from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig
from tsa_model.simulation import simulate_orders

COLUMNS = {"probability": "stop_probability", "decision": "stopped"}


@pytest.fixture(scope="module")
def run() -> RunConfig:
    run = RunConfig.load(plain_demo())
    simulation = run.simulation.changed(orders=4000, stopping={"frauds_stopped": 0.5})
    dataset = run.dataset.changed(target_positive_rate=None)
    return run.changed(simulation=simulation, dataset=dataset)


@pytest.fixture(scope="module")
def orders(run):
    return simulate_orders(run.simulation)


def test_training_targets_are_there_as_often_as_they_stand_for_orders(run, orders, tmp_path) -> None:
    plain = SequenceStore.build(orders, run.dataset, tmp_path / "plain")
    stopping = run.dataset.changed(stopping=COLUMNS)
    weighted = SequenceStore.build(orders, stopping, tmp_path / "weighted")
    rows, times = np.unique(weighted.targets("train"), return_counts=True)
    np.testing.assert_array_equal(rows, plain.targets("train"))
    probability = orders.set_index("order_id").stop_probability.loc[plain.order_ids("train")]
    assert (np.abs(times - 1 / (1 - probability)) < 1).all()
    assert weighted.prior > 1.3 * plain.prior
    for period in ("vali", "cali", "test"):
        np.testing.assert_array_equal(weighted.targets(period), plain.targets(period))
    assert weighted.preprocessing == plain.preprocessing
    assert "stopping" not in plain.manifest.description.as_prepared()
    again = SequenceStore.build(orders, stopping, tmp_path / "again")
    assert again.digest == weighted.digest


def test_without_weights_in_training_only_stopped_orders_are_left_out(run, orders, tmp_path) -> None:
    labelled = orders.assign(label=orders.label.fillna(1))
    dataset = run.dataset.changed(stopping=COLUMNS | {"weight_training": False})
    store = SequenceStore.build(labelled, dataset, tmp_path / "store")
    stopped = orders.set_index("order_id").stopped
    for period in ("train", "test"):
        assert (stopped.loc[store.order_ids(period)] == 0).all()
        assert np.unique(store.targets(period)).size == store.targets(period).size


@pytest.mark.parametrize(
    ("stopping", "words"),
    [
        ({"probability": "amount"}, "stopping names 'amount', which is a key or a feature too"),
        ({"probability": "p", "decision": "label"}, "stopping names 'label'"),
        ({"probability": "p", "most_weight": 0.5}, "most_weight"),
    ],
)
def test_columns_that_have_another_role_are_refused(run, stopping, words) -> None:
    with pytest.raises(ValueError, match=words):
        run.dataset.changed(stopping=stopping)


def test_a_probability_that_is_none_is_refused(run, orders, tmp_path) -> None:
    wrong = orders.assign(stop_probability=orders.stop_probability.where(orders.index != 1500, 1.5))
    dataset = run.dataset.changed(stopping={"probability": "stop_probability"})
    with pytest.raises(ValueError, match=r"stop_probability: 1\.5 is no probability in \[0, 1\]"):
        SequenceStore.build(wrong.assign(label=wrong.label.fillna(0)), dataset, tmp_path / "store")
