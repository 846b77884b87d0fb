"""A network and trees that learned apart: shipped, the logit is the weighted mean of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from support.batches import ragged_batch, tiny_config, tiny_network
from support.small_training import small_run

from tsa_model.batch import MARGIN, n_rows
from tsa_model.network.checkpoint import load_model, read_description
from tsa_model.network.implementation import ImplementationName
from tsa_model.network.networks import members_of
from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig
from tsa_model.training import train_model
from tsa_model.training.fusion import choose_share, weigh
from tsa_model.training.runner import model_config
from tsa_model.training.trees import grow_trees, read_orders


def run_with_trees(**training: Any) -> RunConfig:
    run = small_run(max_epochs=1, **training)
    trees = {"boosted_trees": 30, "tree_leaves": 8, "wide_hidden_dim": 8}
    return run.changed(model=run.model.changed(**trees))


@torch.no_grad()
def logits_of(
    folder: Path, store: SequenceStore, implementation: ImplementationName = "fast"
) -> list[torch.Tensor]:
    """Of each member, of the validation targets; fraud above genuine, float64 [n]."""
    batch = store.batch_rows(store.targets("vali"), "dual")
    found = [member(batch)[0].double() for member in members_of(load_model(folder, implementation))]
    return [logits[:, 1] - logits[:, 0] for logits in found]


@pytest.fixture(scope="module")
def averaged(store: SequenceStore, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Model folder and metrics of two members, each the mean of a network and trees."""
    folder = tmp_path_factory.mktemp("averaged")
    run = run_with_trees(with_trees="average", members=2, seed=4)
    return folder / "model", train_model(store.directory, run, folder / "model", folder / "log")


@pytest.fixture(scope="module")
def alone(store: SequenceStore, tmp_path_factory: pytest.TempPathFactory) -> dict[int, np.ndarray]:
    """Seed of a member → the logits of a network that is trained without trees."""
    found, folder = {}, tmp_path_factory.mktemp("alone")
    for seed in (4, 5):
        run = small_run(max_epochs=1, seed=seed)
        run = run.changed(model=run.model.changed(wide_hidden_dim=8))
        train_model(store.directory, run, folder / f"{seed}" / "model", folder / f"{seed}" / "log")
        (logits,) = logits_of(folder / f"{seed}" / "model", store)
        found[seed] = logits.numpy()
    return found


@pytest.mark.parametrize("sequences", ["single", "dual"])
@pytest.mark.parametrize("wide", [0, 6])
def test_weighed_logits_are_the_mean_of_network_and_trees(sequences: str, wide: int) -> None:
    config = tiny_config(sequences, boosted_trees=4, tree_leaves=6, tree_depth=4, wide_hidden_dim=wide)
    network, batch = tiny_network(config), ragged_batch(config)
    none = {**batch, MARGIN: torch.zeros(n_rows(batch))}
    with torch.no_grad():
        alone, whole = network(none)[0], network(batch)[0]
        weigh(network, 0.3)
        found, reference = network(batch)[0], network.twin("reference")(batch)[0]
    assert (whole - alone).abs().max() > 0.1
    expected = 0.3 * alone + 0.7 * (whole - alone)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(whole.abs().max()))
    torch.testing.assert_close(reference, found, rtol=0, atol=1e-5 * float(whole.abs().max()))


def test_a_network_without_trees_is_not_weighed() -> None:
    with pytest.raises(ValueError, match="without boosted trees"):
        weigh(tiny_network(tiny_config()), 0.5)


@pytest.mark.parametrize("implementation", ["fast", "reference"])
def test_what_is_shipped_is_the_mean_of_the_network_alone_and_the_trees(
    store: SequenceStore,
    averaged: tuple[Path, dict[str, Any]],
    alone: dict[int, np.ndarray],
    implementation: ImplementationName,
) -> None:
    run = run_with_trees()
    orders = read_orders(store, store.targets("vali"))
    shipped = logits_of(averaged[0], store, implementation)
    told = read_description(averaged[0]).metadata["members"]
    for seed, member, summary in zip((4, 5), shipped, told, strict=True):
        margin = grow_trees(store, model_config(run, store), seed).margin(orders)
        share = summary["network_share"]
        assert share == choose_share(alone[seed], margin, orders.label)
        expected = share * alone[seed] + (1 - share) * margin
        np.testing.assert_allclose(member, expected, rtol=0, atol=1e-5)


def test_the_metrics_are_those_of_the_mean(
    store: SequenceStore, averaged: tuple[Path, dict[str, Any]]
) -> None:
    label = store.labels("vali")
    shipped = logits_of(averaged[0], store)
    told = read_description(averaged[0]).metadata
    assert averaged[1]["val/pr_auc"] == pytest.approx(average_precision_score(label, sum(shipped)), abs=1e-6)
    for member, summary in zip(shipped, told["members"], strict=True):
        assert summary["metrics"]["val/pr_auc"] == pytest.approx(
            average_precision_score(label, member), abs=1e-6
        )
    assert told["network_share"] == told["members"][0]["network_share"]


def test_started_again_it_ends_with_the_same_weights(store: SequenceStore, tmp_path: Path) -> None:
    run, folder = run_with_trees(with_trees="average"), tmp_path / "model"
    digests = [train_model(store.directory, run, folder, tmp_path / "log")["weights_sha256"] for _ in "ab"]
    assert digests[0] == digests[1]


def test_without_trees_the_setting_changes_nothing(store: SequenceStore, tmp_path: Path) -> None:
    found = []
    for name in ("residual", "average"):
        run = small_run(max_epochs=1, with_trees=name)
        train_model(store.directory, run, tmp_path / name / "model", tmp_path / name / "log")
        assert "network_share" not in read_description(tmp_path / name / "model").metadata
        found.append(load_model(tmp_path / name / "model").state_dict())
    assert all(torch.equal(tensor, found[1][name]) for name, tensor in found[0].items())


def scores(n: int, network: float, trees: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two logits and labels drawn from the sum of them, each times a weight."""
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, n))
    label = rng.random(n) < 1 / (1 + np.exp(2 - network * a - trees * b))
    return a, b, label.astype(np.int64)


@pytest.mark.parametrize(
    ("network", "trees", "share"), [(1.0, 1.0, 0.5), (0.5, 1.5, 0.25), (0.0, 2.0, 0.1), (2.0, 0.0, 0.9)]
)
def test_many_labels_choose_the_share(network: float, trees: float, share: float) -> None:
    assert choose_share(*scores(200_000, network, trees)) == pytest.approx(share, abs=0.03)


def test_few_labels_and_labels_of_one_kind_leave_it_near_a_fifth() -> None:
    a, b, label = scores(40, 0.0, 1.0)
    assert 3 < label.sum() < 10
    assert 0.18 < choose_share(a, b, label) < 0.2 + 1e-9
    assert choose_share(*scores(200_000, 0.0, 1.0)) == 0.1
    assert choose_share(a, b, np.zeros_like(label)) == 0.2
    assert choose_share(-a, -b, (a + b > 1).astype(np.int64)) == 0.2


def test_a_hundred_frauds_move_the_share_by_half_of_what_they_ask_for_at_most() -> None:
    """On card payments 156 frauds of validation asked for .45, and those of the test for .16."""
    a, b, label = scores(600, 2.0, 0.5)
    assert 100 < label.sum() < 200
    assert 0.25 < choose_share(a, b, label) < 0.2 + (0.8 - 0.2) / 2
