"""ONNX: the exported file is compared with the reference, and the same file scores.

Imports equivalence, sequences and network, each name when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsa_model import lazy

if TYPE_CHECKING:
    from tsa_model.export.parity import ParityError, check_parity
    from tsa_model.export.session import ScoringSession, SessionSettings
    from tsa_model.export.stage import export_onnx

__all__ = ["ParityError", "ScoringSession", "SessionSettings", "check_parity", "export_onnx"]

__getattr__ = lazy.names_from(
    __name__,
    {
        "tsa_model.export.parity": ("ParityError", "check_parity"),
        "tsa_model.export.session": ("ScoringSession", "SessionSettings"),
        "tsa_model.export.stage": ("export_onnx",),
    },
)
