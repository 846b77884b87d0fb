"""A run small enough to train within a second."""

from __future__ import annotations

from typing import Any

from support.plain_demo import plain_demo

from tsa_model.settings.run import RunConfig


def small_run(sequences: str = "dual", **training: Any) -> RunConfig:
    """The demo with 3,000 orders, short histories and a network of a few thousand weights."""
    content = plain_demo()
    content["dataset"]["seq_len"] = 6
    content["reasons"] = {"most_alerts": 5}
    content["simulation"]["orders"] = 3_000
    content["model"] = {
        "sequences": sequences,
        "dim_embedding_table": 8,
        "dim_attn_feedforward": 8,
        "n_layers_order": 1,
        "n_layers_feature": 1,
        "num_experts": 2,
        "dropout": 0.1,
        "moe_eval": "deterministic",
    }
    defaults = {"max_epochs": 2, "batch_size": 128, "patience": 0, "accelerator": "cpu"}
    content["training"] = {**defaults, **training}
    return RunConfig.model_validate(content)
