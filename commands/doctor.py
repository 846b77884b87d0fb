"""`tsa doctor`: what a machine, a server and a namespace still lack."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.checks import load_description
from commands.errors import clear_errors
from commands.group import Command
from commands.options import connection_options, find_connection
from launcher.kubeflow.variables import FILE, FILE_VARIABLE, VARIABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from launcher.doctor.finding import Finding


@click.command(cls=Command)
@connection_options
@click.option(
    "--stages", type=click.Path(path_type=Path), multiple=True, help="Stage settings, as for submit."
)
@click.option("--image", metavar="REFERENCE", help="Image for every stage, as for submit.")
@click.option("--experiment", default="tsa-pipeline", show_default=True, help="Where the runs would appear.")
@click.option("--config", default="demo", show_default=True, help="Run description, as for submit.")
@click.option(
    "--kubeconfig",
    metavar="FILE",
    envvar="KUBECONFIG",
    help="Look at the namespace itself too: claims, secrets, accounts, training runtimes. [KUBECONFIG]",
)
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder of local runs.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON list of findings instead of the table.")
def command(as_json: bool, runs: Path, **options: Any) -> None:
    """Say what this machine, and a Kubeflow server if one is named, lack for a run.

    Nothing is made or changed anywhere. Without a host only this machine is looked at. With a kubeconfig the
    namespace's volume claims, secrets and training runtime are looked for too.

    \b
    Examples:
      tsa doctor
      tsa doctor --host https://kubeflow.example/pipeline --namespace fraud --token-file token.txt \\
          --stages our_cluster.yaml --image registry.example/tsa-python@sha256:...

    Exit status: 0 when nothing is missing, 1 otherwise. Notes do not count.
    """
    with clear_errors():
        from launcher.doctor.finding import findings_table

        findings = list(_findings(runs, options))
    missing = [one for one in findings if one.state == "missing"]
    if as_json:
        click.echo(json.dumps([one.model_dump() for one in findings], indent=1))
    else:
        from launcher.local.display import make_console

        make_console().print(findings_table(findings))
        click.echo(f"{len(missing)} missing" if missing else "Nothing is missing.")
    raise SystemExit(1 if missing else 0)


def _findings(runs: Path, options: dict[str, Any]) -> Iterator[Finding]:
    from launcher.doctor.finding import looked, missing
    from launcher.doctor.machine import check_machine

    yield from check_machine(runs)
    if not _names_a_server(options):
        return
    try:
        connection = find_connection(options)
    except ValueError as error:
        yield missing("connection", str(error), "docs/CONNECTION.md")
        return
    from launcher.doctor.server import check_server, check_settings
    from launcher.stages import ClusterSettings

    yield from check_server(connection, options["experiment"])
    try:
        settings = ClusterSettings.load(*options["stages"])
        run = load_description(options["config"])
    except (ValueError, OSError, click.ClickException) as error:
        yield missing("settings", getattr(error, "message", str(error)), "")
        return
    yield from looked("image", lambda: check_settings(settings, options["image"]))
    if options["kubeconfig"]:
        from launcher.doctor.namespace import Namespace

        def check() -> Iterator[Finding]:
            namespace = Namespace(options["kubeconfig"], connection.namespace or "kubeflow")
            return namespace.check(settings, run, connection.service_account)

        yield from looked("kubeconfig", check)


def _names_a_server(options: dict[str, Any]) -> bool:
    """Whether anything says where a server is."""
    given = [options["host"], options["connection"], os.environ.get(FILE_VARIABLE)]
    return any(given) or bool(os.environ.get(VARIABLES["host"])) or FILE.expanduser().exists()
