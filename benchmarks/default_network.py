"""The default configuration; imports nothing that the first versions did not have."""

from __future__ import annotations

from tsa_model import ModelConfig


def configuration(sequences: str, moe_eval: str = "legacy") -> ModelConfig:
    """The default configuration."""
    return ModelConfig(
        sequences=sequences,
        n_cat_features=53,
        n_num_features=47,
        n_embedding=2000,
        dim_attn_feedforward=128,
        moe_eval=moe_eval,
    )
