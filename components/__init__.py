"""The stages of the pipeline as Kubeflow components, in the order of the data flow."""

from components.build_sequences import build_sequences
from components.check_equivalence import check_equivalence
from components.check_online import check_online
from components.compare_champion import compare_champion
from components.export_onnx import export_onnx
from components.generate_scores import generate_scores
from components.monitor_scores import monitor_scores
from components.train_model import train_model
from components.validate_events import validate_events

__all__ = [
    "build_sequences",
    "check_equivalence",
    "check_online",
    "compare_champion",
    "export_onnx",
    "generate_scores",
    "monitor_scores",
    "train_model",
    "validate_events",
]
