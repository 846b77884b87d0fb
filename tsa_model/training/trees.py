"""The network's boosted trees: grown by LightGBM on the training targets, turned into plain tensors.

Where the network learns what the trees leave, each order carries in training the margin of other trees,
which never saw its customer: on orders that trees have learned from they leave next to nothing. Where it
learns without them, `fusion.py` brings both together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tsa_model.evaluation.boosting import Table, fit
from tsa_model.evaluation.rival import current_orders
from tsa_model.sequences import SequenceStore
from tsa_model.settings.model import ModelConfig

if TYPE_CHECKING:
    import lightgbm

FOLDS = 5
PRIOR_ORDERS = 20.0
"""A category's code is its share of frauds, as if seen so many times more at the overall share."""

Floats = NDArray[np.float32]
Wholes = NDArray[np.int64]


@dataclass(frozen=True)
class FittedTrees:
    """What the training needs of an ensemble.

    Attributes:
        tensors: of `network.trees.BoostedTrees`, by their names there.
        rows: row numbers of the training targets, ascending, [n].
        margin: per row that of trees which were fitted without its customer, float32 [n].
    """

    tensors: dict[str, Tensor]
    rows: Wholes
    margin: Floats

    def margin_of(self, rows: NDArray[Any]) -> Tensor:
        """Margins of some of the training targets, float32 [B]."""
        return torch.from_numpy(self.margin[np.searchsorted(self.rows, rows)])


@dataclass(frozen=True)
class CurrentOrders:
    """Current orders as they enter the network, row-aligned.

    Attributes:
        categories: [n, Fc], places in the vocabulary.
        numbers: [n, Fn + Fe].
        label: [n], 0 or 1.
        fold: [n], the same for all orders of a customer.
    """

    categories: Wholes
    numbers: Floats
    label: Wholes
    fold: Wholes

    def rows(self, chosen: NDArray[Any]) -> CurrentOrders:
        """Some of the orders."""
        return CurrentOrders(
            self.categories[chosen], self.numbers[chosen], self.label[chosen], self.fold[chosen]
        )

    def table(self, codes: Floats) -> Table:
        """Codes of the categories, then the numbers."""
        return Table(np.concatenate([codes[self.categories], self.numbers], axis=1), self.label)


@dataclass(frozen=True)
class Ensemble:
    """Trees as LightGBM has them, and what the categories stand for in them.

    Attributes:
        booster: LightGBM's.
        n_trees: how many of its trees count, from the first one on.
        codes: per row of the vocabulary, [V + 2].
    """

    booster: lightgbm.Booster
    n_trees: int
    codes: Floats

    def margin(self, orders: CurrentOrders) -> Floats:
        """What the trees say of orders, [n]."""
        table = orders.table(self.codes)
        found = self.booster.predict(table.columns, num_iteration=self.n_trees, raw_score=True, num_threads=1)
        return np.asarray(found, np.float32)

    def tensors(self, config: ModelConfig) -> dict[str, Tensor]:
        """Of `network.trees.BoostedTrees`, by their names there."""
        return as_tensors(self.booster, self.n_trees, self.codes, config)


def fit_trees(store: SequenceStore, config: ModelConfig, seed: int) -> FittedTrees:
    """Grow the trees of a network that learns what they leave.

    The same store, settings and seed give the same trees.

    Args:
        store: the sequence store.
        config: `boosted_trees` and the other settings of trees.
        seed: of the sampling of rows and columns.
    """
    rows = store.targets("train")
    orders = read_orders(store, rows)
    whole = _fit(config, orders, seed, _watched(store, config))
    margin = unseen_margins(config, orders, seed, whole.n_trees)
    return FittedTrees(whole.tensors(config), rows, margin)


def grow_trees(store: SequenceStore, config: ModelConfig, seed: int) -> Ensemble:
    """The trees of `fit_trees` for a network that learns without them."""
    orders = read_orders(store, store.targets("train"))
    return _fit(config, orders, seed, _watched(store, config))


def _watched(store: SequenceStore, config: ModelConfig) -> CurrentOrders | None:
    """What stops the trees, if anything does."""
    return read_orders(store, store.targets("vali")) if config.tree_stopping else None


def unseen_margins(config: ModelConfig, orders: CurrentOrders, seed: int, n_trees: int) -> Floats:
    """The margin that each order gets from trees of the other folds' customers, float32 [n].

    Args:
        config: of the trees.
        orders: training targets.
        seed: of the sampling of rows and columns.
        n_trees: how many trees each ensemble has.
    """
    margin = np.zeros(orders.label.size, np.float32)
    for fold in range(FOLDS):
        inside = orders.fold == fold
        if inside.any() and not inside.all():
            others = _fit(config, orders.rows(~inside), seed, n_trees=n_trees)
            margin[inside] = others.margin(orders.rows(inside))
    return margin


def read_orders(store: SequenceStore, rows: NDArray[Any]) -> CurrentOrders:
    """The current orders of some rows."""
    categories, numbers = current_orders(store, rows)
    customer = store.key_numbers(rows)[store.keys[0]].astype(np.uint64)
    return CurrentOrders(
        categories,
        numbers.astype(np.float32),
        store.labels_of(rows),
        (_mixed(customer) % FOLDS).astype(np.int64),
    )


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Numbers without any order left: the last step of the generator splitmix64."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    return numbers ^ (numbers >> np.uint64(31))


def _fit(
    config: ModelConfig,
    orders: CurrentOrders,
    seed: int,
    watched: CurrentOrders | None = None,
    n_trees: int | None = None,
) -> Ensemble:
    """Fit trees, each order with codes that its own label, and its customer's, had no part in."""
    n_rows = config.n_embedding + 2
    codes = _codes(orders, n_rows)
    columns = np.empty((orders.label.size, orders.categories.shape[1] + orders.numbers.shape[1]), np.float32)
    for fold in range(FOLDS):
        inside = orders.fold == fold
        columns[inside] = orders.rows(inside).table(_codes(orders.rows(~inside), n_rows)).columns
    booster = fit(
        Table(columns, orders.label),
        None if watched is None else watched.table(codes),
        rounds=n_trees or config.boosted_trees,
        seed=seed,
        num_leaves=config.tree_leaves,
        max_depth=config.tree_depth,
        learning_rate=config.tree_rate,
        use_missing=False,
    )
    best = booster.best_iteration  # not above 0 where nothing could be watched: then every tree counts
    return Ensemble(booster, best if best > 0 else booster.num_trees(), codes)


def _codes(orders: CurrentOrders, n_rows: int) -> Floats:
    """The share of frauds of every place in the vocabulary, drawn towards the overall share, [V + 2]."""
    n_columns = orders.categories.shape[1]
    places = orders.categories.ravel()
    frauds = np.bincount(places, np.repeat(orders.label, n_columns), n_rows)
    prior = orders.label.mean() if orders.label.size else 0.0
    found = (frauds + PRIOR_ORDERS * prior) / (np.bincount(places, minlength=n_rows) + PRIOR_ORDERS)
    return found.astype(np.float32)


def as_tensors(
    booster: lightgbm.Booster, n_trees: int, codes: Floats, config: ModelConfig
) -> dict[str, Tensor]:
    """The tensors of `network.trees.BoostedTrees` that compute what a booster does.

    Args:
        booster: of numerical columns, none of which is ever missing.
        n_trees: how many of its trees, from the first one on.
        codes: per row of the vocabulary, [V + 2].
        config: room for trees and nodes.
    """
    shape = (config.boosted_trees, 2 * config.tree_leaves - 1)
    found = {name: np.zeros(shape, np.float32) for name in ("feature", "threshold", "left", "right", "value")}
    for number, tree in enumerate(booster.dump_model(num_iteration=n_trees)["tree_info"]):
        for at, node in enumerate(_nodes(tree["tree_structure"])):
            for name, value in node.items():
                found[name][number, at] = value
    return {"codes": torch.from_numpy(codes), **{name: torch.from_numpy(x) for name, x in found.items()}}


def _nodes(root: dict[str, Any]) -> Iterator[dict[str, float]]:
    """The nodes of a tree that LightGBM describes, root first; children by their place among them."""
    waiting, n_known = [root], 1
    for at, node in enumerate(waiting):
        if "split_feature" not in node:
            yield {"left": at, "right": at, "value": node["leaf_value"]}
            continue
        assert node["decision_type"] == "<="
        waiting += [node["left_child"], node["right_child"]]
        yield {
            "feature": node["split_feature"],
            "threshold": _rounded_down(node["threshold"]),
            "left": n_known,
            "right": n_known + 1,
        }
        n_known += 2


def _rounded_down(threshold: float) -> float:
    """The largest float32 that is not above: to a float32 number the same threshold."""
    found = np.float32(threshold)
    return float(np.nextafter(found, np.float32(-np.inf)) if float(found) > threshold else found)
