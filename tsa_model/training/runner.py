"""From a sequence store to a model folder."""

from __future__ import annotations

import hashlib
import json
import logging
import signal
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import DeviceStatsMonitor, LearningRateMonitor
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger
from pytorch_lightning.utilities.exceptions import SIGTERMException

from tsa_model.files import write_json
from tsa_model.network.checkpoint import read_description, save_model
from tsa_model.network.choice import form_for
from tsa_model.sequences import SequenceStore
from tsa_model.settings.model import ModelConfig
from tsa_model.settings.run import RunConfig
from tsa_model.settings.training import TrainConfig
from tsa_model.stopping import STATUS, held
from tsa_model.training.averaging import AveragedWeights
from tsa_model.training.callbacks import ProgressLines, Throughput, in_terminal
from tsa_model.training.checkpoints import BEST, LAST, BestAndLast, WholeFileIO, weights_of
from tsa_model.training.feeding import EvaluationBatches, ShuffledBatches, TrainBatches
from tsa_model.training.fusion import fuse
from tsa_model.training.members import Trained, join, key_figure, spread, validation_metrics
from tsa_model.training.memory import new_memory_left_alone
from tsa_model.training.modules import NonFiniteLossError, TSADualSeq, TSAModule, TSASingleSeq
from tsa_model.training.processes import (
    check_world_size,
    create_strategy,
    started_by_launcher,
    train_in_processes,
)
from tsa_model.training.trees import fit_trees

MODULES: dict[str, type[TSAModule]] = {"single": TSASingleSeq, "dual": TSADualSeq}

LIGHTNING_NOISE = (
    r".*isinstance\(treespec, LeafSpec\)",  # its own use of a deprecated call
    r".*smaller than the logging interval",  # short epochs are logged as a whole
    r".*sync_dist=True",  # every rank logs the same value, computed from the rows of all
    r".*all_gather is deprecated",  # its own use
    r".*WeightAveraging callback with a model that overrides",  # about shards, which are refused
)


def train_model(
    store_dir: str | Path,
    run: RunConfig,
    model_dir: str | Path,
    log_dir: str | Path,
    seed: int | None = None,
    max_epochs: int | None = None,
    callbacks: Sequence[pl.Callback] = (),
) -> dict[str, Any]:
    """Train a TSA network on a sequence store and save the best epoch's weights.

    A run that was killed and is started again with the same arguments goes on from its last resume point
    (`log_dir`/checkpoints) and ends with the weights of an undisturbed run.

    Args:
        store_dir: written by `build_sequences`.
        run: model and training settings.
        model_dir: the model folder to write.
        log_dir: CSV log, resume points; TensorBoard files when asked for.
        seed: replaces the run's.
        max_epochs: replaces the run's.
        callbacks: Lightning's, for trainings in this process; none of them may change what is computed.

    Returns:
        train_loss and validation metrics of the best epoch, `epochs` trained, `best_epoch` (from 1),
        `rows_per_second`, `feeding_share` and `seconds` of this process, `weights_sha256`, `key_figure`.
        With several members the metrics are those of their mean, epochs are the first member's, and
        `members/<metric>_mean`, `_sd`, `_min`, `_max` say how far the members differ.

    Raises:
        ValueError: the store has no rows to train or select on, or the loss stopped being finite; then
            `log_dir`/non_finite_batch.json names the orders of the batch.
    """
    started = time.perf_counter()
    changes = {"seed": seed, "max_epochs": max_epochs}
    training = TrainConfig.model_validate(
        {**run.training.model_dump(), **{k: v for k, v in changes.items() if v is not None}}
    )
    run = run.changed(training=training)
    if training.devices * training.num_nodes > 1 and not started_by_launcher():
        return train_in_processes(store_dir, run, model_dir, log_dir)
    check_world_size(training)
    store = SequenceStore.open(store_dir)
    model = model_config(run, store)
    _check_periods(store)
    trained = [
        _train_member(store, model, training, k, Path(log_dir), callbacks) for k in range(training.members)
    ]
    network = join([member.weights for member in trained], model)
    metrics = validation_metrics(network, store, training) if model.members > 1 else trained[0].metrics
    metadata = {
        "store_digest": store.digest,
        "dataset": run.dataset.name,
        "training": training.model_dump(mode="json"),
        "best_epoch": trained[0].best_epoch,
        "epochs": trained[0].epochs,
        "metrics": metrics,
        "torch": torch.__version__,
    }
    if trained[0].network_share is not None:
        metadata["network_share"] = trained[0].network_share
    if model.members > 1:
        metadata["members"] = [member.summary() for member in trained]
    if trained[0].is_global_zero:
        save_model(network, model_dir, metadata)
    trained[0].wait("model saved")
    monitor = f"val/{training.primary_metric}"
    return {
        **metrics,
        **spread(trained, monitor),
        "epochs": trained[0].epochs,
        "best_epoch": trained[0].best_epoch,
        "rows_per_second": round(float(np.mean([member.rows_per_second for member in trained])), 1),
        "feeding_share": round(float(np.mean([member.feeding_share for member in trained])), 4),
        "seconds": round(time.perf_counter() - started, 1),
        "weights_sha256": read_description(model_dir).weights_sha256,
        "key_figure": key_figure(trained, monitor, metrics[monitor]),
    }


def model_config(run: RunConfig, store: SequenceStore) -> ModelConfig:
    """The run's model settings with the sizes of the store's data."""
    return ModelConfig(
        **run.model.model_dump(),
        n_cat_features=store.n_cat_features,
        n_num_features=store.n_num_features,
        n_embedding=store.n_embedding,
        n_engineered_num_features=store.n_engineered,
        seq_len=store.seq_len,
        members=run.training.members,
    )


def _train_member(
    store: SequenceStore,
    model: ModelConfig,
    training: TrainConfig,
    number: int,
    log_dir: Path,
    others: Sequence[pl.Callback],
) -> Trained:
    """Train one member, or the only network there is, and read its best epoch's weights."""
    members = training.members
    if members > 1:
        training = training.changed(seed=training.seed + number, members=1)
        model, log_dir = model.changed(members=1), log_dir / f"member_{number}"
    fused = model.boosted_trees > 0 and training.with_trees == "average"
    alone = model.changed(boosted_trees=0) if fused else model
    folder = log_dir / "checkpoints" / fingerprint(store, alone, training)
    averaged = training.average_decay > 0
    selection = BestAndLast(
        folder,
        f"val/{training.primary_metric}",
        training.patience,
        training.checkpoint_every_steps,
        averaged,
    )
    throughput = Throughput()
    callbacks = [ProgressLines(selection.monitor, number, members), throughput, selection, *others]
    if averaged:
        callbacks.append(AveragedWeights(training.average_decay))
    trainer = create_trainer(training, log_dir, callbacks)
    with _bad_batch_saved(store, log_dir / "non_finite_batch.json"):
        module = _fit(trainer, store, alone, training, folder / LAST)
    metrics, weights, share = module.epoch_metrics[selection.best_epoch], weights_of(folder / BEST), None
    if fused:
        whole = fuse(store, model, training, weights)
        metrics, weights, share = metrics | whole.metrics, whole.weights, whole.share
    return Trained(
        seed=training.seed,
        metrics=metrics,
        epochs=len(module.epoch_metrics),
        best_epoch=selection.best_epoch + 1,
        rows_per_second=throughput.rows_per_second,
        feeding_share=throughput.feeding_share,
        weights=weights,
        network_share=share,
        is_global_zero=trainer.is_global_zero,
        wait=trainer.strategy.barrier,
    )


def create_trainer(training: TrainConfig, log_dir: Path, callbacks: list[pl.Callback]) -> pl.Trainer:
    """Lightning's trainer as the configuration asks for it; it prints nothing, but a bar in a terminal."""
    log_dir.mkdir(parents=True, exist_ok=True)
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    loggers: list[Logger] = [CSVLogger(log_dir, name="csv")]
    if training.tensorboard:
        loggers.append(TensorBoardLogger(log_dir, name="tensorboard"))
    callbacks = [*callbacks, LearningRateMonitor(logging_interval="step")]
    if torch.cuda.is_available() and training.accelerator != "cpu":
        callbacks.append(DeviceStatsMonitor())
    return pl.Trainer(
        accelerator=training.accelerator,
        devices=training.devices,
        num_nodes=training.num_nodes,
        strategy=create_strategy(training),
        precision=training.precision,
        max_epochs=training.max_epochs,
        accumulate_grad_batches=training.accumulate,
        gradient_clip_val=training.gradient_clip or None,
        deterministic=training.deterministic,
        logger=loggers,
        callbacks=callbacks,
        plugins=[WholeFileIO()],
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        enable_progress_bar=in_terminal(),
        enable_model_summary=False,
        default_root_dir=log_dir,
    )


def fingerprint(store: SequenceStore, model: ModelConfig, training: TrainConfig) -> str:
    """Names the run whose resume points may be continued: same data, model, settings and torch."""
    content = [
        store.digest,
        model.model_dump(mode="json"),
        training.model_dump(mode="json"),
        torch.__version__,
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _fit(
    trainer: pl.Trainer, store: SequenceStore, model: ModelConfig, training: TrainConfig, last: Path
) -> TSAModule:
    rank, world_size = trainer.global_rank, trainer.world_size
    size, sequences = training.batch_size, model.sequences
    sampler = ShuffledBatches(store.targets("train"), size, training.seed, rank, world_size)
    validation = EvaluationBatches(store, sequences, store.targets("vali"), size, rank, world_size)
    torch.manual_seed(training.seed)
    steps_per_epoch = -(-len(sampler) // training.accumulate)
    form = form_for(trainer.strategy.root_device)
    module = MODULES[sequences](model, training, steps_per_epoch, form)
    trees = None
    if module.network.trees is not None:
        trees = fit_trees(store, model, training.seed)
        module.network.trees.fill(trees.tensors)
    batches = TrainBatches(store, sequences, sampler, None if trees is None else trees.margin_of)
    with warnings.catch_warnings():
        for noise in LIGHTNING_NOISE:
            warnings.filterwarnings("ignore", message=noise)
        try:
            # Lightning ends the training after the step at which SIGTERM comes.
            with held(), new_memory_left_alone():
                trainer.fit(
                    module,
                    train_dataloaders=batches,
                    val_dataloaders=validation,
                    ckpt_path=last if last.is_file() else None,
                    weights_only=True,
                )
        except SIGTERMException as stopped:
            # Lightning's own exception would end the process with status 0, as if it had finished.
            raise SystemExit(STATUS[signal.SIGTERM]) from stopped
    if trainer.received_sigterm:  # after the last step, where Lightning does not look any more
        raise SystemExit(STATUS[signal.SIGTERM])
    return module


@contextmanager
def _bad_batch_saved(store: SequenceStore, path: Path) -> Iterator[None]:
    """Turn a loss that is not finite into an error that says where the orders of its batch are listed."""
    try:
        yield
    except NonFiniteLossError as error:
        order_ids = store.ids_of(np.array(error.rows)).tolist()
        write_json(path, {"epoch": error.epoch, "batch": error.batch_idx, "order_ids": order_ids})
        raise ValueError(f"{error} (order ids in {path})") from error


def _check_periods(store: SequenceStore) -> None:
    for period in ("train", "vali"):
        labels = store.labels(period)
        if len(np.unique(labels)) < 2:
            raise ValueError(
                f"the {period} period has {len(labels)} labelled orders with the labels"
                f" {np.unique(labels).tolist()}: training needs both frauds and genuine orders in it"
            )
