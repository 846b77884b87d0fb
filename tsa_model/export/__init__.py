"""ONNX: what is exported is checked, and what was checked is what scores."""

from tsa_model.export.parity import ParityError
from tsa_model.export.session import ScoringSession, SessionSettings
from tsa_model.export.stage import export_onnx

__all__ = ["ParityError", "ScoringSession", "SessionSettings", "export_onnx"]
