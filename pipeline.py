"""The TSA pipeline: the stages from raw orders to score files, and the command line that starts them."""

import sys
from pathlib import Path

import click
from kfp import dsl
from rich.console import Console

from components import (
    build_sequences,
    check_equivalence,
    export_onnx,
    generate_scores,
    train_model,
    validate_events,
)
from launcher.compilation import compiled_documents, read_documents, write_documents
from launcher.local import StageError, results_table, run_locally
from tsa_model.run_config import RunConfig

COMPILED = Path(__file__).with_name("pipeline.yaml")
PLAIN_WIDTH = 160
"""Columns of the closing table where standard output is no terminal."""


@dsl.pipeline(
    name="tsa-pipeline",
    description="Retrain the Temporal Self-Attention fraud model: raw orders in, proven scores out.",
)
def tsa_pipeline(events: str = "", config: str = "demo", seed: int = -1, max_epochs: int = 0):  # type: ignore[no-untyped-def]
    """From raw orders to score files.

    Args:
        events: file or folder with the raw orders; empty = the orders the run description simulates.
        config: run description: a shipped name, a path inside the image, or the YAML text itself.
        seed: random seed of the training; -1 = as in the run description.
        max_epochs: upper limit of training epochs; 0 = as in the run description.
    """
    validate = validate_events(events=events, config=config)
    build = build_sequences(events=validate.outputs["validated"], config=config)
    store = build.outputs["store"]
    train = train_model(store=store, config=config, seed=seed, max_epochs=max_epochs)
    model = train.outputs["model"]
    gate = check_equivalence(store=store, model=model, config=config)
    export = export_onnx(store=store, model=model, verdict=gate.outputs["verdict"], config=config)
    score = generate_scores(store=store, onnx=export.outputs["onnx"], config=config)

    # A cached stage is a check that did not run: Kubeflow's cache key knows neither our code nor the data.
    for stage in (validate, build, train, gate, export, score):
        stage.set_caching_options(False)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Retrain the Temporal Self-Attention (TSA) fraud model: raw orders in, proven scores out.

    \b
    Six stages, each checked before the next begins:
      validate_events    refuse orders that break the contract
      build_sequences    one history per order, for the customer and the card
      train_model        train, stop early, keep the best epoch
      check_equivalence  the gate: the network must compute what the reference computes
      export_onnx        ONNX, compared with the network on real orders
      generate_scores    every order of the test period, scored once

    \b
    Examples:
      python pipeline.py run                          the demo, on simulated orders
      python pipeline.py run --events orders.parquet --config my_run.yaml
      python pipeline.py compile                      write pipeline.yaml for a cluster
    """


@main.command()
@click.option(
    "--events",
    default="",
    metavar="PATH",
    help="File or folder with the raw orders. Left out: the orders that the run description simulates.",
)
@click.option(
    "--config",
    default="demo",
    show_default=True,
    metavar="NAME|FILE",
    help="Run description: the name of a shipped one (demo, handbook) or a YAML file.",
)
@click.option("--seed", default=-1, help="Random seed of the training. Left out: as in the run description.")
@click.option(
    "--max-epochs", default=0, help="Upper limit of training epochs. Left out: as in the run description."
)
@click.option(
    "--runs",
    default="runs",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that gets a new folder for this run.",
)
def run(events: str, config: str, seed: int, max_epochs: int, runs: Path) -> None:
    """Run all stages on this machine.

    Everything a run makes lies in its own folder below RUNS, `latest` points to the newest:
    `logs/` the full log of every stage, `stages/` their outputs.

    \b
    Examples:
      python pipeline.py run
      python pipeline.py run --max-epochs 2 --seed 3
      python pipeline.py run --events transactions.parquet --config handbook

    Exit status: 0 when every stage succeeded, 1 when one failed, 130 when interrupted.
    """
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    description = _load(config)
    if not events and description.simulation is None:
        raise click.UsageError(f"run description {config!r} simulates no orders: give the file with --events")
    arguments = {
        "events": events if not events or "://" in events else str(Path(events).absolute()),
        "config": description.model_dump_json(exclude_unset=True),
        "seed": seed,
        "max_epochs": max_epochs,
    }
    try:
        results = run_locally(
            compiled_documents(tsa_pipeline), arguments, description.dataset.name, runs, console
        )
    except StageError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        click.echo("Interrupted: all stages were stopped.", err=True)
        raise SystemExit(130) from None
    console.print()
    console.print(results_table(results))


@main.command(name="compile")
@click.option(
    "--output",
    default=COMPILED,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write. Default: pipeline.yaml beside pipeline.py.",
)
@click.option("--image", default=None, metavar="REFERENCE", help="Image for every stage, best with a digest.")
@click.option("--check", is_flag=True, help="Write nothing; exit with status 1 when the file is not current.")
def compile_command(output: Path, image: str | None, check: bool) -> None:
    """Write the pipeline as YAML, the form a Kubeflow cluster takes.

    \b
    Examples:
      python pipeline.py compile
      python pipeline.py compile --image registry.example/tsa-python@sha256:... --output cluster.yaml
    """
    documents = compiled_documents(tsa_pipeline, image)
    if not check:
        write_documents(documents, output)
        click.echo(f"Wrote {output}")
    elif not output.exists() or read_documents(output) != documents:
        raise click.ClickException(f"{output} is not current: run 'python pipeline.py compile'")


def _load(config: str) -> RunConfig:
    try:
        return RunConfig.load(config)
    except (ValueError, OSError) as error:
        raise click.ClickException(f"run description {config!r}: {error}") from None


if __name__ == "__main__":
    main()
