"""`tsa audit`: the chain of proof of a finished run or a model folder, walked again."""

from __future__ import annotations

import json
from pathlib import Path

import click

from commands.errors import clear_errors
from commands.group import Command
from commands.options import EXPORTED, Existing
from tsa_model.outputs import check_output_file, is_page


@click.command(cls=Command)
@click.option("--run", type=Existing(), metavar="RUN", help="Folder of a finished run.")
@click.option("--model", type=EXPORTED, metavar="DIR", help="Model folder.")
@click.option("--registry", type=Existing(), metavar="DIR", help="Folder with the champion's pointer file.")
@click.option("--decisions", type=Existing(), metavar="DIR", help="Decision log of tsa serve, with --events.")
@click.option("--events", type=Existing(), metavar="PATH", help="Raw orders of the log's time and before.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
@click.option("--page", type=click.Path(dir_okay=False, path_type=Path), help="HTML page to write besides.")
def command(
    run: Path | None,
    model: Path | None,
    registry: Path | None,
    decisions: Path | None,
    events: Path | None,
    as_json: bool,
    page: Path | None,
) -> None:
    """Walk the chain of proof from the events to the scores.

    Computes every digest again from the files, and checks that each link states those before it: events,
    store, model, verdict, ONNX, calibrators, scores, comparison, and the champion's registry where there is
    one. Needs no network and changes nothing. With TSA_SIGNING_KEY set, signatures are checked too.

    \b
    Examples:
      tsa audit --run runs/latest
      tsa audit --run runs/latest --json
      tsa audit --model champion/models/0123456789abcdef
      tsa audit --decisions decisions --model champion/models/0123456789abcdef --events orders.parquet

    With --decisions every logged answer is computed again from the events, and each difference is named: an
    order arrived late, a label came in between, skew. Only skew fails.

    Exit status: 0 when the chain is whole, 1 at the first break.
    """
    if (run is None) == (model is None):
        raise click.UsageError("give either --run or --model")
    if decisions is not None or events is not None:
        _audit_decisions(decisions, model, events, as_json)
        return
    with clear_errors():
        if page is not None:
            check_output_file(page, {"--model": model, "--registry": registry}, "--page", is_page)
        from tsa_model.audit import audit_model, audit_run

        audit = audit_run(run, registry) if run is not None else audit_model(str(model), registry)
        if page is not None:
            from tsa_model.audit.page import write_page

            write_page(audit, page)
    if as_json:
        click.echo(json.dumps(audit.model_dump(mode="json"), indent=2))
    else:
        for line in audit.lines():
            click.echo(line)
        outcome = "the chain is whole" if audit.passed else "the chain is broken"
        click.echo(f"{outcome}: {audit.subject}; {audit.signed}")
    if not audit.passed:
        raise SystemExit(1)


def _audit_decisions(decisions: Path | None, model: Path | None, events: Path | None, as_json: bool) -> None:
    """Compute logged answers again, and print the differences."""
    if decisions is None or model is None or events is None:
        raise click.UsageError("--decisions wants --model and --events, and --events wants --decisions")
    with clear_errors():
        from tempfile import gettempdir

        from tsa_model.audit.decisions import audit_decisions

        found = audit_decisions(decisions, model, events, Path(gettempdir()) / "tsa-decisions")
    if as_json:
        click.echo(json.dumps(found.model_dump(mode="json"), indent=2))
    else:
        for line in found.lines():
            click.echo(line)
        others = f", {found.other_models:,} of other models were left out" if found.other_models else ""
        click.echo(f"{found.same:,} of {found.decisions:,} answers are the batch's{others}: {decisions}")
    if not found.passed:
        raise SystemExit(1)


def audit_finished(stages: Path) -> str:
    """Audit a run that has just ended, and write the page that the model report links to.

    Args:
        stages: folder with one folder per stage.

    Returns:
        The outcome in a line.

    Raises:
        click.ClickException: the chain is broken.
    """
    with clear_errors():
        from tsa_model.audit import audit_run
        from tsa_model.audit.page import write_page
        from tsa_model.pages.names import AUDIT

        audit = audit_run(stages.parent)
        write_page(audit, stages / AUDIT)
    if not audit.passed:
        raise click.ClickException(f"the chain of proof is broken: {audit.links[-1].finding}")
    return f"The chain of proof is whole, {audit.signed}: {stages / AUDIT}"
