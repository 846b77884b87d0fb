"""Families of forms by name: fields of `ModelSettings` that select each block's form."""

from __future__ import annotations

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
