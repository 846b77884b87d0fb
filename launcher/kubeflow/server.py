"""The launcher's requests to a server: pipelines and versions, experiments, runs, recurring runs."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from launcher.compilation import Documents, as_text
from launcher.kubeflow.answers import ApiError, Json
from launcher.kubeflow.api import PAGE_SIZE, Api
from launcher.kubeflow.connection import Connection

DUPLICATE = 409


class PipelinesServer:
    """One Kubeflow Pipelines installation, seen from one namespace."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._api = Api(connection)
        self._namespace = connection.namespace

    def check_access(self) -> None:
        """Ask the cheapest question, before anything is made on the server.

        Raises:
            ApiError: host, token or namespace do not let the connection in.
        """
        next(self._api.pages("/experiments", "experiments", namespace=self._namespace), None)

    def health(self) -> Json:
        """What the server says of itself: `multi_user`, `pipeline_store`."""
        return self._api.get("/healthz", "")

    def first(self, path: str, key: str) -> Json | None:
        """The first of a list in the namespace; shows whether the account may see it."""
        return next(self._api.pages(f"/{path}", key, namespace=self._namespace), None)

    def upload(self, documents: Documents, version: str, description: str = "") -> Json:
        """Upload a compiled pipeline as a version, once; the pipeline itself is created when it is absent.

        Args:
            documents: the compiled pipeline.
            version: name of the version, which says what is in it: one that is there is used.
            description: shown beside the version.

        Returns:
            The version: `pipeline_id`, `pipeline_version_id`, `name`, ...
        """
        pipeline_id = self._pipeline(documents[0]["pipelineInfo"])["pipeline_id"]
        path = f"/pipelines/{pipeline_id}/versions"

        def find() -> Json | None:
            return _first(self._api.pages(path, "pipeline_versions"), _name, version)

        made = self._found_or_made(
            find,
            "/pipelines/upload_version",
            "pipeline_version_id",
            query={"name": version, "pipelineid": pipeline_id, "description": description},
            files={"uploadfile": ("pipeline.yaml", as_text(documents).encode(), "application/yaml")},
        )
        return {"pipeline_id": pipeline_id, "name": version} | made

    def find_experiment(self, name: str) -> Json | None:
        """The experiment of that name; None = there is none."""
        return _first(self._api.pages("/experiments", "experiments", namespace=self._namespace), _name, name)

    def experiment(self, name: str) -> str:
        """The id of an experiment, which is created when it is absent."""
        body = {"display_name": name} | ({"namespace": self._namespace} if self._namespace else {})
        found = self._found_or_made(
            lambda: self.find_experiment(name), "/experiments", "experiment_id", json=body
        )
        if found.get("storage_state") == "ARCHIVED":
            raise ApiError(f"experiment {name!r} is archived: restore it, or name another with --experiment")
        return str(found["experiment_id"])

    def runs_named(self, name: str, experiment_id: str) -> list[Json]:
        """The newest runs of that name in an experiment."""
        newest = self._api.pages("/runs", "runs", experiment_id=experiment_id, sort_by="created_at desc")
        return [one for one in islice(newest, PAGE_SIZE) if one.get("display_name") == name]

    def run(
        self, version: Json, experiment_id: str, arguments: Json, name: str, known: Collection[str] = ()
    ) -> Json:
        """Start one run of a version.

        Args:
            version: from `upload`.
            experiment_id: where the run appears.
            arguments: values of the pipeline's parameters.
            name: of the run.
            known: ids of the runs that have this name already.
        """
        body = self._what_to_run(version, experiment_id, arguments) | {"display_name": name}

        def find() -> Json | None:
            runs = self.runs_named(name, experiment_id)
            return next((one for one in runs if one["run_id"] not in known), None)

        return self._api.create(find, "/runs", "run_id", json=body)

    def get_run(self, run_id: str) -> Json:
        """A run with its state and the states of its tasks."""
        return self._api.get(f"/runs/{run_id}", "run_id")

    def schedules(self, name: str | None = None) -> list[Json]:
        """The recurring runs, or those of one name."""
        found = self._api.pages("/recurringruns", "recurringRuns", namespace=self._namespace)
        return [one for one in found if name is None or _name(one) == name]

    def add_schedule(
        self, name: str, cron: str, version: Json, experiment_id: str, arguments: Json, known: Collection[str]
    ) -> Json:
        """Make a recurring run that does not fire yet: see `set_active`.

        Args:
            name: name of the recurring run.
            cron: six fields, seconds first.
            version: the version to run, from `upload`.
            experiment_id: where its runs appear.
            arguments: values of the pipeline's parameters.
            known: ids of the recurring runs that have this name already.
        """
        body = self._what_to_run(version, experiment_id, arguments) | {
            "display_name": name,
            "trigger": {"cron_schedule": {"cron": cron}},
            "mode": "DISABLE",
            "max_concurrency": "1",
            "no_catchup": True,
        }

        def find() -> Json | None:
            return next((one for one in self.schedules(name) if one["recurring_run_id"] not in known), None)

        return self._api.create(find, "/recurringruns", "recurring_run_id", json=body)

    def set_active(self, schedule: Json, active: bool) -> None:
        """Let a recurring run fire, or not."""
        self._api.act(f"/recurringruns/{schedule['recurring_run_id']}:{'enable' if active else 'disable'}")

    def delete_schedule(self, schedule: Json) -> None:
        """Delete a recurring run; runs that it has started go on."""
        self._api.delete(f"/recurringruns/{schedule['recurring_run_id']}", propagation_policy="ORPHAN")

    def _pipeline(self, info: Json) -> Json:
        """The pipeline of that name in the namespace, created when it is absent."""
        name, query = info["name"], {"namespace": self._namespace}

        def find() -> Json | None:
            try:
                return self._api.get(f"/pipelines/names/{name}", "pipeline_id", **query)
            except ApiError as error:
                if error.status != 404:
                    raise
                return None

        body = {"name": name, "display_name": name, "description": info.get("description", "")}
        filled = body | {key: value for key, value in query.items() if value}
        return self._found_or_made(find, "/pipelines", "pipeline_id", json=filled)

    def _found_or_made(self, find: Callable[[], Json | None], path: str, needs: str, **request: Any) -> Json:
        """The object that `find` finds, else a new one; also when another client makes it at that moment."""
        found = find()
        if found is not None:
            return found
        try:
            return self._api.create(find, path, needs, **request)
        except ApiError as error:
            if error.status != DUPLICATE or (found := find()) is None:
                raise
            return found

    def _what_to_run(self, version: Json, experiment_id: str, arguments: Json) -> Json:
        body: Json = {
            "experiment_id": experiment_id,
            "pipeline_version_reference": {
                "pipeline_id": version["pipeline_id"],
                "pipeline_version_id": version["pipeline_version_id"],
            },
            "runtime_config": {"parameters": arguments},
        }
        if self.connection.service_account:
            body["service_account"] = self.connection.service_account
        return body


def is_active(schedule: Json) -> bool:
    """Whether a recurring run fires; servers tell by `status`, older ones only by `mode`."""
    status = schedule.get("status") or "STATUS_UNSPECIFIED"
    return bool(status == "ENABLED" or (status == "STATUS_UNSPECIFIED" and schedule.get("mode") == "ENABLE"))


def new_run_name(pipeline: str) -> str:
    """A name that no other run has."""
    return f"{pipeline}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def _name(resource: Json) -> str:
    return str(resource.get("name") or resource.get("display_name") or "")


def _first(resources: Iterator[Json], key: Callable[[Json], Any], value: Any) -> Json | None:
    return next((one for one in resources if key(one) == value), None)
