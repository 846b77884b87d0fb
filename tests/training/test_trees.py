"""Trees grown by LightGBM: as tensors they say the same, and in training no order meets trees that saw it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from support.batches import tiny_config
from support.small_training import small_run

from tsa_model.batch import MARGIN
from tsa_model.evaluation.boosting import Table, fit
from tsa_model.network.checkpoint import load_model
from tsa_model.network.fast.trees import margin_of
from tsa_model.network.trees import BoostedTrees
from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig
from tsa_model.training import train_model
from tsa_model.training.feeding import ShuffledBatches, TrainBatches
from tsa_model.training.runner import model_config
from tsa_model.training.trees import FOLDS, CurrentOrders, as_tensors, fit_trees, grow_trees, unseen_margins

CONFIG = tiny_config(n_cat_features=1, n_num_features=4, boosted_trees=40, tree_leaves=9, tree_depth=5)


def with_trees(**training) -> RunConfig:
    run = small_run(**{"with_trees": "residual", **training})
    return run.changed(model=run.model.changed(boosted_trees=30, tree_leaves=8))


def test_as_tensors_they_say_what_the_booster_says():
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, (900, 8)).astype(np.float32) / 4  # few values: some trees split near each of them
    x[:, 3] = rng.lognormal(size=900) * 1e-3
    label = (x[:, 0] * x[:, 1] + 300 * x[:, 3] + rng.normal(size=900) > 0.5).astype(np.int64)
    booster = fit(Table(x, label), rounds=40, num_leaves=9, max_depth=5, use_missing=False)
    trees = BoostedTrees(CONFIG)
    trees.fill(as_tensors(booster, 25, np.zeros(CONFIG.n_embedding + 2, np.float32), CONFIG))
    edges = np.unique([trees.threshold[t, n] for t in range(25) for n in range(17)]).astype(np.float32)
    edges = edges[np.abs(edges) > 1e-30]  # LightGBM takes smaller numbers for zero
    others = np.repeat(np.nextafter(edges, np.float32(np.inf))[:, None], 8, axis=1)
    rows = np.concatenate([x, np.repeat(edges[:, None], 8, axis=1), others])
    said = booster.predict(rows, num_iteration=25, raw_score=True)
    assert not trees.value[25:].any()
    assert np.unique(said).size > 100
    np.testing.assert_allclose(margin_of(trees, torch.from_numpy(rows)), said, rtol=0, atol=1e-5)


def test_no_order_meets_trees_or_codes_that_saw_its_customer():
    rng = np.random.default_rng(1)
    customer = rng.integers(
        0, 150, 1500
    )  # each of ten orders or so: a code or a tree could learn it by heart
    label = (rng.random(150) < 0.3).astype(np.int64)[customer]
    orders = CurrentOrders(
        categories=1 + customer[:, None],
        numbers=np.repeat(customer[:, None], 7, axis=1).astype(np.float32),
        label=label,
        fold=customer % FOLDS,
    )
    config = CONFIG.changed(n_embedding=160)
    found = unseen_margins(config, orders, 0, 40)
    assert abs(roc_auc_score(label, found) - 0.5) < 0.12
    seen = unseen_margins(config, orders.rows(np.arange(1500)), 0, 40)
    assert np.array_equal(found, seen)
    mixed = CurrentOrders(orders.categories, orders.numbers, label, rng.integers(0, FOLDS, 1500))
    assert roc_auc_score(label, unseen_margins(config, mixed, 0, 40)) > 0.9


def test_a_training_ends_with_the_trees_in_the_model_and_the_same_ones_again(
    store: SequenceStore, tmp_path
) -> None:
    run, found = with_trees(max_epochs=1), []
    for name in ("once", "again"):
        train_model(store.directory, run, tmp_path / name / "model", tmp_path / name / "log")
        found.append(load_model(tmp_path / name / "model").state_dict())
    assert all(torch.equal(tensor, found[1][name]) for name, tensor in found[0].items())
    fitted = fit_trees(store, model_config(run, store), run.training.seed)
    assert fitted.tensors["value"].any()
    assert all(torch.equal(tensor, found[0][f"trees.{name}"]) for name, tensor in fitted.tensors.items())
    other = fit_trees(store, model_config(run, store), run.training.seed + 1)
    assert not torch.equal(fitted.tensors["value"], other.tensors["value"])


def test_trees_that_nothing_stops_are_as_many_as_there_is_room_for(store: SequenceStore) -> None:
    config = model_config(with_trees(), store)
    stopped, all_of_them = (
        grow_trees(store, config.changed(tree_stopping=stopping), 0) for stopping in (True, False)
    )
    assert stopped.n_trees < 30 == all_of_them.n_trees
    values = [trees.tensors(config)["value"] for trees in (stopped, all_of_them)]
    assert torch.equal(values[0][: stopped.n_trees], values[1][: stopped.n_trees])
    assert not values[0][stopped.n_trees :].any()
    assert values[1].any(dim=1).all()


def test_training_batches_carry_the_margins_of_their_rows(store: SequenceStore) -> None:
    fitted = fit_trees(store, model_config(with_trees(), store), 0)
    sampler = ShuffledBatches(store.targets("train"), 64, seed=0)
    known = dict(zip(fitted.rows.tolist(), fitted.margin.tolist(), strict=True))
    assert len(set(known.values())) > 100
    for batch in TrainBatches(store, "dual", sampler, fitted.margin_of):
        assert batch[MARGIN].tolist() == [known[row] for row in batch["row"].tolist()]
    assert MARGIN not in next(iter(TrainBatches(store, "dual", sampler)))


def test_three_classes_have_no_trees() -> None:
    with pytest.raises(ValueError, match=r"boosted_trees=40 with n_classes=3: .* choose boosted_trees: 0"):
        CONFIG.changed(n_classes=3)
