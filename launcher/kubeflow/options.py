"""Options and checks that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import click
from kfp.dsl.base_component import BaseComponent

from launcher.compilation import Documents, compiled_documents
from launcher.kubeflow.api import ApiError
from launcher.kubeflow.arguments import checked_arguments, parse_assignments
from launcher.kubeflow.connection import FILE, FILE_VARIABLE, VARIABLES, Connection
from launcher.kubeflow.versions import version_name
from launcher.kubeflow.waiting import WaitedTooLong
from launcher.stages import ClusterSettings, Target
from tsa_model.settings.data_interval import SCHEDULED_TIME, interval_end
from tsa_model.settings.run import RunConfig

Command = Callable[..., Any]
RUN = ("events", "config", "seed", "max_epochs", "data_interval_end", "champion", "promote")
LOCAL_IMAGE = "localhost/"


class Define(Protocol):
    """The function that defines the pipeline."""

    def __call__(self, settings: ClusterSettings | None = None, target: Target = "kubeflow") -> BaseComponent:
        """Define it for `target`, set up with `settings`."""


def run_options(command: Command) -> Command:
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


def connection_options(command: Command) -> Command:
    """How to reach the server."""

    def option(name: str, text: str, **more: Any) -> Command:
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


def pipeline_options(command: Command) -> Command:
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


def split_connection(options: dict[str, Any]) -> tuple[Connection, dict[str, Any]]:
    """Take the connection's options out of a command's, and look for the rest of it."""
    given = {name: options.pop(name) for name in VARIABLES}
    return Connection.find(given, options.pop("connection")), options


class Submission(NamedTuple):
    """What can be sent: compiled, named and checked."""

    documents: Documents
    version: str
    arguments: dict[str, Any]

    @property
    def pipeline(self) -> str:
        """Name of the pipeline."""
        return str(self.documents[0]["pipelineInfo"]["name"])

    @property
    def description(self) -> str:
        """Description of the pipeline."""
        return str(self.documents[0]["pipelineInfo"].get("description", ""))


def prepare(define: Define, options: dict[str, Any], **fixed: Any) -> Submission:
    """Compile the pipeline and check the arguments; nothing is sent.

    Args:
        define: the pipeline's definition.
        options: values of `run_options` and `pipeline_options`.
        fixed: arguments of the command itself, which an option or a parameter replaces.

    Raises:
        ValueError: settings, run description or arguments do not fit.
    """
    parameters = parse_assignments(options["param"])
    given = {name: options[name] for name in RUN if options[name] is not None}
    twice = sorted(parameters.keys() & given.keys())
    if twice:
        raise ValueError(f"{', '.join(twice)}: given as an option and with --param")
    if "config" not in parameters:
        given |= _checked_description(given, parameters)
    settings = ClusterSettings.load(*options["stages"])
    documents = compiled_documents(define(settings, "kubeflow"), options["image"])
    arguments = checked_arguments(documents, fixed | given | parameters)
    end = arguments.get("data_interval_end", "")
    if end != SCHEDULED_TIME:
        interval_end(end)
    return Submission(documents, version_name(documents), arguments)


def load_description(config: str) -> RunConfig:
    """The run description of that name or in that file.

    Raises:
        click.ClickException: there is none, or it is refused.
    """
    try:
        return RunConfig.load(config)
    except (ValueError, OSError) as error:
        raise click.ClickException(f"run description {config!r}: {error}") from None


def need_events(description: RunConfig, config: str, events: str | None) -> None:
    """Refuse a run without any orders."""
    if not events and description.simulation is None:
        raise click.UsageError(f"run description {config!r} simulates no orders: give the file with --events")


def warn_of_local_image(documents: Documents) -> None:
    """Say so when a cluster cannot pull the image."""
    executors = documents[0]["deploymentSpec"]["executors"].values()
    local = {e["container"]["image"] for e in executors if e["container"]["image"].startswith(LOCAL_IMAGE)}
    for image in sorted(local):
        click.echo(
            f"Warning: a cluster cannot pull {image}: push the image, and name it with --image or --stages.",
            err=True,
        )


@contextmanager
def clear_errors() -> Iterator[None]:
    """End with one line and status 1 where something expected went wrong."""
    try:
        yield
    except (ApiError, ValueError, OSError, WaitedTooLong) as error:
        raise click.ClickException(str(error)) from None


def _checked_description(given: dict[str, Any], parameters: dict[str, str]) -> dict[str, Any]:
    """The run description as text, so that the run uses what was checked here."""
    config = given.get("config", "demo")
    description = load_description(config)
    need_events(description, config, given.get("events") or parameters.get("events"))
    return {"config": description.model_dump_json(exclude_unset=True)} if "config" in given else {}


def _decorated(command: Command, *options: Command) -> Command:
    return functools.reduce(lambda inner, option: option(inner), reversed(options), command)
