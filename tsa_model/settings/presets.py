"""Sets of settings by name: families of written forms, and whole networks."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, str | bool]] = {
    "production": {
        "time_encoder": "none",
        "feature_aggregation": "production",
        "moe_form": "top2_capacity",
    },
    "document_sparse": {
        "time_encoder": "periodic",
        "feature_aggregation": "relu_halving",
        "moe_form": "noisy_top2",
    },
    "document_dense": {
        "time_encoder": "cosine",
        "feature_aggregation": "linear",
        "moe_form": "dense_softmax",
    },
}
"""Preset → overrides. Checkpoints come from `production`. `document_sparse` (two linear experts a token) and
`document_dense` (all experts on every token) are the two families of TSA documents."""

MODEL_PRESETS: dict[str, dict[str, Any]] = {
    "legacy": {},
    "recommended": {
        "dim_embedding_table": 32,
        "embedding_std": 0.1,
        "dim_attn_feedforward": 64,
        "num_heads": 4,
        "n_layers_order": 2,
        "n_layers_feature": 2,
        "num_experts": 3,
        "moe_eval": "deterministic",
        "dropout": 0.1,
        "wide_hidden_dim": 64,
        "boosted_trees": 400,
    },
}
"""Preset → what differs from the defaults of `ModelSettings`, which are the legacy's. `recommended` is what a
description without a model gets: for a CPU, with wide head and boosted trees (docs/TUNING.md)."""
