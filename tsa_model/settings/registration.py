"""Where the models of a champion's registry are registered, too."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from tsa_model.settings.base import Settings


class RegistrationConfig(Settings):
    """Registries that follow the champion's pointer; no log-in stands here (docs/TRACKING.md)."""

    name: str = Field(default="tsa-fraud", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")
    """Name of the model in both."""
    model_registry: str = ""
    """Address of Kubeflow's Model Registry; empty = none."""
    mlflow: str = ""
    """Address of an MLflow server, or an absolute folder; empty = none."""
    location: str = Field(min_length=1)
    """Where those who serve find the champion's folder, such as s3://bucket/champion or pvc://tsa-champion; a
    model's own location is `models/<id>` below it."""

    @field_validator("model_registry", "mlflow", "location")
    @classmethod
    def _check_address(cls, address: str) -> str:
        if "@" in urlsplit(address).netloc:
            raise ValueError("holds a log-in: leave it out, and give it in the environment")
        return address.rstrip("/")

    @field_validator("model_registry", "mlflow")
    @classmethod
    def _check_server(cls, address: str, info: object) -> str:
        parts = urlsplit(address)
        is_server = parts.scheme in ("http", "https") and bool(parts.netloc)
        is_folder = address.startswith("/") and getattr(info, "field_name", "") == "mlflow"
        if address and not is_server and not is_folder:
            raise ValueError("is no address like https://registry.example")
        return address

    @model_validator(mode="after")
    def _check(self) -> RegistrationConfig:
        if not self.model_registry and not self.mlflow:
            raise ValueError("names neither a model registry nor MLflow: give one of them")
        return self

    def uri(self, model: str) -> str:
        """Where a model folder lies for those who serve it.

        Args:
            model: path relative to the pointer file, as the pointer has it.
        """
        return f"{self.location}/{model}"
