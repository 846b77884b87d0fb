"""A Kubeflow Pipelines server, and the command line that talks to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kfp.dsl.base_component import BaseComponent
from support.kfp_server import KfpServer, serve

import pipeline
from launcher.kubeflow.connection import VARIABLES
from launcher.stages import ClusterSettings
from launcher.target import Target

TOKEN = "very-secret-token"
Command = Callable[..., Result]

DEFINED: dict[tuple[str, str], BaseComponent] = {}
"""Pipelines by settings and target: kfp takes seconds to define one, and many tests use the same."""


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No connection from outside."""
    for variable in (
        "XDG_STATE_HOME",
        *VARIABLES.values(),
        "KF_PIPELINES_CONNECTION",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "http_proxy",
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def server() -> Iterator[KfpServer]:
    """A multi-user server behind a path; whatever its API's description does not allow fails the test."""
    state = KfpServer(namespace="fraud", token=TOKEN, prefix="/pipeline")
    with serve(state):
        yield state
    assert state.violations == []


@pytest.fixture
def command(server: KfpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `pipeline.py` against the server; the token must never show."""
    define = pipeline.define

    def define_once(settings: ClusterSettings, target: Target) -> BaseComponent:
        key = (settings.model_dump_json(), target)
        if key not in DEFINED:
            DEFINED[key] = define(settings, target)
        return DEFINED[key]

    monkeypatch.setattr(pipeline, "define", define_once)
    (tmp_path / "token").write_text(TOKEN + "\n")
    file = tmp_path / "connection.yaml"
    file.write_text(
        f"host: {server.host}\nnamespace: fraud\ntoken_file: {tmp_path / 'token'}\n"
        "retry_wait_s: 0\npoll_s: 0.01\n"
    )

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(pipeline.main, [*arguments, "--connection", str(file)])
        assert TOKEN not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run
