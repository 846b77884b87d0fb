"""Where a compiled pipeline will run."""

from typing import Literal

Target = Literal["kubeflow", "vertex"]
"""Kubeflow Pipelines or Vertex AI Pipelines."""
