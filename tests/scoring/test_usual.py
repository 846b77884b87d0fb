"""What is asked of orders before scores are believed: their columns, and the labels that a model reads."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.small_training import small_run

from tsa_model.batch import histories
from tsa_model.evaluation.stability import TrainingOrders
from tsa_model.scoring.given import GivenOrders
from tsa_model.scoring.usual import UnusualOrders, check_labels
from tsa_model.sequences import SequenceStore
from tsa_model.settings.dataset import KNOWN_LABEL
from tsa_model.simulation import simulate_orders


def test_the_histograms_are_those_of_the_training_period(scored, tmp_path) -> None:
    training = TrainingOrders.of(scored.store)
    start, end = (moment.timestamp() for moment in scored.run.dataset.split.window("train"))
    time = scored.events["order_time"]
    inside = scored.events[(time >= start) & (time < end)]
    assert training.orders == len(inside)
    columns = {one.name: one for one in training.columns}
    words = scored.store.preprocessing.categorical["channel"].values
    expected = inside["channel"].value_counts()
    found = dict(zip(columns["channel"].bins, columns["channel"].counts[:-1], strict=True))
    assert {word: found[words[word]] for word in expected.index} == expected.to_dict()
    assert sum(columns["amount"].counts) == len(inside)
    assert max(columns["amount"].counts) < 0.12 * len(inside)  # ten quantiles
    training.save(tmp_path / "training_orders.json")
    assert TrainingOrders.load(tmp_path / "training_orders.json") == training


def test_orders_of_the_training_period_are_like_it(scored) -> None:
    training = TrainingOrders.of(scored.store)
    times = scored.store.times_of(np.arange(len(scored.store)))
    first, last = (
        np.datetime64(one.replace(tzinfo=None)) for one in scored.run.dataset.split.window("train")
    )
    rows = np.flatnonzero((times >= first) & (times < last))
    assert set(training.compare(scored.store, rows).values()) == {0.0}
    by_chance = np.random.default_rng(0).choice(rows, 40, replace=False)
    assert set(training.compare(scored.store, by_chance).values()) == {0.0}


@pytest.fixture(scope="module")
def label_readers(tmp_path_factory):
    """A store of orders without any label, for features that read them; and the orders with labels."""
    run = small_run()
    assert run.simulation is not None
    orders = simulate_orders(run.simulation)
    window = {"name": "risk", "key": "customer", "statistic": "label_rate", "days": [30]}
    content = run.dataset.model_dump() | {"known_label": True, "windows": [window]}
    dataset = type(run.dataset).model_validate(content | {"engineered": ["risk_30d"]})
    folder = tmp_path_factory.mktemp("labels")
    preprocessing = SequenceStore.build(orders, dataset, folder / "labelled").preprocessing
    given = GivenOrders.open(orders.drop(columns="label"), None, dataset)
    return SequenceStore.build(given.sources, dataset, folder / "store", preprocessing), orders


def test_a_model_that_reads_labels_needs_those_of_earlier_orders(label_readers, tmp_path) -> None:
    store, orders = label_readers
    rows, said = np.arange(len(store) - 100, len(store)), []
    words = (
        r"reads the labels of earlier orders \(known_label, risk\), and 0 of the [\d,]+ orders that are old"
    )
    with pytest.raises(UnusualOrders, match=words):
        check_labels(store, rows, store.description, False, said.append)
    check_labels(store, rows, store.description, True, said.append)
    assert len(said) == 1
    is_old = orders["order_time"] < orders["order_time"].quantile(0.9)
    apart = GivenOrders.open(orders[~is_old].drop(columns="label"), orders[is_old], store.description)
    labelled = SequenceStore.build(apart.sources, store.description, tmp_path / "store", store.preprocessing)
    check_labels(labelled, rows, store.description, False, said.append)
    assert len(said) == 1
    assert labelled.manifest.labelled_orders == orders["label"][is_old].isin([0, 1]).sum()


def test_a_label_that_is_not_known_is_never_a_genuine_order(label_readers) -> None:
    store, _ = label_readers
    (history,) = histories(store.batch_rows(np.arange(len(store) - 50, len(store)), "single"), "single")
    indices = store.preprocessing.categorical[KNOWN_LABEL].values
    found = set(np.unique(history.cat[:, :, -1].numpy())) - {0}
    assert found == {indices["not yet known"]}
    assert pd.isna(store.prior) or store.prior is None
