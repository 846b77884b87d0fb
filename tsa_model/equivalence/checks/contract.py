"""Check 0: is the right thing compared? Weights one to one, evaluation mode, rows to compare on."""

from __future__ import annotations

import torch
from torch import Tensor

from tsa_model.equivalence.checks.check import Check
from tsa_model.equivalence.evidence.networks import Networks
from tsa_model.equivalence.evidence.sample import Sample
from tsa_model.equivalence.results import CheckResult, Measurement, at_least, at_most
from tsa_model.network.blocks import Block
from tsa_model.network.networks import Network
from tsa_model.network.reference import REFERENCE


def check_contract(
    networks: Networks, sample: Sample, stored: dict[str, Tensor] | None = None
) -> CheckResult:
    """Check 0.

    Args:
        networks: what will be compared.
        sample: on which rows.
        stored: the tensors of the model file, read independently of the network; None = there is no file.
    """
    reference, shipped = networks.reference, networks.shipped
    sources = {"reference": reference.state_dict(), "shipped": shipped.state_dict()}
    if stored is not None:
        sources["file"] = _under_every_name(shipped, stored)
    measurements = [at_most("weights that are not mapped one to one", *_mismatches(sources))]
    measurements += [
        at_most("weights that are NaN or infinite", *_not_finite(sources["shipped"])),
        at_most("weight tensors of another type than float32", *_wrong_types(sources["shipped"])),
        at_most(
            "networks not in evaluation mode",
            sum(any(m.training for m in network.modules()) for network in (reference, shipped)),
            0,
        ),
        at_most("tables shared in one network and not in the other", _sharing_differs(networks), 0),
        _computations(networks),
        at_least("real rows compared", sample.n_real, 1),
    ]
    n = sum(p.numel() for p in shipped.parameters())
    shown = f"{len(sources['shipped'])} named tensors ({n:,} weights) are the same in {', '.join(sources)}"
    return CONTRACT.conclude(
        measurements,
        shown,
    )


CONTRACT = Check(
    0,
    "Contract",
    "Are these the trained weights, complete, in both networks, and is there something to compare?",
    lambda subject: check_contract(subject.trained.networks, subject.trained.sample, subject.stored),
)


def _under_every_name(network: Network, stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """The file keeps a shared table under its first name: repeat it under the others."""
    own = network.state_dict(keep_vars=True)
    first: dict[int, str] = {}
    for name, tensor in own.items():
        first.setdefault(id(tensor), name)
    aliases = {name: stored[first[id(x)]] for name, x in own.items() if first[id(x)] in stored}
    return {**stored, **aliases}


def _mismatches(sources: dict[str, dict[str, Tensor]]) -> tuple[int, int, str]:
    names = sorted(set().union(*sources.values()))
    wrong = [name for name in names if not _same([source.get(name) for source in sources.values()])]
    return len(wrong), 0, ", ".join(wrong[:3])


def _same(tensors: list[Tensor | None]) -> bool:
    first = tensors[0]
    return first is not None and all(
        x is not None
        and x.shape == first.shape
        and x.dtype == first.dtype
        and torch.equal(x.nan_to_num(), first.nan_to_num())
        for x in tensors
    )


def _not_finite(tensors: dict[str, Tensor]) -> tuple[int, int, str]:
    wrong = {name: int((~torch.isfinite(x)).sum()) for name, x in tensors.items()}
    names = [name for name, count in wrong.items() if count]
    return sum(wrong.values()), 0, ", ".join(names[:3])


def _wrong_types(tensors: dict[str, Tensor]) -> tuple[int, int, str]:
    names = [f"{name} ({x.dtype})" for name, x in tensors.items() if x.dtype != torch.float32]
    return len(names), 0, ", ".join(names[:3])


def _sharing_differs(networks: Networks) -> int:
    def groups(network: Network) -> set[tuple[str, ...]]:
        found: dict[int, list[str]] = {}
        for name, x in network.state_dict(keep_vars=True).items():
            found.setdefault(id(x), []).append(name)
        return {tuple(group) for group in found.values()}

    return len(groups(networks.reference) ^ groups(networks.shipped))


def _computations(networks: Networks) -> Measurement:
    blocks = [module for module in networks.reference.modules() if isinstance(module, Block)]
    right = all(block.compute == REFERENCE for block in blocks)
    return at_most("blocks of the reference that do not compute as the reference", 0 if right else 1, 0)
