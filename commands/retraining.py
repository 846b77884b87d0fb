"""What `tsa monitor --retrain` does with an alarm: one run on the cluster, or the reason why none."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.options import find_connection
from commands.submit import prepare
from launcher.definition import Definition

if TYPE_CHECKING:
    from tsa_model.settings.run import RunConfig

LEDGER = "retraining.json"


def retrain(
    pipeline: Definition,
    run: RunConfig,
    document: Path,
    page: str,
    ledger_path: Path,
    options: dict[str, Any],
) -> None:
    """Start a run for the document's alarms, unless one was started before or it is too early.

    Args:
        pipeline: the one that makes a model.
        run: the run description of the new run.
        document: what monitoring found.
        page: address or absolute path of its page.
        ledger_path: the list of runs that alarms started.
        options: values of `run_options`, `pipeline_options` and `connection_options`.

    Raises:
        ValueError: arguments do not fit.
        LauncherError: the server refuses, or does not answer.
    """
    from tsa_model.monitoring import trigger
    from tsa_model.monitoring.documents import Monitoring

    found, now = Monitoring.load(document), datetime.now(UTC)
    with trigger.open_ledger(ledger_path) as before:
        alarm, reason, ledger = trigger.decide(found, before, run.monitoring.retrain, now)
        click.echo(f"Retraining: {reason}")
        if alarm is not None:
            name = trigger.run_name(alarm)
            asked = run.changed(alarm=trigger.asked_for(found, alarm, page))
            options["config"] = asked.model_dump_json(exclude_unset=True)
            end = trigger.window_end(found).isoformat()
            link = _started(pipeline, name, options, data_interval_end=end)
            ledger = trigger.with_run(ledger, found, alarm, link, now)
            click.echo(f"Run {name}: {link}")
        trigger.save_ledger(ledger_path, ledger)


def _started(pipeline: Definition, name: str, options: dict[str, Any], **fixed: str) -> str:
    """The link of the run of that name, which is started where the server has none."""
    connection = find_connection(options)
    submission = prepare(pipeline, options, **fixed)
    from launcher.kubeflow.server import PipelinesServer
    from launcher.kubeflow.submit import submit

    server = PipelinesServer(connection)
    server.check_access()
    there = server.runs_named(name, server.experiment(options["experiment"]))
    if there:
        return connection.run_link(there[0]["run_id"])
    return connection.run_link(submit(server, submission, options["experiment"], name).run["run_id"])
