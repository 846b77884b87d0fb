"""Which implementation a name stands for."""

from __future__ import annotations

import torch

from tsa_model.network.fast.form import FAST
from tsa_model.network.implementation import Implementation, ImplementationName
from tsa_model.network.reference import REFERENCE
from tsa_model.network.static.form import STATIC

IMPLEMENTATIONS: dict[ImplementationName, Implementation] = {
    "reference": REFERENCE,
    "fast": FAST,
    "static": STATIC,
}


def implementation_of(choice: Implementation | ImplementationName) -> Implementation:
    """The implementation of a name; one that is handed in is taken as it is.

    Raises:
        ValueError: there is none of this name.
    """
    if isinstance(choice, Implementation):
        return choice
    if choice not in IMPLEMENTATIONS:
        raise ValueError(f"implementation={choice!r} is not one of {tuple(IMPLEMENTATIONS)}")
    return IMPLEMENTATIONS[choice]


def form_for(device: torch.device) -> ImplementationName:
    """The form that is meant for a device: `fast` for a processor, `static` for every accelerator."""
    return "fast" if device.type == "cpu" else "static"
