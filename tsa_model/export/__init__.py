"""ONNX: the exported file is compared with the reference, and the same file scores."""

from tsa_model.export.parity import ParityError
from tsa_model.export.session import ScoringSession, SessionSettings
from tsa_model.export.stage import export_onnx

__all__ = ["ParityError", "ScoringSession", "SessionSettings", "export_onnx"]
