"""`tsa promote`: put the compared challenger in use; make a registry, and let others follow it."""

from __future__ import annotations

from pathlib import Path

import click

from commands.checks import tell_registries
from commands.errors import clear_errors
from commands.group import Group
from commands.options import EXPORTED, registry_option


@click.group(cls=Group, invoke_without_command=True)
@click.option("--registry", metavar="DIR", help="Folder with the champion's pointer file.")
@click.option("--challenger", type=EXPORTED, help="Its model folder.")
@click.option(
    "--comparison",
    default="comparison.json",
    show_default=True,
    metavar="FILE",
    help="What `compare` wrote.",
)
@click.pass_context
def command(context: click.Context, registry: str | None, challenger: Path | None, comparison: str) -> None:
    """Put the compared challenger in use.

    Refused unless the comparison passed, is about this folder, and the champion is still the same.

    \b
    Examples:
      tsa promote init --registry champion
      tsa promote --registry champion --challenger runs/latest/stages/generate-scores/scores/model
    """
    if context.invoked_subcommand is not None:
        return
    if registry is None or challenger is None:
        raise click.UsageError(f"Missing option '{'--registry' if registry is None else '--challenger'}'.")
    with clear_errors():
        from tsa_model.promotion import Comparison, Registry

        entry = Registry(registry).promote(challenger, Comparison.load(comparison))
    click.echo(f"{entry.id} is the champion; before: {entry.previous or 'none'}")
    tell_registries(registry)


@command.command()
@registry_option
def init(registry: str) -> None:
    """Make an empty registry, the place of the champion.

    Once, before the first promotion. A folder without the pointer file is never taken for an empty registry:
    a volume that is not mounted looks just so.

    \b
    Example:
      tsa promote init --registry champion
    """
    with clear_errors():
        from tsa_model.promotion.registry import Registry

        Registry(registry).init()
    click.echo(f"{registry} is a registry now; it has no champion yet")


@command.command()
@registry_option
@click.option("--model-registry", default="", metavar="ADDRESS", help="Kubeflow's Model Registry.")
@click.option("--mlflow", default="", metavar="ADDRESS|DIR", help="MLflow server, or an absolute folder.")
@click.option("--name", default="tsa-fraud", show_default=True, help="Name of the model in both.")
@click.option(
    "--location",
    required=True,
    metavar="URI",
    help="Where those who serve find this registry's folder, such as s3://bucket/champion.",
)
def connect(registry: str, **places: str) -> None:
    """Let other registries follow the champion: Kubeflow's Model Registry, MLflow's.

    From then on `promote`, `rollback` and `run --promote` bring them in line; for promotions by a pipeline on
    a cluster `sync` does. No log-in is kept: MODEL_REGISTRY_TOKEN_FILE or MODEL_REGISTRY_TOKEN, and
    MLFLOW_TRACKING_TOKEN are read from the environment.

    \b
    Example:
      tsa promote connect --registry /champion --location s3://bucket/champion \\
          --model-registry http://model-registry-service.kubeflow.svc.cluster.local:8080
    """
    with clear_errors():
        from launcher.registration.follow import bring_in_line, connect, read_places

        connect(Path(registry), read_places(places))
        for line in bring_in_line(Path(registry)):
            click.echo(line)


@command.command()
@registry_option
def sync(registry: str) -> None:
    """Bring the connected registries in line with the champion's pointer.

    Needed after an outage, and after promotions by a pipeline on a cluster; where nothing is to be done,
    nothing is changed. A model whose chain of proof is broken is not registered.

    \b
    Example:
      tsa promote sync --registry /champion
    """
    with clear_errors():
        from launcher.registration.follow import bring_in_line, places_of

        if places_of(Path(registry)) is None:
            raise ValueError(f"no registry follows {registry}: tsa promote connect --help")
        for line in bring_in_line(Path(registry)):
            click.echo(line)
