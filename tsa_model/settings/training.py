"""How a model is trained. Defaults are those of TSA spec, section 13."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from tsa_model.settings.base import Settings
from tsa_model.settings.descriptions import read_description
from tsa_model.settings.legacy_names import translate_training

MetricName = Literal["auroc", "pr_auc", "accuracy", "precision", "recall", "f1"]
MOST_MEMBERS = 16


class TrainConfig(Settings):
    """The choices of one training run; all of them are saved with the model.

    The legacy's parameter names are accepted too (see `legacy_names`).
    """

    max_epochs: PositiveInt = 70
    batch_size: PositiveInt = 1024
    """Rows per step and device; an optimiser step sees batch_size · devices · nodes · accumulate rows."""
    accumulate: PositiveInt = 1
    """Batches whose gradients are averaged into one optimiser step."""
    seed: NonNegativeInt = 0

    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: NonNegativeFloat = 0.0
    learning_rate: PositiveFloat = 1e-5
    """Rate of `constant` and the first rate of `warmup`; `one_cycle` starts at max_learning_rate / 25."""
    max_learning_rate: PositiveFloat = 1e-3
    """Highest rate of `one_cycle` and `warmup`."""
    gate_rate_factor: PositiveFloat = 1.0
    """Learning rates of the dual network's gate as a multiple of all others'. Below 1 the gate cannot close
    on one history before both are trained; closed, it stays so, because no gradient passes it."""
    schedule: Literal["one_cycle", "warmup", "constant"] = "one_cycle"
    """`warmup` rises linearly and then stays at its highest rate."""
    schedule_interval: Literal["step", "epoch"] = "step"
    """When the schedule advances; `epoch` is the legacy's habit."""
    warmup_fraction: float = Field(default=0.1, ge=0.0, le=1.0)
    """Share of the optimiser steps in which `warmup` rises."""
    average_decay: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Decay per optimiser step of a moving average of the weights, which is then what is validated and saved;
    0 = no average. 0.998 averages over about the last 500 steps."""
    members: int = Field(default=1, ge=1, le=MOST_MEMBERS)
    """Networks trained one after another, with the seeds `seed`, `seed` + 1, ..., and shipped as one: its
    logits are the mean of theirs. More than one steadies the result; training, gate and scoring take as many
    times as long."""
    with_trees: Literal["residual", "average"] = "average"
    """How a network with `model.boosted_trees` learns. `average`: as if there were none; the model's logit is
    then a mean of both, and the validation period weighs them. `residual`: what the trees leave."""
    gradient_clip: NonNegativeFloat = 1.0
    """Largest norm of the whole gradient; 0 = no clipping."""

    loss: str = "CrossEntropyLoss"
    """One of the names `tsa_model.losses.create_loss_function` knows."""
    loss_parameters: dict[str, float | str | bool | tuple[float, ...]] = {}

    metric_choices: tuple[MetricName, ...] = ("auroc", "pr_auc")
    """Validation metrics, logged as val/<name>; precision, recall and f1 call the likelier class."""
    primary_metric: MetricName = "auroc"
    """Validation metric that selects the best epoch and stops early; higher is better."""
    patience: NonNegativeInt = 10
    """Epochs without improvement after which training stops; 0 = never."""

    precision: Literal["32", "bf16-mixed", "16-mixed"] = "32"
    deterministic: bool = True
    """Refuse operations that give different results from run to run."""
    compile: bool = False
    """Pass the network through torch.compile."""
    activation_checkpointing: bool = False
    """Compute each attention block again in the backward pass: less memory, more time."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: PositiveInt = 1
    """Processes per node, each with one GPU (or a share of the CPU)."""
    num_nodes: PositiveInt = 1
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    """`auto` = ddp when there is more than one device."""

    checkpoint_every_steps: PositiveInt = 200
    """Steps between two resume points inside an epoch; the end of every epoch is one too."""
    tensorboard: bool = False
    """Write TensorBoard event files beside the CSV log."""

    @classmethod
    def preset(cls, name: Literal["demo", "handbook", "paper"]) -> TrainConfig:
        """The settings of a shipped run description, or `paper`: those of TSA spec, section 13."""
        if name == "paper":
            return cls()
        return cls.model_validate(read_description(name).get("training", {}))

    @model_validator(mode="before")
    @classmethod
    def _accept_legacy_names(cls, content: Any) -> Any:
        return translate_training(content) if isinstance(content, dict) else content

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        if self.primary_metric not in self.metric_choices:
            raise ValueError(
                f"primary_metric={self.primary_metric!r} is not among metric_choices={self.metric_choices}"
            )
        if self.schedule != "one_cycle" and self.learning_rate > self.max_learning_rate:
            raise ValueError(
                f"learning_rate={self.learning_rate} is above max_learning_rate={self.max_learning_rate}"
            )
        if self.members > 1 and self.devices * self.num_nodes > 1:
            raise ValueError(
                f"members={self.members} with devices={self.devices}, num_nodes={self.num_nodes}: members are"
                " trained one after another in one process; choose members: 1 or one device"
            )
        if self.strategy == "fsdp" and self.average_decay:
            raise ValueError(f"average_decay={self.average_decay}: sharded weights are not averaged; use ddp")
        if self.strategy == "fsdp" and self.precision == "16-mixed":
            raise ValueError("precision='16-mixed' cannot be sharded; use 'bf16-mixed' or '32' with fsdp")
        return self
