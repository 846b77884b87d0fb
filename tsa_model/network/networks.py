"""The two classifiers, several of them as one, and what builds them from a configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from tsa_model.batch import Batch, network_inputs
from tsa_model.network.assembly import (
    gate_settings,
    make_feature_attention,
    make_order_attention,
    make_table,
)
from tsa_model.network.blocks import Block
from tsa_model.network.choice import implementation_of
from tsa_model.network.implementation import Implementation, ImplementationName, Scored
from tsa_model.network.inspection import inspect_batch
from tsa_model.network.trace import SILENT, Trace
from tsa_model.network.trees import BoostedTrees
from tsa_model.network.unfilled import unfilled
from tsa_model.settings.model import WIDE_INTERVALS, ModelConfig

CLASSIFIER_HIDDEN_DIM = 1024
MLP_HIDDEN_DIM = 1024
MLP_DROPOUT = 0.1


class Network(Block):
    """What both classifiers share: the tables, the feature side, the head, and the forward contract."""

    trees: BoostedTrees | None

    def __init__(self, config: ModelConfig, implementation: Implementation | ImplementationName) -> None:
        super().__init__()
        self.compute = implementation_of(implementation)
        self.config = config

    def _classifier(self, dim: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(dim, CLASSIFIER_HIDDEN_DIM),
            nn.ReLU(),
            nn.Dropout(self.config.dropout),
            nn.Linear(CLASSIFIER_HIDDEN_DIM, self.config.n_classes),
        )

    def _wide_head(self) -> nn.Sequential | None:
        """Made last, so that every other fresh weight is the same with and without it."""
        config = self.config
        if not config.wide_hidden_dim:
            return None
        n_numbers = config.n_num_features + config.n_engineered_num_features
        if config.wide_encoding == "piecewise":
            n_numbers *= 1 + WIDE_INTERVALS
        return nn.Sequential(
            nn.Linear(n_numbers, config.wide_hidden_dim),
            nn.ReLU(),
            nn.Linear(config.wide_hidden_dim, config.n_classes),
        )

    def _boosted_trees(self, *heads: nn.Sequential | None) -> BoostedTrees | None:
        """Beside trees the other heads begin at zero, so that training begins with what the trees say."""
        if not self.config.boosted_trees:
            return None
        for head in heads:
            if head is not None:
                for parameter in head[-1].parameters():
                    nn.init.zeros_(parameter)
        return BoostedTrees(self.config)

    def _scored(self, batch: Batch, trace: Trace) -> Scored:
        """What `forward` returns, of a batch that lacks nothing."""
        raise NotImplementedError

    def forward(self, batch: Batch, trace: Trace = SILENT) -> Scored:
        """Score a batch.

        Args:
            batch: tensors named as in TSA spec, section 1.
            trace: records named intermediate tensors when given.

        Returns:
            logits [B, n_classes] and the ensemble vector they are computed from.

        Raises:
            ValueError: a tensor is missing.
        """
        config = self.config
        required = network_inputs(config.sequences, config.n_engineered_num_features > 0)
        missing = [name for name in required if name not in batch]
        if missing:
            raise ValueError(f"the batch lacks {missing}; a {config.sequences} network reads {required}")
        return self._scored(batch, trace)

    def inspect(self, batch: Batch) -> dict[str, Tensor]:
        """Look inside one forward pass; see `inspection.inspect_batch`."""
        legacy, deterministic = (
            self.twin("reference", moe_eval=moe_eval).eval() for moe_eval in ("legacy", "deterministic")
        )
        return inspect_batch(batch, self.twin("reference"), legacy, deterministic)

    def twin(self, implementation: Implementation | ImplementationName, **config_changes: Any) -> Network:
        """A network over the very same parameter tensors, computed another way.

        Args:
            implementation: how the twin computes, by name or handed in.
            config_changes: fields of the configuration to change that leave every parameter's shape alone.
        """
        config = self.config.changed(**config_changes)
        with unfilled():
            twin = build_network(config, implementation)
        _share_tensors(self, twin)
        return twin.train(self.training)


def _share_tensors(source: nn.Module, target: nn.Module) -> None:
    """Give a network the parameter tensors of another one of the same shapes.

    As `load_state_dict(..., assign=True)` does, which takes time with the square of the number of modules.
    """
    own = dict(source.named_modules(remove_duplicate=False))
    for name, module in target.named_modules(remove_duplicate=False):
        given = own[name]
        for kind, theirs in ((module._parameters, given._parameters), (module._buffers, given._buffers)):
            for key, made in kind.items():
                tensor = theirs[key]
                shapes = [None if x is None else tuple(x.shape) for x in (made, tensor)]
                if shapes[0] != shapes[1]:
                    raise ValueError(f"{name}.{key} is {shapes[0]} in the twin, {shapes[1]} in the network")
                kind[key] = tensor


class SingleSequenceNetwork(Network):
    """One history and the current order's features (TSA spec, section 8).

    The legacy calls it OrderFeatureAttentionClassifier.
    """

    def __init__(
        self, config: ModelConfig, implementation: Implementation | ImplementationName = "reference"
    ) -> None:
        super().__init__(config, implementation)
        D, Fe = config.dim_embedding_table, config.n_engineered_num_features
        self.embedding = make_table(config.n_embedding + 2, D, config)
        self.order_attention = make_order_attention(config, self.embedding, self.compute)
        self.embedding_engineered = make_table(Fe + 1, D, config)
        self.feature_attention = make_feature_attention(
            config, self.embedding, self.embedding_engineered, self.compute
        )
        self.layer_norm = nn.LayerNorm(2 * D).requires_grad_(False)  # the legacy stores it, never uses it
        self.mlp: nn.Sequential | None = None
        n_parts = 3 + int(config.use_mlp)
        if config.use_mlp:
            self.mlp = nn.Sequential(
                nn.Linear(config.n_num_features + Fe, MLP_HIDDEN_DIM),
                nn.ReLU(),
                nn.Dropout(MLP_DROPOUT),
                nn.Linear(MLP_HIDDEN_DIM, D),
            )
            self.mlp_layer_norm = nn.LayerNorm(D)
        self.clf = self._classifier(n_parts * D)
        self.wide = self._wide_head()
        self.wide_is_piecewise = config.wide_encoding == "piecewise"
        self.trees = self._boosted_trees(self.clf, self.wide)

    def _scored(self, batch: Batch, trace: Trace) -> Scored:
        return self.compute.single(self, batch, trace)


class DualSequenceNetwork(Network):
    """Both histories and a gate that weighs them (TSA spec, section 9).

    The legacy calls it TwoSeqMoEOrderFeatureAttentionClassifier.
    """

    def __init__(
        self, config: ModelConfig, implementation: Implementation | ImplementationName = "reference"
    ) -> None:
        super().__init__(config, implementation)
        D, Fe = config.dim_embedding_table, config.n_engineered_num_features
        self.gate_threshold = config.gate_threshold
        self.embedding = make_table(config.n_embedding + 2, D, config)
        self.order_attention_cid = make_order_attention(config, self.embedding, self.compute)
        self.order_attention_ccid = make_order_attention(config, self.embedding, self.compute)
        self.embedding_gate = make_table(config.n_embedding + 2, config.gate_embedding_dim, config)
        self.gate_emb = make_order_attention(gate_settings(config), self.embedding_gate, self.compute)
        self.gate_score = nn.Sequential(
            nn.Linear(4 * config.gate_embedding_dim, config.gate_hidden_dim),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.gate_hidden_dim, 2),
        )
        self.embedding_engineered = make_table(Fe + 1, D, config)
        self.feature_attention = make_feature_attention(
            config, self.embedding, self.embedding_engineered, self.compute
        )
        self.layer_norm = nn.LayerNorm(2 * D)
        self.clf = self._classifier(3 * D)
        self.wide = self._wide_head()
        self.wide_is_piecewise = config.wide_encoding == "piecewise"
        self.trees = self._boosted_trees(self.clf, self.wide)

    def _scored(self, batch: Batch, trace: Trace) -> Scored:
        return self.compute.dual(self, batch, trace)


class EnsembleNetwork(Network):
    """Several networks of one configuration over one batch; the logits are the mean of theirs.

    Logits and not probabilities: a mean is linear, so its error is at most the mean of its members' errors,
    and what shifts or scales logits afterwards (the fraud rate before downsampling, for instance) gives the
    same before the mean as after it.
    """

    members: nn.ModuleList

    def __init__(
        self, config: ModelConfig, implementation: Implementation | ImplementationName = "reference"
    ) -> None:
        super().__init__(config, implementation)
        one = config.changed(members=1)
        self.members = nn.ModuleList(build_network(one, self.compute) for _ in range(config.members))

    @override
    def _scored(self, batch: Batch, trace: Trace) -> Scored:
        logits, ensembles = [], []
        for number, member in enumerate(self.members):
            with trace.scope(f"members.{number}"):
                of_member, ensemble = member(batch, trace=trace)
            logits.append(of_member)
            ensembles.append(ensemble)
        return self.compute.mean_of_members(logits), torch.cat(ensembles, dim=-1)

    @override
    def inspect(self, batch: Batch) -> dict[str, Tensor]:
        """Refused: members route and attend each in its own way.

        Raises:
            ValueError: always.
        """
        raise ValueError("an ensemble is looked into member by member: network.members[0].inspect(batch)")


NETWORKS: dict[str, Callable[..., Network]] = {
    "single": SingleSequenceNetwork,
    "dual": DualSequenceNetwork,
}


def build_network(
    config: ModelConfig, implementation: Implementation | ImplementationName = "fast"
) -> Network:
    """Build the network a configuration describes.

    Args:
        config: sizes and choices.
        implementation: `reference` computes as the specification writes it, `fast` computes the same
            numbers faster. Both have the same parameters. An `Implementation` itself is taken as it is.

    Returns:
        The network, in training mode, with fresh weights from torch's generator.
    """
    if config.members > 1:
        return EnsembleNetwork(config, implementation)
    return NETWORKS[config.sequences](config, implementation)


def members_of(network: Network) -> list[Network]:
    """The networks whose logits are averaged; a network that is no ensemble is its only member."""
    if not isinstance(network, EnsembleNetwork):
        return [network]
    return [member for member in network.members if isinstance(member, Network)]
