"""The submitting account's rights are those of the requests that are made, and no others."""

from __future__ import annotations

from pathlib import Path

import yaml
from support.kfp_server import KfpServer

ROLE = Path(__file__).parents[3] / "deploy" / "submitter.yaml"
RESOURCES = {
    "pipelines": "pipelines",
    "versions": "pipelines/versions",
    "upload": "pipelines",
    "upload_version": "pipelines/versions",
    "experiments": "experiments",
    "runs": "runs",
    "recurringruns": "jobs",
}
"""Part of a path → the resource that the API server asks Kubernetes about."""


def right(method: str, path: str) -> tuple[str, str] | None:
    """The right that a request needs; None = the health of the server, which needs none."""
    parts = path.rpartition("/apis/v2beta1/")[2].split("/")
    if parts[0] == "healthz":
        return None
    last, _, action = parts[-1].partition(":")
    resource = RESOURCES[next(part for part in reversed([*parts[:-1], last]) if part in RESOURCES)]
    verbs = {"POST": action or "create", "DELETE": "delete", "GET": "list" if last in RESOURCES else "get"}
    return resource, verbs[method]


def test_the_role_holds_what_submit_and_schedule_ask_for(server: KfpServer, command) -> None:
    for arguments in (
        ("submit", "--seed", "3", "--wait"),
        ("schedule", "create", "--cron", "0 2 * * 1", "--name", "weekly"),
        ("schedule", "create", "--cron", "0 3 * * 1", "--name", "weekly"),
        ("schedule", "list"),
        ("schedule", "pause", "weekly"),
        ("schedule", "resume", "weekly"),
        ("schedule", "delete", "weekly"),
    ):
        result = command(*arguments)
        assert result.exit_code == 0, result.output
    asked = {right(method, path) for method, path, _, _ in server.requests} - {None}
    (role,) = [one for one in yaml.safe_load_all(ROLE.read_text()) if one["kind"] == "Role"]
    granted = {
        (resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]
    }
    assert asked <= granted
    assert {("jobs", "enable"), ("jobs", "disable"), ("jobs", "delete"), ("runs", "create")} <= asked
    assert {verb for _, verb in granted} == {verb for _, verb in asked}
