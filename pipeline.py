"""The TSA pipeline: the stages from raw orders to score files, and the command line that starts them."""

import sys
from pathlib import Path
from typing import Any, get_args

import click
from kfp import dsl
from kfp.dsl.base_component import BaseComponent
from rich.console import Console

from components import (
    build_sequences,
    check_equivalence,
    compare_champion,
    export_onnx,
    generate_scores,
    train_model,
    validate_events,
)
from launcher.compilation import compiled_documents, read_documents, write_documents
from launcher.kubeflow.options import clear_errors, load_description, need_events, run_options
from launcher.kubeflow.schedule import schedule
from launcher.kubeflow.submit import submit
from launcher.local.display import PLAIN_WIDTH
from launcher.local.run import StageError, results_table, run_locally
from launcher.stages import ClusterSettings, Target, left_out, set_up

COMPILED = Path(__file__).with_name("pipeline.yaml")


def define(settings: ClusterSettings | None = None, target: Target = "kubeflow") -> BaseComponent:
    """The pipeline, set up for a cluster; without `settings` as it runs on this machine.

    Args:
        settings: what each stage gets.
        target: where the pipeline will run.
    """

    @dsl.pipeline(
        name="tsa-pipeline",
        description="Retrain the Temporal Self-Attention fraud model: raw orders in, proven scores out.",
        pipeline_root=settings.pipeline_root if settings else None,
    )
    def tsa_pipeline(  # type: ignore[no-untyped-def]
        events: str = "",
        config: str = "demo",
        seed: int = -1,
        max_epochs: int = 0,
        data_interval_end: str = "",
        champion: str = "",
        promote: bool = False,
    ):
        """From raw orders to score files.

        Args:
            events: file or folder with the raw orders; empty = the orders the run description simulates.
            config: run description: a shipped name, a path inside the image, or the YAML text itself.
            seed: random seed of the training; -1 = as in the run description.
            max_epochs: upper limit of training epochs; 0 = as in the run description.
            data_interval_end: moment at which the data end (UTC), which moves the split; empty = the dates
                of the run description.
            champion: folder with the champion's pointer file; empty = there is none to compare with.
            promote: put the new model in use when every check passed and it is not worse.
        """
        validate = validate_events(events=events, config=config, data_interval_end=data_interval_end)
        dated = validate.outputs["Output"]  # the run description, with the dates of this run
        build = build_sequences(events=validate.outputs["validated"], config=dated)
        store = build.outputs["store"]
        train = train_model(store=store, config=dated, seed=seed, max_epochs=max_epochs)
        model = train.outputs["model"]
        gate = check_equivalence(store=store, model=model, config=dated)
        export = export_onnx(store=store, model=model, verdict=gate.outputs["verdict"], config=dated)
        score = generate_scores(store=store, onnx=export.outputs["onnx"], config=dated)
        compare = compare_champion(
            events=validate.outputs["validated"],
            scores=score.outputs["scores"],
            verdict=gate.outputs["verdict"],
            events_contract=validate.outputs["result"],
            sequences_contract=build.outputs["result"],
            scores_contract=score.outputs["contract_result"],
            config=dated,
            champion=champion,
            promote=promote,
        )

        tasks = {
            "validate_events": validate,
            "build_sequences": build,
            "train_model": train,
            "check_equivalence": gate,
            "export_onnx": export,
            "generate_scores": score,
            "compare_champion": compare,
        }
        set_up(tasks, settings, target)

    return tsa_pipeline


tsa_pipeline = define(ClusterSettings.load())


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.pass_context
def main(context: click.Context) -> None:
    """Retrain the Temporal Self-Attention (TSA) fraud model: raw orders in, proven scores out.

    \b
    Seven stages, each checked before the next begins:
      validate_events    refuse orders that break the contract
      build_sequences    one history per order, for the customer and the card
      train_model        train, stop early, keep the best epoch
      check_equivalence  the gate: the network must compute what the reference computes
      export_onnx        ONNX, compared with the network on real orders
      generate_scores    every order of the test period, scored once
      compare_champion   the new model against the one in use; promoted only with --promote

    \b
    Examples:
      python pipeline.py run                          the demo, on simulated orders
      python pipeline.py run --events orders.parquet --config my_run.yaml
      python pipeline.py compile                      write pipeline.yaml for a cluster
      python pipeline.py submit --wait                run it on Kubeflow
      python pipeline.py schedule --cron "0 2 * * 1"  and again every Monday
    """
    context.obj = define


@main.command()
@run_options
@click.option(
    "--runs",
    default="runs",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that gets a new folder for this run.",
)
def run(events: str | None, config: str | None, runs: Path, **numbers: int | str | None) -> None:
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
    description = load_description(config or "demo")
    need_events(description, config or "demo", events)
    arguments: dict[str, Any] = {name: value for name, value in numbers.items() if value is not None}
    arguments["config"] = description.model_dump_json(exclude_unset=True)
    if arguments.get("champion"):
        arguments["champion"] = str(Path(arguments["champion"]).absolute())
    if events:
        arguments["events"] = events if "://" in events else str(Path(events).absolute())
    try:
        results = run_locally(
            compiled_documents(define()), arguments, description.dataset.name, runs, console
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
@click.option(
    "--target",
    default="kubeflow",
    show_default=True,
    type=click.Choice(get_args(Target)),
    help="Kubeflow Pipelines, or Vertex AI Pipelines: one document, accelerators by Google's names.",
)
@click.option(
    "--stages",
    multiple=True,
    type=click.Path(path_type=Path),
    help="File with what differs from launcher/stages.yaml: image, resources, retries, volumes.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit with status 1 when the file is not current.")
def compile_command(
    output: Path, image: str | None, target: Target, stages: tuple[Path, ...], check: bool
) -> None:
    """Write the pipeline as YAML, the form a cluster takes.

    \b
    Examples:
      python pipeline.py compile
      python pipeline.py compile --image registry.example/tsa-python@sha256:... --output cluster.yaml
      python pipeline.py compile --target vertex --stages our_cluster.yaml --output vertex.yaml
    """
    with clear_errors():
        settings = ClusterSettings.load(*stages)
        documents = compiled_documents(define(settings, target), image)
    if check:
        if not output.exists() or read_documents(output) != documents:
            raise click.ClickException(f"{output} is not current: run 'python pipeline.py compile'")
        return
    write_documents(documents, output)
    click.echo(f"Wrote {output}")
    if missing := left_out(settings, target):
        click.echo(f"Left out, because {target} has no place for them: {', '.join(missing)}", err=True)


main.add_command(submit)
main.add_command(schedule)


if __name__ == "__main__":
    main()
