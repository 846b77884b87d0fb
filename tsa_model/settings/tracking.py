"""Where the record of a run is kept besides its own folder."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, PositiveFloat, field_validator

from tsa_model.settings.base import Settings

EMBEDDED = "mlruns"
"""Name of MLflow's file store beside the runs."""


class TrackingConfig(Settings):
    """Write every run to MLflow, too: parameters, curves, figures, reports, verdict and digests.

    The record is made of the run's own files, by a process of its own: an outage of MLflow costs no run, and
    `tsa track` writes later what is missing. A log-in stands in no run description; MLflow reads it from
    MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
    """

    uri: str = ""
    """Address of an MLflow server (https://mlflow.example), or an absolute folder; empty = a folder `mlruns`
    beside the runs."""
    experiment: str = Field(default="tsa-pipeline", min_length=1)
    """MLflow's experiment that the runs appear in; it is made when it is absent."""
    patience_s: PositiveFloat = 120.0
    """How long the end of a run waits for its record to be complete, seconds."""

    @field_validator("uri")
    @classmethod
    def _check_uri(cls, uri: str) -> str:
        parts = urlsplit(uri)
        if "@" in parts.netloc:
            raise ValueError(
                "holds a log-in: leave it out, and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
        is_server = parts.scheme in ("http", "https") and bool(parts.netloc)
        if uri and not is_server and not uri.startswith("/"):
            raise ValueError("is neither an address like https://mlflow.example nor an absolute folder")
        return uri

    def place(self, runs: Path) -> str:
        """Where the record of a run below `runs` goes: an address, or the path of a folder."""
        return self.uri.rstrip("/") if self.uri else str(runs.resolve() / EMBEDDED)
