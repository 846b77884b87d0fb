"""Several seeds as one model, and the average of the weights over the steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from sklearn.metrics import average_precision_score
from support.small_training import small_run

from tsa_model.network.checkpoint import load_model, read_description
from tsa_model.network.networks import members_of
from tsa_model.sequences import SequenceStore
from tsa_model.settings.training import TrainConfig
from tsa_model.training import TSADualSeq, train_model
from tsa_model.training.averaging import move_towards


class Interrupted(Exception):
    """Stands for whatever ends a training from outside."""


@pytest.fixture(scope="module")
def pair(store: SequenceStore, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Model folder and metrics of two members."""
    folder = tmp_path_factory.mktemp("pair")
    run = small_run(max_epochs=1, members=2, seed=4)
    return folder / "model", train_model(store.directory, run, folder / "model", folder / "log")


def test_members_are_the_trainings_of_their_seeds(
    store: SequenceStore, pair: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    members = members_of(load_model(pair[0]))
    for seed, member in zip((4, 5), members, strict=True):
        run = small_run(max_epochs=1, seed=seed)
        train_model(store.directory, run, tmp_path / str(seed) / "model", tmp_path / str(seed) / "log")
        alone = load_model(tmp_path / str(seed) / "model").state_dict()
        assert all(torch.equal(tensor, alone[name]) for name, tensor in member.state_dict().items())


def test_the_report_is_about_the_mean_and_tells_how_far_the_members_differ(
    store: SequenceStore, pair: tuple[Path, dict[str, Any]]
) -> None:
    folder, result = pair
    network = load_model(folder)
    rows = store.targets("vali")
    with torch.no_grad():
        scores = network(store.batch_rows(rows, "dual"))[0].double().softmax(dim=-1)[:, 1]
    assert result["val/pr_auc"] == pytest.approx(
        average_precision_score(store.labels("vali"), scores), abs=1e-6
    )
    told = read_description(folder).metadata["members"]
    values = [member["metrics"]["val/auroc"] for member in told]
    assert [member["seed"] for member in told] == [4, 5]
    assert result["members/auroc_min"] == min(values) < max(values) == result["members/auroc_max"]
    assert result["members/auroc_sd"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert "2 members" in result["key_figure"]


def stop_after(n_steps: int) -> Any:
    original, steps = TSADualSeq.training_step, 0

    def training_step(self: TSADualSeq, batch: Any, batch_idx: int) -> torch.Tensor:
        nonlocal steps
        steps += 1
        if steps > n_steps:
            raise Interrupted
        return original(self, batch, batch_idx)

    return training_step


def test_interrupted_in_the_second_member_with_averaged_weights(
    store: SequenceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = small_run(max_epochs=1, members=2, average_decay=0.5, checkpoint_every_steps=2)
    train_model(store.directory, run, tmp_path / "whole", tmp_path / "whole_log")
    per_epoch = -(-len(store.targets("train")) // run.training.batch_size)
    with monkeypatch.context() as patch:
        patch.setattr(TSADualSeq, "training_step", stop_after(per_epoch + 3))
        with pytest.raises(Interrupted):
            train_model(store.directory, run, tmp_path / "model", tmp_path / "log")
    assert not (tmp_path / "model").exists()
    # The first member is not trained again; of the second, one step is lost.
    with monkeypatch.context() as patch:
        patch.setattr(TSADualSeq, "training_step", stop_after(per_epoch - 2))
        train_model(store.directory, run, tmp_path / "model", tmp_path / "log")
    same = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "model")]
    assert same[0] == same[1]


def test_what_is_validated_is_the_average(store: SequenceStore, tmp_path: Path) -> None:
    results = {}
    for decay in (0.0, 0.9):
        run = small_run("single", max_epochs=1, average_decay=decay)
        folder = tmp_path / str(decay)
        results[decay] = train_model(store.directory, run, folder / "model", folder / "log")
        with torch.no_grad():
            batch = store.batch_rows(store.targets("vali"), "single")
            scores = load_model(folder / "model")(batch)[0].double().softmax(dim=-1)[:, 1]
        found = average_precision_score(store.labels("vali"), scores)
        assert results[decay]["val/pr_auc"] == pytest.approx(found, abs=1e-6)
    assert results[0.0]["train_loss"] == results[0.9]["train_loss"]
    assert results[0.0]["val_loss"] != results[0.9]["val_loss"]


def test_the_average_forgets_fresh_weights_quickly() -> None:
    average = torch.tensor([1.0])
    plain = 1.0
    for n in range(40):
        move_towards(0.95, [average], [torch.tensor([float(n)])], torch.tensor(n))
        decay = min(0.95, (1 + n) / (10 + n))
        plain = decay * plain + (1 - decay) * n
    assert average.item() == pytest.approx(plain, rel=1e-5)
    assert plain > 25


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"members": 2, "devices": 2}, "members are trained one after another"),
        ({"average_decay": 0.9, "strategy": "fsdp"}, "sharded weights are not averaged"),
        ({"average_decay": 1.0}, "less than 1"),
        ({"members": 0}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_trained_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainConfig(**settings)
