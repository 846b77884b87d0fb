"""Checks of what a run was given; all of them before anything is compiled, written or sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.errors import clear_errors
from launcher.definition import Inputs
from tsa_model.events.location import check_location

if TYPE_CHECKING:
    from tsa_model.settings.run import RunConfig

RUN_OPTIONS = ("seed", "max_epochs", "champion", "promote")
"""Options of `run_options` that not every pipeline has an input for."""
ON_THIS_MACHINE = "Note: the section `tracking` is for runs on this machine; nothing follows a cluster's run."


def load_description(config: str) -> RunConfig:
    """The run description of that name or in that file.

    Raises:
        click.ClickException: there is none, or it is refused.
    """
    from tsa_model.settings.run import RunConfig

    try:
        return RunConfig.load(config)
    except (ValueError, OSError) as error:
        raise click.ClickException(f"run description {config!r}: {error}") from None


def need_events(description: RunConfig, config: str, events: str | None) -> None:
    """Refuse a run without any orders, or with a secret in their address."""
    with clear_errors():
        check_location(events or "")
    if not events and description.simulation is None:
        raise click.UsageError(f"run description {config!r} simulates no orders: give the file with --events")


def check_interval_end(text: str) -> None:
    """Refuse an end of the data that is no moment; the time a recurring run will have is not known yet."""
    from tsa_model.settings.data_interval import SCHEDULED_TIME, interval_end

    if text != SCHEDULED_TIME:
        interval_end(text)


def check_registry(champion: str, promote: bool) -> None:
    """Refuse a run whose last stage could not find the champion.

    Raises:
        click.ClickException: the folder is no registry, or there is none to promote in.
    """
    if not champion and not promote:
        return
    from tsa_model.promotion import check_champion

    try:
        check_champion(champion, promote)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from None


def cluster_arguments(inputs: Inputs, options: dict[str, Any], **fixed: Any) -> dict[str, Any]:
    """The arguments of a run on a cluster.

    Args:
        inputs: the pipeline's inputs.
        options: values of `run_options` and `pipeline_options`.
        fixed: arguments of the command itself, which an option or a parameter replaces.

    Raises:
        ValueError: run description or arguments do not fit.
    """
    from launcher.kubeflow.arguments import checked_arguments, parse_assignments

    parameters = parse_assignments(options["param"])
    given = {name: options[name] for name in inputs if options.get(name) is not None}
    foreign = [name for name in RUN_OPTIONS if name not in inputs and options.get(name) is not None]
    if foreign:
        raise ValueError(
            f"this pipeline has no --{foreign[0].replace('_', '-')}: its inputs are {', '.join(inputs)}"
        )
    twice = sorted(parameters.keys() & given.keys())
    if twice:
        raise ValueError(f"{', '.join(twice)}: given as an option and with --param")
    arguments = checked_arguments(inputs, fixed | given | parameters)
    check_interval_end(arguments.get("data_interval_end", ""))
    if "config" not in parameters:
        config = given.get("config", "demo")
        description = load_description(config)
        if "events" in inputs and "reference" not in inputs:  # what is monitored needs no raw orders
            need_events(description, config, arguments.get("events"))
        need_events(description, config, arguments.get("events"))
        if description.tracking is not None:
            click.echo(ON_THIS_MACHINE, err=True)
        if "config" in given:  # as text, so that the run uses what was checked here
            arguments["config"] = description.model_dump_json(exclude_unset=True)
    return arguments


def tell_registries(registry: str) -> None:
    """Bring the registries that follow the champion in line; the pointer stays where one cannot be."""
    from launcher.errors import LauncherError
    from launcher.registration.follow import bring_in_line

    try:
        for line in bring_in_line(Path(registry)):
            click.echo(line)
    except (LauncherError, ValueError, OSError) as error:
        click.echo(f"Not registered everywhere: {error}", err=True)
