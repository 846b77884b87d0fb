"""Options that several commands share, and what they are checked against."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.errors import clear_errors
from launcher.definition import MONITORING, TRAINING
from launcher.kubeflow.variables import FILE, FILE_VARIABLE, VARIABLES
from tsa_model.events.location import check_location

if TYPE_CHECKING:
    from launcher.kubeflow.connection import Connection

Decorator = Callable[..., Any]


class Existing(click.Path):
    """A file or folder that must be there.

    Args:
        remote: an address such as s3://bucket/orders, or a pattern such as orders/*.parquet, is let through.
    """

    def __init__(self, remote: bool = False) -> None:
        super().__init__(path_type=None if remote else Path)
        self.name = "path"
        self._remote = remote

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, or the end of the command."""
        remote = self._remote and ("://" in str(value) or "*" in str(value))
        if remote:
            with clear_errors():
                check_location(str(value))
        if not remote and (problem := self._problem(Path(value))):
            name = param.opts[0] if param is not None else "argument"
            raise click.ClickException(f"{name}: {problem}")
        return super().convert(value, param, ctx)

    def _problem(self, path: Path) -> str:
        return "" if path.exists() else f"there is no file or folder {path}"


class ExistingFolder(Existing):
    """A folder that must be there, and be what it is taken for.

    Args:
        holds: a file that it must hold.
        what: what it is then.
    """

    def __init__(self, holds: str, what: str) -> None:
        super().__init__()
        self.name = "directory"
        self.holds, self.what = holds, what

    def _problem(self, path: Path) -> str:
        if not path.is_dir():
            return f"there is no folder {path}"
        if not (path / self.holds).is_file():
            return f"{path / self.holds} is missing: {path} is not {self.what}"
        return ""


STORE = ExistingFolder("manifest.json", "a sequence store")
MODEL = ExistingFolder("model.json", "the folder of a trained model")
EXPORTED = ExistingFolder("onnx.json", "the folder of an exported model")
BASELINE = ExistingFolder("baseline.json", "a baseline (docs/BASELINE.md)")


class HistoryPlace(click.Path):
    """Where histories are kept: a folder, or an address of Redis."""

    def __init__(self) -> None:
        super().__init__(file_okay=False, path_type=Path)
        self.name = "directory|redis://host:port/number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A path, or the address as it is."""
        is_address = str(value).startswith(("redis://", "rediss://"))
        return str(value) if is_address else super().convert(value, param, ctx)


class Moment(click.ParamType):
    """A moment in ISO 8601, UTC where it names no zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment, with its time zone."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time: write it like 2025-05-01 or 2025-05-01T06:00:00Z", param, ctx)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def run_options(command: Decorator) -> Decorator:
    """What a run is about: one option for every input of the pipeline."""
    return _decorated(
        command,
        click.option(
            "--events",
            metavar="PATH",
            help="File or folder with the raw orders. Left out: those that the run description simulates.",
        ),
        click.option(
            "--config",
            metavar="NAME|FILE",
            help="Run description: the name of a shipped one (demo, handbook) or a YAML file. Default: demo.",
        ),
        click.option(
            "--seed", type=int, help="Random seed of the training. Left out: as in the run description."
        ),
        click.option(
            "--max-epochs",
            type=int,
            help="Upper limit of training epochs. Left out: as in the run description.",
        ),
        click.option(
            "--data-interval-end",
            metavar="TIME",
            help="Moment at which the data end, such as 2025-04-24 (UTC): the split moves with it. "
            "Left out: the dates of the run description.",
        ),
        click.option(
            "--champion",
            metavar="PATH",
            help="Folder with the champion's pointer file. Left out: no comparison with a champion.",
        ),
        click.option(
            "--promote",
            flag_value=True,
            default=None,
            help="Put the new model in use when every check passed and it is not worse.",
        ),
    )


def connection_options(command: Decorator) -> Decorator:
    """How to reach the server."""

    def option(name: str, text: str, **more: Any) -> Decorator:
        return click.option(f"--{name.replace('_', '-')}", help=f"{text} [{VARIABLES[name]}]", **more)

    return _decorated(
        command,
        option("host", "Address of the Kubeflow Pipelines API."),
        option("ui_host", "Address that people open, for links. Default: the host."),
        option("namespace", "Namespace of a multi-user installation."),
        option("token", "Bearer token; others can see it in the list of processes, a file is safer."),
        option("token_file", "File with the bearer token.", type=click.Path(path_type=Path)),
        option("ca_file", "The server's certificate authority, PEM.", type=click.Path(path_type=Path)),
        option("proxy", "Proxy for all requests."),
        option("service_account", "Kubernetes service account of the runs."),
        click.option(
            "--connection",
            type=click.Path(path_type=Path),
            help=f"File with these settings, default {FILE}. [{FILE_VARIABLE}]",
        ),
    )


def pipeline_options(command: Decorator) -> Decorator:
    """What is uploaded, and which of the two pipelines it is."""
    return _decorated(command, pipeline_option, upload_options)


def upload_options(command: Decorator) -> Decorator:
    """What is uploaded."""
    return _decorated(
        command,
        click.option(
            "--stages",
            type=click.Path(path_type=Path),
            multiple=True,
            help="File with what differs from launcher/stages.yaml: image, resources, retries, volumes.",
        ),
        click.option("--image", metavar="REFERENCE", help="Image for every stage, best with a digest."),
        click.option(
            "--experiment", default="tsa-pipeline", show_default=True, help="Where the runs appear."
        ),
        click.option(
            "-p",
            "--param",
            multiple=True,
            metavar="NAME=VALUE",
            help="Value of an input of the pipeline, sent as it is written; may be repeated.",
        ),
    )


def pipeline_option(command: Decorator) -> Decorator:
    """Which of the two pipelines."""
    return click.option(
        "--pipeline",
        "which",
        type=click.Choice((TRAINING, MONITORING)),
        help="The pipeline that makes a model (the default), or the one that judges a model's scores.",
    )(command)


def registry_option(command: Decorator) -> Decorator:
    """Where the model in use is kept."""
    return click.option(
        "--registry", required=True, metavar="DIR", help="Folder with the champion's pointer file."
    )(command)


def find_connection(options: dict[str, Any]) -> Connection:
    """Take the connection's options out of a command's, and look for the rest of it."""
    from launcher.kubeflow.connection import Connection

    given = {name: options.pop(name) for name in VARIABLES}
    return Connection.find(given, options.pop("connection"))


def _decorated(command: Decorator, *options: Decorator) -> Decorator:
    return functools.reduce(lambda inner, option: option(inner), reversed(options), command)
