"""Which implementation a name stands for."""

from __future__ import annotations

from tsa_model.network.fast.form import FAST
from tsa_model.network.implementation import Implementation, ImplementationName
from tsa_model.network.reference import REFERENCE

IMPLEMENTATIONS: dict[ImplementationName, Implementation] = {"reference": REFERENCE, "fast": FAST}


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
