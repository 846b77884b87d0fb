"""Parameter names of the legacy training script and of TSA documents → their names here."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from tsa_model.settings.losses import LOSS_PARAMETERS

TRAINING_NAMES = {
    "max_epoch": "max_epochs",
    "epochs": "max_epochs",
    "optim": "optimizer",
    "lr": "learning_rate",
    "scheduler_maxlr": "max_learning_rate",
    "max_lr": "max_learning_rate",
    "early_stopping_patience": "patience",
    "gradient_clip_val": "gradient_clip",
    "accumulate_grad_batches": "accumulate",
}
"""Legacy name → field of `TrainConfig`; fields with the same name in both are not listed."""

LOSS_NAMES = {
    "loss_gamma": "gamma",
    "loss_alpha": "alpha",
    "loss_reduction": "reduction",
    "cyclical_factor": "factor",
    "gamma_hc": "gamma_hc",
    "gamma_pos": "gamma_pos",
    "gamma_neg": "gamma_neg",
    "class_weights": "weight",
}
"""Legacy name → entry of `loss_parameters`, where the chosen loss has such a parameter."""

METRIC_NAMES = {"f1_score": "f1", "auc": "auroc", "aps": "pr_auc", "average_precision": "pr_auc"}
"""Legacy name → name in `metric_choices`."""

FIXED = {"beta1": 0.9, "beta2": 0.999, "adam_epsilon": 1e-8}
"""Legacy parameters that have one value here; any other is refused."""

WITHOUT_EFFECT = {
    "num_workers": "batches are read from the store without worker processes",
    "pin_memory": "batches are read from the store without worker processes",
    "persistent_workers": "batches are read from the store without worker processes",
    "prefetch_factor": "batches are read from the store without worker processes",
    "steps_per_epoch": "an epoch is every training row once",
    "use_small_batch": "choose a smaller training period instead",
    "local_rank": "the launcher sets it",
    "seconds": "it named files",
    "test_name": "it named files",
    "data_version": "it named files",
    "load_model": "a killed training resumes by itself",
    "model_path": "a killed training resumes by itself",
    "run_scheduler": "choose `schedule`",
    "is_binary": "the network's n_classes says it",
}
"""Legacy parameters that do nothing here, and why."""


def translate_training(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Rename legacy training parameters to fields of `TrainConfig`.

    Args:
        parameters: names of either kind; names that are not the legacy's are handed through.

    Returns:
        Fields of `TrainConfig`. A warning names every parameter that does nothing.

    Raises:
        ValueError: one field is set under two names, or a fixed parameter has another value.
    """
    fields: dict[str, Any] = {}
    for name, value in parameters.items():
        if name in FIXED:
            if value != FIXED[name]:
                raise ValueError(f"{name}={value!r}: training always uses {name}={FIXED[name]}; leave it out")
        elif name in WITHOUT_EFFECT:
            warnings.warn(f"{name}={value!r} has no effect: {WITHOUT_EFFECT[name]}", stacklevel=2)
        elif name == "use_amp":
            _set(fields, "precision", "16-mixed" if value else "32", name)
        elif name not in LOSS_NAMES:
            _set(fields, TRAINING_NAMES.get(name, name), value, name)
    if "metric_choices" in fields:
        fields["metric_choices"] = tuple(METRIC_NAMES.get(m, m) for m in fields["metric_choices"])
    if "primary_metric" in fields:
        metric = str(fields["primary_metric"]).removeprefix("val/")
        fields["primary_metric"] = METRIC_NAMES.get(metric, metric)
    _add_loss_parameters(fields, {n: v for n, v in parameters.items() if n in LOSS_NAMES})
    return fields


def _set(fields: dict[str, Any], field: str, value: Any, name: str) -> None:
    if field in fields:
        raise ValueError(
            f"{name}={value!r} sets {field}, which is already {fields[field]!r}; give one of the two"
        )
    fields[field] = value


def _add_loss_parameters(fields: dict[str, Any], legacy: Mapping[str, Any]) -> None:
    """The legacy passes every loss's parameters at once; those of other losses do nothing."""
    if not legacy:
        return
    loss = fields.get("loss", "CrossEntropyLoss")
    known = LOSS_PARAMETERS.get(loss, ())
    loss_parameters = dict(fields.get("loss_parameters", {}))
    for name, value in legacy.items():
        if LOSS_NAMES[name] in known:
            _set(loss_parameters, LOSS_NAMES[name], value, name)
        else:
            warnings.warn(f"{name}={value!r} has no effect: {loss} has no such parameter", stacklevel=3)
    fields["loss_parameters"] = loss_parameters
