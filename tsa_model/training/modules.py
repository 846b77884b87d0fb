"""The TSA network as Lightning modules: one base, one class per kind of classifier."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import apply_activation_checkpointing
from typing_extensions import override

from tsa_model.batch import LABEL
from tsa_model.network.blocks import FeatureAttentionModule, OrderAttentionModule
from tsa_model.network.implementation import ImplementationName
from tsa_model.network.networks import build_network
from tsa_model.network.trace import SILENT, Trace
from tsa_model.settings.model import ModelConfig
from tsa_model.settings.training import TrainConfig
from tsa_model.training.feeding import Batch, drop_duplicates
from tsa_model.training.metrics import classification_metrics
from tsa_model.training.objective import Objective
from tsa_model.training.processes import shard
from tsa_model.training.schedules import create_optimizer, create_schedule
from tsa_model.training.tensorboard import draw_evaluation, draw_gate


class NonFiniteLossError(ValueError):
    """The loss of a training batch is NaN or infinite.

    Args:
        loss: its value.
        epoch: counted from 0.
        batch_idx: of the batch in its epoch, from 0.
        rows: the batch's row numbers in the store.
    """

    def __init__(self, loss: float, epoch: int, batch_idx: int, rows: list[int]) -> None:
        super().__init__(
            f"the training loss is {loss} in epoch {epoch}, batch {batch_idx}:"
            " look at the batch's orders, lower the learning rate or clip gradients harder"
        )
        self.loss, self.epoch, self.batch_idx, self.rows = loss, epoch, batch_idx, rows


class TSAModule(pl.LightningModule):
    """Training, validation, test and prediction of a TSA network, for any number of classes.

    Every random number of a training step comes from (seed, epoch, batch, rank), so a step does not depend
    on how the process came to it. Validation and test metrics are computed once, over all rows.

    Args:
        model: the network.
        training: optimiser, schedule, loss, metrics.
        steps_per_epoch: optimiser steps of an epoch. None asks Lightning, which reads the training data
            early for it and then cannot resume inside an epoch.
        implementation: that is trained; see `choice.form_for`.
    """

    sequences: Literal["single", "dual"]

    def __init__(
        self,
        model: ModelConfig,
        training: TrainConfig,
        steps_per_epoch: int | None = None,
        implementation: ImplementationName = "fast",
    ) -> None:
        super().__init__()
        if model.sequences != self.sequences:
            raise ValueError(
                f"{type(self).__name__} cannot train a network with sequences={model.sequences!r}"
            )
        self.training_config = training
        self.steps_per_epoch = steps_per_epoch
        self.network = build_network(model, implementation)
        if training.activation_checkpointing:
            apply_activation_checkpointing(
                self.network,
                check_fn=lambda module: isinstance(module, OrderAttentionModule | FeatureAttentionModule),
            )
        if training.compile:
            self.network.compile()
        self.objective = Objective(training)
        self.epoch_metrics: list[dict[str, float]] = []
        """Metrics of every finished epoch, kept across a resume."""
        self.evaluation: dict[str, float] = {}
        """Metrics of the last validation or test, in full precision (Lightning logs float32)."""
        self._loss_sum = torch.zeros((), dtype=torch.float64)
        self._loss_rows = 0
        self._evaluated: list[tuple[Tensor, ...]] = []

    @override
    def forward(self, batch: Batch, trace: Trace = SILENT) -> Tensor:
        """Logits [B, C]."""
        return self.network(batch, trace=trace)[0]

    @override
    def configure_model(self) -> None:
        """Shard the network where the strategy asks for it."""
        if self.device_mesh is not None:
            shard(self.network, self.device_mesh["data_parallel"])

    # training

    @override
    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        key = [self.training_config.seed, self.current_epoch, batch_idx, self.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]))

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.objective(self(batch), batch[LABEL], self.current_epoch)
        if not torch.isfinite(loss):
            rows = batch["row"].tolist() if "row" in batch else []
            raise NonFiniteLossError(loss.item(), self.current_epoch, batch_idx, rows)
        self._loss_sum += loss.detach().double().cpu() * len(batch[LABEL])
        self._loss_rows += len(batch[LABEL])
        self.log("train_loss_step", loss)
        return loss

    @override
    def on_train_epoch_end(self) -> None:
        total = torch.stack([self._loss_sum, torch.tensor(float(self._loss_rows), dtype=torch.float64)])
        loss_sum, n_rows = self._reduce_sum(total).tolist()
        self._loss_sum.zero_()
        self._loss_rows = 0
        self.log("train_loss", loss_sum / n_rows, rank_zero_only=True)
        self.epoch_metrics.append({"train_loss": loss_sum / n_rows, **self.evaluation})

    # validation, test, prediction

    @override
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluated.append(self._evaluate(batch))

    @override
    def on_validation_epoch_end(self) -> None:
        self._log_evaluation("val")

    @override
    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluated.append(self._evaluate(batch))

    @override
    def on_test_epoch_end(self) -> None:
        self._log_evaluation("test")

    @override
    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Class probabilities float64 [B, C], and the row numbers int64 [B] where the batch has them."""
        rows = {"row": batch["row"]} if "row" in batch else {}
        return {**rows, "probabilities": self(batch).double().softmax(dim=-1)}

    def _evaluate(self, batch: Batch) -> tuple[Tensor, ...]:
        """What a metric needs of a batch: row, label, logits, then whatever a subclass adds."""
        return self._rows(batch), batch[LABEL], self(batch).float()

    def _rows(self, batch: Batch) -> Tensor:
        """Row numbers of a batch, int64 [B]; a batch without any is numbered as it comes.

        Raises:
            ValueError: there are none and several processes would give rows the same numbers.
        """
        if "row" in batch:
            return batch["row"]
        if self.trainer.world_size > 1:
            raise ValueError(
                "the batch has no tensor 'row': with several processes every row needs its number, int64 [B],"
                " so that rows which two of them evaluate count once"
            )
        first = sum(len(parts[0]) for parts in self._evaluated)
        return torch.arange(first, first + len(batch[LABEL]), device=batch[LABEL].device)

    def _log_evaluation(self, stage: str) -> tuple[Tensor, ...]:
        columns = [torch.cat(parts) for parts in zip(*self._evaluated, strict=True)]
        self._evaluated.clear()
        row, label, logits, *more = drop_duplicates(*(self.gather(column) for column in columns))
        if not torch.isfinite(logits).all():
            n_bad = int((~torch.isfinite(logits)).any(dim=1).sum())
            raise ValueError(f"{n_bad} of {len(logits)} {stage} orders have a logit that is not finite")
        metrics = {f"{stage}_loss": float(self.objective(logits, label, self.current_epoch))}
        probabilities = logits.double().softmax(dim=-1).cpu().numpy()
        chosen = classification_metrics(
            label.cpu().numpy(), probabilities, self.training_config.metric_choices
        )
        metrics |= {f"{stage}/{name}": value for name, value in chosen.items()}
        self.evaluation = metrics
        if probabilities.shape[1] == 2 and self.trainer.is_global_zero:
            draw_evaluation(self.loggers, stage, self.global_step, label.cpu().numpy(), probabilities[:, 1])
        # Every rank computed the same values from the same gathered rows: nothing is left to reduce.
        self.log_dict(metrics)
        return row, label, logits, *more

    # optimisation

    @override
    def configure_optimizers(self) -> Any:
        config = self.training_config
        optimizer = create_optimizer(self.network, config)
        if config.schedule_interval == "epoch":
            total = config.max_epochs
        elif self.steps_per_epoch is None:
            total = int(self.trainer.estimated_stepping_batches)
        else:
            total = self.steps_per_epoch * config.max_epochs
        schedule = create_schedule(optimizer, config, total)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": config.schedule_interval},
        }

    # resume

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["tsa"] = {
            "epoch_metrics": self.epoch_metrics,
            "loss_sum": float(self._loss_sum),
            "loss_rows": self._loss_rows,
        }

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["tsa"]
        self.epoch_metrics = list(state["epoch_metrics"])
        self._loss_sum.fill_(state["loss_sum"])
        self._loss_rows = state["loss_rows"]

    # ranks

    def gather(self, column: Tensor) -> Tensor:
        """Every rank's entries, one rank after the other, [sum of N_r, ...]; ranks may differ in N_r."""
        if self.trainer.world_size == 1:
            return column
        all_gather = self.trainer.strategy.all_gather
        sizes = all_gather(torch.tensor(len(column), device=self.device)).tolist()
        padded = column.new_zeros((max(sizes), *column.shape[1:]))
        padded[: len(column)] = column
        return torch.cat([part[:n] for part, n in zip(all_gather(padded), sizes, strict=True)])

    def _reduce_sum(self, values: Tensor) -> Tensor:
        if self.trainer.world_size == 1:
            return values
        return self.trainer.strategy.all_gather(values.to(self.device)).sum(dim=0).cpu()


class TSASingleSeq(TSAModule):
    """Classifier over the customer's history (TSA spec, section 8)."""

    sequences = "single"


class TSADualSeq(TSAModule):
    """Classifier over the customer's and the card's history (TSA spec, section 9); logs its gate."""

    sequences = "dual"

    def _evaluate(self, batch: Batch) -> tuple[Tensor, ...]:
        trace = _GateTrace()
        logits = self(batch, trace=trace)
        return self._rows(batch), batch[LABEL], logits.float(), trace.tensors["gate_scores"].float()

    def _log_evaluation(self, stage: str) -> tuple[Tensor, ...]:
        row, label, logits, gate = super()._log_evaluation(stage)
        card = gate[:, 1]
        open_share = (card > self.network.config.gate_threshold).float().mean()
        self.log_dict(
            {
                f"{stage}/gate_cid_mean": gate[:, 0].mean(),
                f"{stage}/gate_ccid_mean": card.mean(),
                f"{stage}/gate_ccid_std": card.std(correction=0),
                f"{stage}/gate_ccid_open": open_share,
            }
        )
        if self.trainer.is_global_zero:
            draw_gate(self.loggers, stage, self.global_step, card)
        return row, label, logits, gate


class _GateTrace(Trace):
    """Keeps the gate and nothing else: the other intermediate tensors are large."""

    def record(self, name: str, value: Tensor) -> None:
        if name == "gate_scores":
            super().record(name, value)
