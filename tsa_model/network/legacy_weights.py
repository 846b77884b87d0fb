"""Weights under the legacy's names, loaded all of them or none."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def load_legacy_state_dict(network: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Load weights under the legacy's names, all of them or none.

    Args:
        network: a network from `build_network`; its dtype and device are kept.
        state_dict: legacy name → tensor or array. Shared tables appear under each of their names.

    Raises:
        ValueError: names are missing or surplus, shapes differ, or names of one shared table differ in value.
    """
    own = network.state_dict(keep_vars=True)
    given = {name: torch.as_tensor(value) for name, value in state_dict.items()}
    problems = []
    if missing := sorted(own.keys() - given.keys()):
        problems.append(f"missing: {missing}")
    if surplus := sorted(given.keys() - own.keys()):
        problems.append(f"surplus: {surplus}")
    both = [name for name in own if name in given]
    mis_shaped = [
        f"{name} is {tuple(given[name].shape)}, expected {tuple(own[name].shape)}"
        for name in both
        if own[name].shape != given[name].shape
    ]
    if mis_shaped:
        problems.append(f"mis-shaped: {mis_shaped}")
    first_name: dict[int, str] = {}
    unequal = []
    for name in both:
        first = first_name.setdefault(id(own[name]), name)
        if given[first].shape == given[name].shape and not torch.equal(given[first], given[name]):
            unequal.append(f"{name} differs from {first}")
    if unequal:
        problems.append(f"one shared table with two values: {unequal}")
    if problems:
        raise ValueError("the state dict does not fit the network; " + "; ".join(problems))
    with torch.no_grad():
        for name in first_name.values():
            own[name].copy_(given[name])
