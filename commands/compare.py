"""`tsa compare`: the challenger against the champion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from commands.errors import clear_errors
from commands.group import Command
from commands.options import EXPORTED, Existing
from tsa_model.outputs import check_output_file, json_with


class _Setting(click.Option):
    """An option that replaces a promotion setting; the help shows the setting's own default."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The option's line of the help."""
        from tsa_model.settings.promotion import PromotionConfig

        record = super().get_help_record(ctx)
        default = PromotionConfig.model_fields[str(self.name)].default
        return record and (record[0], f"{record[1]}  [default: {default}]")


@click.command(cls=Command)
@click.option(
    "--challenger",
    required=True,
    type=EXPORTED,
    help="Its model folder (scores/model of a run).",
)
@click.option("--registry", metavar="DIR", help="Folder with the champion's pointer file.")
@click.option("--champion", type=EXPORTED, help="Its model folder, where there is no registry.")
@click.option("--events", required=True, type=Existing(remote=True), help="Raw orders with the histories.")
@click.option("--verdict", required=True, type=Existing(), help="The gate's verdict (JSON).")
@click.option(
    "--contract",
    "contracts",
    required=True,
    multiple=True,
    type=Existing(),
    help="A contract's result (JSON); four times: of raw events, sequences and scores, and of check-online.",
)
@click.option(
    "--output",
    default="comparison.json",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the comparison goes.",
)
@click.option(
    "--auc-margin", cls=_Setting, type=float, metavar="X", help="Area under the ROC curve that may be lost."
)
@click.option(
    "--average-precision-margin",
    cls=_Setting,
    type=float,
    metavar="X",
    help="Average precision that may be lost.",
)
@click.option(
    "--confidence", cls=_Setting, type=float, metavar="X", help="Of the bootstrap interval of the difference."
)
@click.option("--resamples", cls=_Setting, type=int, metavar="N", help="Bootstrap samples.")
@click.option("--seed", cls=_Setting, type=int, metavar="N", help="Random seed of the bootstrap.")
def command(
    challenger: Path,
    registry: str | None,
    champion: Path | None,
    events: str,
    verdict: Path,
    contracts: tuple[Path, ...],
    output: Path,
    **settings: Any,
) -> None:
    """Score challenger and champion on the same orders.

    Looks at the challenger's proofs too, and changes nothing. A registry without a champion is fine: then
    the challenger needs only its own proofs.

    \b
    Example, after a run of the pipeline:
      R=runs/latest/stages
      tsa compare --challenger $R/generate-scores/scores/model --registry champion \\
          --events $R/validate-events/validated/events.parquet --verdict $R/check-equivalence/verdict \\
          --contract $R/validate-events/result --contract $R/build-sequences/result \\
          --contract $R/generate-scores/contract_result --contract $R/check-online/result

    Exit status: 0 when the challenger may be promoted, 1 when not or when they cannot be compared.
    """
    if (registry is None) == (champion is None):
        raise click.UsageError("give either --registry or --champion")
    with clear_errors():
        inputs = {"--challenger": challenger, "--champion": champion, "--events": events}
        inputs |= {"--verdict": verdict, **{f"--contract {path}": path for path in contracts}}
        check_output_file(output, inputs, "--output", json_with("challenger", "checks"))
        from tsa_model.promotion import PromotionConfig, Registry

        limits = PromotionConfig().changed(
            **{name: value for name, value in settings.items() if value is not None}
        )
        opponent = champion or Registry(str(registry)).champion_dir()
        from tsa_model.promotion import compare_models

        comparison = compare_models(challenger, opponent, events, verdict, contracts, limits)
        comparison.save(output)
    for check in comparison.checks:
        click.echo(f"{'passed' if check.passed else 'FAILED'}  {check.name}: {check.reason}")
    outcome = "may" if comparison.passed else "must not"
    click.echo(f"the challenger {outcome} be promoted: {output}")
    if not comparison.passed:
        raise SystemExit(1)
