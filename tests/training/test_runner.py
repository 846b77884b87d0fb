from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from support.small_training import small_run

from tsa_model import progress
from tsa_model.network.checkpoint import load_model, read_description
from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig
from tsa_model.simulation import simulate_orders
from tsa_model.training import TSADualSeq, train_model
from tsa_model.training.runner import fingerprint, model_config

LONGER = small_run(max_epochs=2, checkpoint_every_steps=2)


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("sequences", ["single", "dual"])
def test_the_model_folder_holds_what_the_metrics_say(
    store: SequenceStore, tmp_path: Path, sequences: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = small_run(sequences)
    result = train_model(store.directory, run, tmp_path / "model", tmp_path / "log")

    network = load_model(tmp_path / "model")
    with torch.no_grad():
        logits = network(store.batch_rows(store.targets("vali"), sequences))[0]
    scores, labels = logits.double().softmax(dim=-1)[:, 1], store.labels("vali")
    assert result["val/auroc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)
    assert result["val/pr_auc"] == pytest.approx(average_precision_score(labels, scores), abs=1e-6)
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels))
    assert result["val_loss"] == pytest.approx(float(loss), abs=1e-6)
    assert result["epochs"] == 2
    assert result["best_epoch"] in (1, 2)
    assert result["rows_per_second"] > 0
    assert math.isfinite(result["train_loss"])
    assert result["key_figure"] == f"val/auroc {result['val/auroc']:.4f}"
    json.dumps(result, allow_nan=False)

    metadata = read_description(tmp_path / "model").metadata
    assert metadata["store_digest"] == store.digest
    assert metadata["metrics"]["val/auroc"] == result["val/auroc"]
    lines = [progress.parse(line) for line in capsys.readouterr().out.splitlines()]
    last = [line for line in lines if line is not None][-1]
    assert last.done == last.total == 2 * -(-len(store.targets("train")) // run.training.batch_size)


def test_training_learns(store: SequenceStore, tmp_path: Path) -> None:
    run = small_run(max_epochs=5, batch_size=64, max_learning_rate=4e-3)
    result = train_model(store.directory, run, tmp_path / "model", tmp_path / "log")
    assert result["val/auroc"] > 0.6
    text = (tmp_path / "log" / "csv" / "version_0" / "metrics.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    losses = [float(row["train_loss"]) for row in rows if row["train_loss"]]
    assert len(losses) == 5
    assert losses[-1] < losses[0]
    for name in ("train_loss_step", "lr-Adam", "val/gate_ccid_mean"):
        assert [row for row in rows if row[name]], name


def test_two_runs_give_the_same_bytes(store_dir: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        train_model(store_dir, small_run(), tmp_path / name / "model", tmp_path / name / "log")
    for file in ("model.safetensors", "model.json"):
        assert (tmp_path / "a/model" / file).read_bytes() == (tmp_path / "b/model" / file).read_bytes()


def test_new_memory_is_filled_outside_of_a_training_only(store_dir: Path, tmp_path: Path) -> None:
    seen = []

    class Look(pl.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            seen.append(torch.utils.deterministic.fill_uninitialized_memory)

    run = small_run(max_epochs=1)
    train_model(store_dir, run, tmp_path / "model", tmp_path / "log", callbacks=[Look()])
    assert seen
    assert not any(seen)
    assert torch.utils.deterministic.fill_uninitialized_memory


def test_another_seed_gives_another_model(store_dir: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        train_model(store_dir, small_run(), folder / "model", folder / "log", seed=seed, max_epochs=1)
    assert weights(tmp_path / "0/model") != weights(tmp_path / "1/model")


class Interrupted(Exception):
    """Stands for whatever ends a training from outside."""


@pytest.fixture(scope="module")
def undisturbed(
    store: SequenceStore, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """The model folder of an undisturbed training, and its result."""
    folder = tmp_path_factory.mktemp("undisturbed")
    result = train_model(store.directory, LONGER, folder / "model", folder / "log")
    return folder / "model", result


@pytest.mark.parametrize("n_steps", [1, 4, 5, 7])
def test_an_interrupted_training_ends_as_an_undisturbed_one(
    store_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: tuple[Path, dict[str, Any]],
    n_steps: int,
) -> None:
    run, (whole, expected) = LONGER, undisturbed
    original, steps = TSADualSeq.training_step, 0

    def training_step(self: TSADualSeq, batch: Any, batch_idx: int) -> torch.Tensor:
        nonlocal steps
        steps += 1
        if steps > n_steps:
            raise Interrupted
        return original(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(TSADualSeq, "training_step", training_step)
        with pytest.raises(Interrupted):
            train_model(store_dir, run, tmp_path / "model", tmp_path / "log")
    assert not (tmp_path / "model").exists()
    resumed = train_model(store_dir, run, tmp_path / "model", tmp_path / "log")
    assert weights(tmp_path / "model") == weights(whole)
    same = ("train_loss", "val_loss", "val/auroc", "val/pr_auc", "epochs", "best_epoch")
    assert {name: resumed[name] for name in same} == {name: expected[name] for name in same}
    assert steps > n_steps


def test_a_finished_training_is_not_repeated(
    store_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = small_run(max_epochs=4, patience=1, schedule="constant", learning_rate=1e-12)
    first = train_model(store_dir, run, tmp_path / "a", tmp_path / "log")
    assert first["epochs"] == 2  # nothing improves at such a rate: the second epoch is the last

    def never(self: TSADualSeq, batch: Any, batch_idx: int) -> torch.Tensor:
        raise AssertionError("trained again")

    monkeypatch.setattr(TSADualSeq, "training_step", never)
    again = train_model(store_dir, run, tmp_path / "b", tmp_path / "log")
    assert again["epochs"] == 2
    assert weights(tmp_path / "a") == weights(tmp_path / "b")


def test_resume_points_belong_to_one_store_model_and_setting(store: SequenceStore) -> None:
    runs = [small_run(), small_run(seed=1), small_run(max_epochs=3), small_run("single")]
    names = {fingerprint(store, model_config(run, store), run.training) for run in runs}
    assert len(names) == len(runs)


def test_a_damaged_resume_point_is_a_clear_error(store_dir: Path, tmp_path: Path) -> None:
    train_model(store_dir, small_run(max_epochs=1), tmp_path / "model", tmp_path / "log")
    (last,) = (tmp_path / "log" / "checkpoints").glob("*/last.ckpt")
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"last\.ckpt cannot be read .* delete it"):
        train_model(store_dir, small_run(max_epochs=1), tmp_path / "model", tmp_path / "log")


def test_a_loss_that_is_no_number_names_the_orders(store: SequenceStore, tmp_path: Path) -> None:
    run = small_run(schedule="constant", learning_rate=1e-3, loss_parameters={"weight": [1.0, math.inf]})
    with pytest.raises(ValueError, match=r"training loss is (inf|nan) in epoch 0, batch 0"):
        train_model(store.directory, run, tmp_path / "model", tmp_path / "log")
    saved = json.loads((tmp_path / "log" / "non_finite_batch.json").read_text())
    assert len(saved["order_ids"]) == run.training.batch_size
    assert set(saved["order_ids"]) <= set(store.order_ids("train").tolist())
    assert not (tmp_path / "model").exists()


def test_a_period_of_one_label_is_refused(tmp_path: Path) -> None:
    content = small_run().model_dump()
    content["dataset"]["split"]["vali_end"] = content["dataset"]["split"]["vali_start"]
    run = RunConfig.model_validate(content)
    assert run.simulation is not None
    store = SequenceStore.build(simulate_orders(run.simulation), run.dataset, tmp_path / "store")
    with pytest.raises(ValueError, match="the vali period has 0 labelled orders"):
        train_model(store.directory, run, tmp_path / "model", tmp_path / "log")
