"""Check 4, what both computations share: where dropout is, at which rate, and what the plain blocks compute.

Classifier, card gate, MLP branch and plain feed-forward block are modules both networks call. A comparison of
the two says nothing about them, so they are held against the specification: the places of dropout by name,
and each block by a formula of its own, with the same draws.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tsa_model.equivalence import tolerance
from tsa_model.equivalence.differences import difference
from tsa_model.equivalence.evidence.draws import Place, SameDraws
from tsa_model.equivalence.results import Measurement, at_least, at_most
from tsa_model.network.blocks import MixtureOfExperts, TemporalMultiheadAttention
from tsa_model.network.networks import Network
from tsa_model.settings.model import ModelConfig

MLP_RATE = 0.1
"""Dropout of the MLP branch (TSA spec, section 8); all other places have the configuration's rate."""
N_ROWS = 37
RATE = 0.4
BATCHES = (1, 3, 7, 10, 64, 128, 1000, 1024, 4096, 65_536)
"""Rows for which the slots of an expert are compared with the rule."""


def expected_rates(config: ModelConfig) -> dict[str, float]:
    """Name → rate of every place of dropout (TSA spec, sections 5 to 9)."""
    p = config.dropout
    stacks = {"feature_attention.layer_stack_feature": (config.n_layers_feature, config.use_moe)}
    orders = (
        ("order_attention",)
        if config.sequences == "single"
        else ("order_attention_cid", "order_attention_ccid")
    )
    stacks |= {f"{name}.layer_stack": (config.n_layers_order, config.use_moe) for name in orders}
    rates = {"clf.2": p}
    if config.sequences == "dual":
        stacks["gate_emb.layer_stack"] = (config.gate_layers, config.gate_use_moe)
        rates["gate_score.2"] = p
    if config.use_mlp:
        rates["mlp.2"] = MLP_RATE
    for stack, (n_layers, is_mixture) in stacks.items():
        for i in range(n_layers):
            places = ["multi_attn", "dropout1", "dropout2", *([] if is_mixture else ["feedforward.2"])]
            rates |= {f"{stack}.{i}.{place}": p for place in places}
    return rates


def compare_places(network: Network, seed: int) -> list[Measurement]:
    """Places and rates against the specification, and the shared blocks against their formulas.

    Args:
        network: the shipped float32 one.
        seed: of inputs and draws.
    """
    found = {
        name: module.p if isinstance(module, nn.Dropout) else module.dropout
        for name, module in network.named_modules()
        if isinstance(module, nn.Dropout | TemporalMultiheadAttention)
    }
    expected = expected_rates(network.config)
    wrong = [name for name in sorted(expected.keys() | found.keys()) if expected.get(name) != found.get(name)]
    blocks = [name for name in found if _BLOCK.search(name)]
    gaps = [(_gap(network, name.rpartition(".")[0], seed), name) for name in blocks]
    worst, where = max(gaps, default=(0.0, ""))
    return [
        at_most("places of dropout that are not the specification's", len(wrong), 0, ", ".join(wrong[:3])),
        at_most(
            "plain blocks in training against their formula: difference", worst, tolerance.UNCHANGED, where
        ),
        at_least("plain blocks compared", len(blocks), 1),
        *_capacities(network),
    ]


def _capacities(network: Network) -> list[Measurement]:
    """Slots of an expert, of every mixture, in training and evaluation, against the rule (section 6)."""
    wrong = []
    for name, block in network.named_modules():
        if not isinstance(block, MixtureOfExperts):
            continue
        block = copy.deepcopy(block)
        block.deterministic_eval = False
        for training, factor in ((True, 1.25), (False, 2.0)):
            for n in BATCHES:
                slots = max(min(n, int(n * factor / block.num_experts)), 4)
                if block.train(training).capacity(n) != slots:
                    wrong.append(f"{name} with {n} rows in {'training' if training else 'evaluation'}")
    return [at_most("capacities of experts that are not the rule's", len(wrong), 0, ", ".join(wrong[:2]))]


_BLOCK = re.compile(r"(^(clf|gate_score|mlp)|\.feedforward)\.2$")


@dataclass(frozen=True)
class _Passed:
    output: Tensor
    gradients: tuple[Tensor, ...]


def _gap(network: Network, name: str, seed: int) -> float:
    """Largest relative difference of output and gradients between a block and its formula."""
    block = copy.deepcopy(network.get_submodule(name)).double().train()
    linear = [module for module in block.modules() if isinstance(module, nn.Linear)]
    generator = torch.Generator().manual_seed(seed)
    x_BD = torch.randn(N_ROWS, linear[0].in_features, generator=generator, dtype=torch.float64)
    weigh_BD = torch.randn(N_ROWS, linear[-1].out_features, generator=generator, dtype=torch.float64)
    parameters = [p for module in linear for p in (module.weight, module.bias)]
    # Alone, the block is given one vector a row.
    place = Place(name, RATE, n_tokens=1, n_heads=0, last=False, may_sort=False)
    for module in block.modules():
        if isinstance(module, nn.Dropout):
            module.p = RATE

    def passed(output: Tensor) -> _Passed:
        gradients = torch.autograd.grad((output * weigh_BD).sum(), parameters)
        return _Passed(output.detach(), gradients)

    with SameDraws({RATE: place}, {}, True, seed):
        found = passed(block(x_BD))
    draws = SameDraws({RATE: place}, {}, True, seed)
    hidden_BH = torch.relu(x_BD @ linear[0].weight.t() + linear[0].bias)
    kept_BH = draws.kept(place, hidden_BH)
    expected = passed((hidden_BH * kept_BH / (1 - RATE)) @ linear[-1].weight.t() + linear[-1].bias)
    pairs = zip((found.output, *found.gradients), (expected.output, *expected.gradients), strict=True)
    return max(difference(x, y).relative for x, y in pairs)
