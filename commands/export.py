"""`tsa export`: a model that passed the gate as ONNX."""

from __future__ import annotations

from pathlib import Path

import click

from commands.checks import load_description
from commands.errors import clear_errors
from commands.group import Command
from commands.options import MODEL, STORE, Existing
from tsa_model.outputs import check_output_folder


@click.command(cls=Command)
@click.option("--store", required=True, type=STORE, help="Folder of the sequence store.")
@click.option("--model", required=True, type=MODEL, help="Model folder.")
@click.option(
    "--verdict", required=True, type=Existing(), help="The gate's verdict on exactly this model (JSON)."
)
@click.option(
    "--config",
    default="demo",
    show_default=True,
    metavar="NAME|FILE",
    help="Run description: a shipped name or a file.",
)
@click.option(
    "--output",
    default="onnx",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write.",
)
def command(store: Path, model: Path, verdict: Path, config: str, output: Path) -> None:
    """Write a model that passed the gate as ONNX.

    Refused when the verdict is negative or about other weights, and when ONNX Runtime's logits differ from
    the network's on real orders of the store.

    \b
    Example, after a run of the pipeline:
      tsa export --store runs/latest/stages/build-sequences/store \\
          --model runs/latest/stages/train-model/model --verdict runs/latest/stages/check-equivalence/verdict
    """
    description = load_description(config)
    with clear_errors():
        check_output_folder(output, {"--store": store, "--model": model, "--verdict": verdict}, "--output")
        from tsa_model.export.stage import export_onnx

        found = export_onnx(store, model, verdict, description, output)
    click.echo(f"{found['key_figure']}: {output}")
