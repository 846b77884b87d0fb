"""The audit: the chain of proof of a finished run or a model folder, walked again from its files alone.

Imports promotion, scoring, export, equivalence and sequences, each name when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsa_model import lazy

if TYPE_CHECKING:
    from tsa_model.audit.links import Audit, Link
    from tsa_model.audit.model import audit_model
    from tsa_model.audit.run import audit_run

__all__ = ["Audit", "Link", "audit_model", "audit_run"]

__getattr__ = lazy.names_from(
    __name__,
    {
        "tsa_model.audit.links": ("Audit", "Link"),
        "tsa_model.audit.model": ("audit_model",),
        "tsa_model.audit.run": ("audit_run",),
    },
)
