"""MLflow's registry of models: a version for each, found by its own id, and an alias for the one in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tsa_model.tracking.in_mlflow import clear, connect

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

ID = "tsa.id"
"""Tag of a version by which it is found again: MLflow's own numbers say nothing of the model."""
ALIAS = "champion"


class ModelEntry(NamedTuple):
    """One model."""

    id: str
    uri: str
    description: str
    tags: dict[str, str]
    is_champion: bool


class MLflowModels:
    """One model of an MLflow server or file store.

    Args:
        place: address of a server, or the path of a folder.
        name: of the model; it is made when it is absent.
    """

    def __init__(self, place: str, name: str) -> None:
        self.place, self.name = place, name
        with clear(place):
            self._client = connect(place)

    def follow(self, entries: list[ModelEntry]) -> int:
        """Bring MLflow in line; what is as it should be is left alone.

        Args:
            entries: one of them the champion; versions of others are left alone.

        Returns:
            Number of changes.

        Raises:
            TrackingProblem: MLflow refused, or cannot be reached; another call completes it.
        """
        with clear(self.place):
            changes = self._make_model()
            known, doubles = self._versions()
            for double in doubles:
                self._client.delete_model_version(self.name, double)
            changes += len(doubles)
            for entry in entries:
                changes += self._bring(entry, known.get(entry.id))
            return changes

    def champion(self) -> str | None:
        """The id of the version in use; None = there is none."""
        from mlflow.exceptions import MlflowException

        with clear(self.place):
            try:
                version = self._client.get_model_version_by_alias(self.name, ALIAS)
            except MlflowException as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    return None
                raise
            return str(version.tags.get(ID)) if ID in version.tags else None

    def _make_model(self) -> int:
        from mlflow.exceptions import MlflowException

        if self._client.search_registered_models(f"name = '{self.name}'"):
            return 0
        try:
            self._client.create_registered_model(self.name, description="Temporal Self-Attention fraud model")
        except MlflowException as error:  # another process was faster, or its answer was lost
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        return 1

    def _versions(self) -> tuple[dict[str, ModelVersion], list[str]]:
        """The versions by id, and the numbers of further ones of the same id, which lost answers leave."""
        known: dict[str, ModelVersion] = {}
        doubles = []
        found = self._client.search_model_versions(f"name = '{self.name}'")
        for version in sorted(found, key=lambda one: int(one.version)):
            name = version.tags.get(ID)
            if name in known:
                doubles.append(str(version.version))
            elif name is not None:
                known[name] = version
        return known, doubles

    def _bring(self, entry: ModelEntry, version: ModelVersion | None) -> int:
        changes = 0
        tags = {ID: entry.id, **entry.tags}
        if version is None:
            version = self._client.create_model_version(
                self.name, entry.uri, tags=tags, description=entry.description
            )
            changes += 1
        number = str(version.version)
        for name, text in tags.items():
            if version.tags.get(name) != text:
                self._client.set_model_version_tag(self.name, number, name, text)
                changes += 1
        if entry.is_champion and self.champion() != entry.id:
            self._client.set_registered_model_alias(self.name, ALIAS, number)
            changes += 1
        return changes
