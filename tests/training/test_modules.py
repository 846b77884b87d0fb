from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from support.small_training import small_run
from torch.utils.data import DataLoader

from tsa_model.network.checkpoint import load_model
from tsa_model.sequences import SequenceStore
from tsa_model.settings.model import ModelConfig
from tsa_model.settings.run import RunConfig
from tsa_model.training import TSADualSeq, TSASingleSeq, train_model
from tsa_model.training.feeding import EvaluationBatches, ShuffledBatches, TrainBatches
from tsa_model.training.predictions import save_predictions
from tsa_model.training.runner import create_trainer, model_config


def dual(store: SequenceStore, **training: Any) -> TSADualSeq:
    torch.manual_seed(0)
    run = small_run(**training)
    return TSADualSeq(model_config(run, store), run.training)


def test_a_module_trains_only_its_own_kind(store: SequenceStore) -> None:
    run = small_run("single")
    with pytest.raises(ValueError, match="TSADualSeq cannot train a network with sequences='single'"):
        TSADualSeq(model_config(run, store), run.training)
    TSASingleSeq(model_config(run, store), run.training)


def test_testing_covers_every_row_whatever_the_batches(store: SequenceStore, tmp_path: Path) -> None:
    module = dual(store, metric_choices=["auroc", "accuracy", "precision", "recall", "f1", "pr_auc"])
    seen = []
    for size in (7, 100):
        trainer = create_trainer(module.training_config, tmp_path, [])
        batches = EvaluationBatches(store, "dual", store.targets("cali")[:205], size)
        (logged,) = trainer.test(module, batches, verbose=False)
        assert set(module.evaluation) <= set(logged)
        seen.append(module.evaluation)
    assert seen[0] == pytest.approx(seen[1], abs=1e-6)
    assert seen[0].keys() == {"test_loss", *(f"test/{m}" for m in module.training_config.metric_choices)}


def test_predictions_are_saved_with_their_order_ids(store: SequenceStore, tmp_path: Path) -> None:
    module = dual(store, batch_size=64)
    trainer = create_trainer(module.training_config, tmp_path, [])
    assert save_predictions(trainer, module, store, "test", tmp_path / "p.parquet") == len(
        store.targets("test")
    )
    table = pq.read_table(tmp_path / "p.parquet").to_pydict()
    assert table["order_id"] == store.order_ids("test").tolist()
    assert table["label"] == store.labels("test").tolist()
    np.testing.assert_allclose(np.add(table["probability_0"], table["probability_1"]), 1, atol=1e-12)
    with torch.no_grad():
        logits = module.eval()(store.batch(table["order_id"][3:4]))
    assert table["probability_1"][3] == pytest.approx(float(logits.double().softmax(-1)[0, 1]), abs=1e-6)


def test_tensorboard_shows_curves_pictures_and_the_gate(store: SequenceStore, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = small_run(max_epochs=1, tensorboard=True)
    train_model(store.directory, run, tmp_path / "model", tmp_path / "log")
    (folder,) = (tmp_path / "log" / "tensorboard").iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    tags = events.Tags()
    assert {"val/auroc", "train_loss"} <= set(tags["scalars"])
    assert {"val/curves", "val/scores"} <= set(tags["images"])
    assert "val/gate_ccid" in tags["histograms"]
    assert "val/precision_recall" in tags["tensors"]


def test_more_than_two_classes_train_and_are_judged(store: SequenceStore, tmp_path: Path) -> None:
    run = small_run(max_epochs=1)
    config = ModelConfig(**{**model_config(run, store).model_dump(), "n_classes": 3})

    class ThreeClasses(EvaluationBatches):
        def __iter__(self) -> Any:
            for batch in super().__iter__():
                yield {**batch, "label": batch["label"] + (batch["row"] % 2)}

    module = TSADualSeq(config, run.training)
    batches = ThreeClasses(store, "dual", store.targets("train")[:256], 64)
    create_trainer(run.training, tmp_path, []).fit(module, batches, batches)
    assert 0 < module.evaluation["val/auroc"] < 1
    assert len(module.epoch_metrics) == 1


@pytest.mark.parametrize("sequences", ["single", "dual"])
def test_activation_checkpointing_changes_no_number(
    store: SequenceStore, tmp_path: Path, sequences: str
) -> None:
    folders = []
    for switch in (False, True):
        run = small_run(sequences, max_epochs=1, activation_checkpointing=switch)
        folder = tmp_path / str(switch)
        train_model(store.directory, run, folder / "model", folder / "log")
        folders.append(load_model(folder / "model").state_dict())
    assert folders[0].keys() == folders[1].keys()
    for name, tensor in folders[0].items():
        torch.testing.assert_close(folders[1][name], tensor, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize(
    "training",
    [
        {"precision": "bf16-mixed"},
        {"accumulate": 2},
        {"schedule_interval": "epoch"},
        {"optimizer": "adamw", "weight_decay": 0.01, "schedule": "warmup"},
        {"gradient_clip": 0.0},
        {"loss": "CyclicalFocalLoss"},
    ],
    ids=lambda training: next(iter(training)),
)
def test_every_switch_trains(store: SequenceStore, tmp_path: Path, training: dict[str, Any]) -> None:
    result = train_model(
        store.directory, small_run("single", **training), tmp_path / "model", tmp_path / "log"
    )
    assert np.isfinite(result["train_loss"])


def test_accumulated_batches_give_the_gradient_of_one(store: SequenceStore, tmp_path: Path) -> None:
    weights = []
    for size, accumulate in ((64, 1), (32, 2)):
        content = small_run(batch_size=size, accumulate=accumulate, max_epochs=1).model_dump()
        content["model"] |= {"use_moe": False, "dropout": 0.0}
        content["training"] |= {"schedule": "constant", "learning_rate": 1e-3}
        run = RunConfig.model_validate(content)
        torch.manual_seed(0)
        module = TSADualSeq(model_config(run, store), run.training)
        sampler = ShuffledBatches(store.targets("train")[:128], size, seed=0)
        trainer = create_trainer(run.training, tmp_path, [])
        trainer.fit(
            module,
            TrainBatches(store, "dual", sampler),
            EvaluationBatches(store, "dual", store.targets("vali"), 500),
        )
        assert trainer.global_step == 2
        weights.append(module.state_dict())
    for name, tensor in weights[0].items():
        # Adam divides by the gradient's own size, so rounding moves a weight by part of a step of 1e-3.
        torch.testing.assert_close(weights[1][name], tensor, rtol=0, atol=2e-5, msg=name)


def test_a_network_without_finite_logits_is_not_judged(store: SequenceStore, tmp_path: Path) -> None:
    module = dual(store)
    with torch.no_grad():
        module.network.clf[0].bias[0] = float("nan")
    batches = EvaluationBatches(store, "dual", store.targets("cali")[:20], 10)
    with pytest.raises(ValueError, match="20 of 20 test orders have a logit that is not finite"):
        create_trainer(module.training_config, tmp_path, []).test(module, batches, verbose=False)


def test_another_metric_may_select(store: SequenceStore, tmp_path: Path) -> None:
    run = small_run("single", metric_choices=["pr_auc"], primary_metric="pr_auc")
    result = train_model(store.directory, run, tmp_path / "model", tmp_path / "log")
    assert result["key_figure"] == f"val/pr_auc {result['val/pr_auc']:.4f}"
    assert "val/auroc" not in result


def test_batches_of_ones_own_need_no_row_numbers(store: SequenceStore, tmp_path: Path) -> None:
    module = dual(store)
    rows = store.targets("cali")[:60]
    trainer = create_trainer(module.training_config, tmp_path, [])
    (numbered,) = trainer.test(module, EvaluationBatches(store, "dual", rows, 25), verbose=False)
    own = DataLoader([store.batch_rows(part) for part in np.split(rows, [25, 50])], batch_size=None)
    (counted,) = trainer.test(module, own, verbose=False)
    assert counted == numbered
    assert trainer.predict(module, own)[1].keys() == {"probabilities"}
