"""Configuration of the TSA network: what the formulas leave open, with the legacy's values as defaults."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from tsa_model.settings.base import Settings
from tsa_model.settings.presets import MODEL_PRESETS

Width = Annotated[int, Field(gt=0, le=65_536)]
Layers = Annotated[int, Field(gt=0, le=1_000)]
"""Far beyond any network that is trained: what is larger is a slip of the pen or a damaged file."""
LARGEST_VOCABULARY = 2**31 - 1

SecondPolicy = Literal["random", "all", "none", "threshold"]


WIDE_EDGES = (0.0, 0.01, 0.03, 0.07, 0.15, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0)
"""Ends of the intervals of `wide_encoding: piecewise`, in units of the scaled range; close together near 0,
where most values of a skewed number lie."""
WIDE_INTERVALS = len(WIDE_EDGES) - 1


class ModelSettings(Settings):
    """The choices a person makes about the network; the data decides the rest (see `ModelConfig`)."""

    sequences: Literal["single", "dual"] = "dual"
    """`single` scores from the customer's history alone, `dual` adds the card's and a gate between them."""

    dim_embedding_table: Width = 128
    """Width D of the shared embedding table; order attention works at E = 2·D."""
    dim_attn_feedforward: Width = 256
    """Hidden width of each expert, or of the plain feed-forward block."""
    num_heads: Width = 1
    """Attention heads; must divide both D and 2·D."""
    n_layers_order: Layers = 6
    """Layers over the orders of a history."""
    n_layers_feature: Layers = 6
    """Layers over the features of the current order."""
    dropout: float = 0.0
    """Dropout rate in [0, 1) of every block but the optional MLP branch."""
    emb_tbl_use_bias: bool = True
    """Add a learned bias to each feature token of feature attention."""
    embedding_std: PositiveFloat = 1.0
    """Standard deviation of the embedding tables' fresh rows; the legacy has 1. A number's token is its row
    times the number, plus a bias that begins at 0, then normalised: until the bias has grown to the size of
    the row, the token hardly shows how large the number is. Smaller rows shorten that time."""
    use_moe: bool = True
    """Mixture of experts instead of a plain feed-forward block."""
    num_experts: Width = 5
    """Experts per mixture; at least 2."""
    use_time_seq: bool = True
    """Temporal attention over the orders instead of plain attention."""
    use_mlp: bool = False
    """Add the MLP branch over the current order's numerical and engineered features (single only)."""

    wide_hidden_dim: Annotated[int, Field(ge=0, le=65_536)] = 0
    """Hidden width of the wide head: a two-layer network from the current order's numerical and engineered
    features straight to the logits, added to the classifier's; 0 = none. Attention sees a number as a token
    of fixed length and tells thresholds badly; windows and known fraud rates are read off best directly."""
    wide_encoding: Literal["none", "piecewise"] = "none"
    """`piecewise`: the wide head also reads how far each number is through each of the intervals
    between `WIDE_EDGES`, from 0 to 1. So it tells thresholds as a tree does."""

    boosted_trees: Annotated[int, Field(ge=0, le=5_000)] = 0
    """Most trees of the boosted-trees head; 0 = none. LightGBM grows them on the training targets' current
    orders; their margin is added to the fraud logit. How the network learns beside them says
    `TrainConfig.with_trees`."""
    tree_leaves: Annotated[int, Field(ge=2, le=1024)] = 31
    """Most leaves of a tree."""
    tree_depth: Annotated[int, Field(ge=1, le=16)] = 8
    """Most decisions from a tree's root to a leaf."""
    tree_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.05
    """How much of what is still wrong each tree corrects."""
    tree_stopping: bool = True
    """Early stopping keeps as many trees as the validation period wants; False = all of them. With few frauds
    in that period it stops by luck."""

    moe_second_policy_train: SecondPolicy = "random"
    moe_second_policy_eval: SecondPolicy = "random"
    moe_eval: Literal["legacy", "deterministic"] = "legacy"
    """`deterministic`: in evaluation every token keeps both experts, without capacity limit."""

    time_encoder: Literal["none", "periodic", "cosine"] = "none"
    """Encode each order's time and add it to its token, before the dummy token (TSA spec, section 11)."""
    feature_aggregation: Literal["production", "relu_halving", "linear"] = "production"
    """How the features of an order become one vector (TSA spec, sections 3 and 11)."""
    moe_form: Literal["top2_capacity", "noisy_top2", "dense_softmax"] = "top2_capacity"
    """How tokens are mixed over the experts (TSA spec, sections 6 and 11)."""

    gate_embedding_dim: Width = 16
    gate_hidden_dim: Width = 256
    gate_feedforward_dim: Width = 128
    gate_layers: Layers = 1
    gate_threshold: float = 0.05
    """Rows whose card gate is not above this skip the card's order attention."""
    gate_use_moe: bool = False
    gate_use_time_seq: bool = False

    @classmethod
    def preset(cls, name: str) -> Self:
        """The settings of a preset: `legacy` or `recommended`.

        Raises:
            ValueError: there is no such preset.
        """
        if name not in MODEL_PRESETS:
            raise ValueError(f"model: there is no preset {name!r}; there are {', '.join(MODEL_PRESETS)}")
        return cls(**MODEL_PRESETS[name])

    @model_validator(mode="after")
    def _check(self) -> ModelSettings:
        if self.dim_embedding_table % self.num_heads:
            raise ValueError(
                f"num_heads={self.num_heads} does not divide dim_embedding_table={self.dim_embedding_table}"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout={self.dropout} is not in [0, 1)")
        if self.use_mlp and self.sequences == "dual":
            raise ValueError("use_mlp=True: only the single-sequence network has an MLP branch")
        if self.use_moe and self.num_experts < 2:
            raise ValueError(f"num_experts={self.num_experts}: top-2 routing needs at least 2")
        return self


class ModelConfig(ModelSettings):
    """`ModelSettings` plus the sizes the data decides; enough to build the network."""

    n_cat_features: Width
    """Fc, categorical features per order."""
    n_num_features: Width
    """Fn, numerical features per order."""
    n_embedding: Annotated[int, Field(gt=0, le=LARGEST_VOCABULARY)]
    """V, the last usable row of the embedding table; the table has V + 2 rows."""
    n_engineered_num_features: Annotated[int, Field(ge=0, le=65_536)] = 0
    """Fe, engineered features of the current order; 0 = none."""
    seq_len: Width = 51
    """L, orders per history, the current one included."""
    n_classes: Width = 2
    members: Annotated[int, Field(ge=1, le=64)] = 1
    """Networks of this configuration whose logits are averaged; see `TrainConfig.members`."""

    @model_validator(mode="after")
    def _check_classes(self) -> ModelConfig:
        if self.boosted_trees and self.n_classes != 2:
            raise ValueError(
                f"boosted_trees={self.boosted_trees} with n_classes={self.n_classes}: trees tell frauds from"
                " genuine orders, so they need two classes; choose boosted_trees: 0"
            )
        return self
