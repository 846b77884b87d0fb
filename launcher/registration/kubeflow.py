"""Kubeflow's Model Registry, over its API v1alpha3; its own client is not used, as of Kubeflow Pipelines."""

from __future__ import annotations

import os
from typing import Any

from pydantic import ValidationError

from launcher.kubeflow.answers import ApiError, Json, Service
from launcher.kubeflow.api import Api
from launcher.kubeflow.connection import Connection, ConnectionProblem, without_values
from launcher.registration.versions import Value, Version

VARIABLES = {
    "token": "MODEL_REGISTRY_TOKEN",
    "token_file": "MODEL_REGISTRY_TOKEN_FILE",
    "ca_file": "MODEL_REGISTRY_CA_FILE",
}
"""Setting of the connection → environment variable. The token of Kubeflow Pipelines is never sent there."""
SERVICE = Service(
    prefix="/api/model_registry/v1alpha3",
    name="Model Registry API",
    misplaced="the address is another service's",
    token="MODEL_REGISTRY_TOKEN_FILE, or MODEL_REGISTRY_TOKEN",
    refused="check that the account of the token may use the Model Registry",
    unknown="check the address: it ends before /api/model_registry",
)
FORMAT = "onnx"
CHAMPION = "tsa.champion"
"""Property of the model: the id of the version in use."""


class ModelRegistry:
    """One model of a Model Registry.

    Args:
        address: of the registry.
        name: of the model.
    """

    def __init__(self, address: str, name: str) -> None:
        self.address, self.name = address, name
        given = {setting: os.environ.get(variable) for setting, variable in VARIABLES.items()}
        try:
            connection = Connection.model_validate(
                {"host": address, **{setting: value for setting, value in given.items() if value}}
            )
        except ValidationError as error:
            raise ConnectionProblem(without_values(error)) from None
        self._api = Api(connection, SERVICE)

    def follow(self, versions: list[Version]) -> int:
        """Bring the registry in line; what is as it should be is left alone.

        The champion is made LIVE before the others are archived, and named by the model last: at every moment
        the model names a version that exists.

        Args:
            versions: the champion last; versions of others in the registry are left alone.

        Returns:
            Number of changes.

        Raises:
            ApiError: the registry refused, or cannot be reached; another call completes it.
        """
        model, changes = self._model()
        for version in sorted(versions, key=lambda one: not one.is_champion):
            changes += self._version(model["id"], version)
        champion = next(version for version in versions if version.is_champion)
        wanted: dict[str, Value] = {CHAMPION: champion.id, "tsa.location": champion.uri}
        return changes + self._bring("/registered_models", model, wanted, {})

    def champion(self) -> str | None:
        """The id of the version in use; None = the registry has none."""
        model = self._found("/registered_model", name=self.name)
        value = (model or {}).get("customProperties", {}).get(CHAMPION, {})
        return value.get("string_value") or None

    def _model(self) -> tuple[Json, int]:
        def find() -> Json | None:
            return self._found("/registered_model", name=self.name)

        if (found := find()) is not None:
            return found, 0
        about = {"name": self.name, "description": "Temporal Self-Attention fraud model", "owner": "tsa"}
        return self._api.create(find, "/registered_models", "id", json=about), 1

    def _version(self, model: str, version: Version) -> int:
        state = "LIVE" if version.is_champion else "ARCHIVED"
        changes = 0

        def find() -> Json | None:
            return self._found("/model_version", name=version.id, parentResourceId=model)

        if (found := find()) is None:
            about = {
                "name": version.id,
                "registeredModelId": model,
                "description": version.description,
                "state": state,
                "customProperties": _as_properties(version.properties),
            }
            found, changes = self._api.create(find, "/model_versions", "id", json=about), 1
        changes += self._artifact(found["id"], version)
        return changes + self._bring("/model_versions", found, version.properties, {"state": state})

    def _artifact(self, parent: str, version: Version) -> int:
        name = f"{self.name}-{version.id}"

        def find() -> Json | None:
            return self._found("/model_artifact", name=name, parentResourceId=parent)

        if (found := find()) is not None:
            return self._bring(
                "/model_artifacts", found, {}, {"uri": version.uri}, artifactType="model-artifact"
            )
        about = {
            "artifactType": "model-artifact",
            "name": name,
            "uri": version.uri,
            "modelFormatName": FORMAT,
            "modelFormatVersion": "1",
            "state": "LIVE",
        }
        self._api.create(find, f"/model_versions/{parent}/artifacts", "id", json=about)
        return 1

    def _bring(
        self, path: str, found: Json, properties: dict[str, Value], fields: dict[str, str], **more: Any
    ) -> int:
        """Change what differs, in one request; properties that others have set are kept."""
        there = found.get("customProperties") or {}
        wanted = {**there, **_as_properties(properties)}
        changes: Json = {name: value for name, value in fields.items() if found.get(name) != value}
        if wanted != there:
            changes["customProperties"] = wanted
        if not changes:
            return 0
        self._api.change(f"{path}/{found['id']}", "id", **changes, **more)
        return 1

    def _found(self, path: str, **query: str) -> Json | None:
        try:
            return self._api.get(path, "id", **query)
        except ApiError as error:
            if error.status == 404:
                return None
            raise


def _as_properties(properties: dict[str, Value]) -> Json:
    return {
        name: {"metadataType": "MetadataStringValue", "string_value": value}
        if isinstance(value, str)
        else {"metadataType": "MetadataDoubleValue", "double_value": value}
        for name, value in properties.items()
    }
