"""One order at a time: a history store, the batch's own inputs made from it, and the score.

Imports scoring and sequences; the service around it is a room of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsa_model import lazy

if TYPE_CHECKING:
    from tsa_model.online.cells import WrongOrder
    from tsa_model.online.lmdb_store import LmdbStore
    from tsa_model.online.loading import load_history
    from tsa_model.online.scorer import OnlineScorer, Scored

__all__ = ["LmdbStore", "OnlineScorer", "Scored", "WrongOrder", "load_history"]

__getattr__ = lazy.names_from(
    __name__,
    {
        "tsa_model.online.lmdb_store": ("LmdbStore",),
        "tsa_model.online.loading": ("load_history",),
        "tsa_model.online.cells": ("WrongOrder",),
        "tsa_model.online.scorer": ("OnlineScorer", "Scored"),
    },
)
