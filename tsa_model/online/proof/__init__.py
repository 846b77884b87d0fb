"""The proof that an order gets online what the batch gave it: a replay, the server, planted faults.

Imports the rest of the room, and the service, which it starts as a process of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsa_model import lazy

if TYPE_CHECKING:
    from tsa_model.online.proof.stage import check_online
    from tsa_model.online.proof.verdict import OnlineVerdict

__all__ = ["OnlineVerdict", "check_online"]

__getattr__ = lazy.names_from(
    __name__,
    {
        "tsa_model.online.proof.stage": ("check_online",),
        "tsa_model.online.proof.verdict": ("OnlineVerdict",),
    },
)
