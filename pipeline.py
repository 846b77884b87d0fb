"""The TSA pipeline: the stages from raw orders to score files, and the command line that starts them.

Commands that only print help or refuse an argument must be quick, so kfp is imported where the pipeline is
defined, and `tsa_pipeline`, the defined pipeline, is made when it is first asked for.
"""

import functools
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.group import Commands
from launcher.definition import Definition
from launcher.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from kfp.dsl.base_component import BaseComponent
    from kfp.dsl.pipeline_task import PipelineTask

    from launcher.stages import ClusterSettings

COMPILED = Path(__file__).with_name("pipeline.yaml")
MONITORING_COMPILED = Path(__file__).with_name("monitoring.yaml")


def stages(
    events: str = "",
    config: str = "demo",
    seed: int = -1,
    max_epochs: int = 0,
    data_interval_end: str = "",
    champion: str = "",
    promote: bool = False,
) -> "dict[str, PipelineTask]":
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

    Returns:
        Stage → its task.
    """
    from components import (
        build_sequences,
        check_equivalence,
        check_online,
        compare_champion,
        export_onnx,
        generate_scores,
        train_model,
        validate_events,
    )

    validate = validate_events(
        events=events, config=config, data_interval_end=data_interval_end, champion=champion
    )
    dated = validate.outputs["Output"]  # the run description, with the dates of this run
    build = build_sequences(events=validate.outputs["validated"], config=dated)
    store = build.outputs["store"]
    train = train_model(store=store, config=dated, seed=seed, max_epochs=max_epochs)
    model = train.outputs["model"]
    gate = check_equivalence(store=store, model=model, config=dated)
    export = export_onnx(store=store, model=model, verdict=gate.outputs["verdict"], config=dated)
    score = generate_scores(
        store=store, onnx=export.outputs["onnx"], events=validate.outputs["validated"], config=dated
    )
    online = check_online(
        events=validate.outputs["validated"], store=store, scores=score.outputs["scores"], config=dated
    )
    compare = compare_champion(
        events=validate.outputs["validated"],
        scores=score.outputs["scores"],
        verdict=gate.outputs["verdict"],
        events_contract=validate.outputs["result"],
        sequences_contract=build.outputs["result"],
        scores_contract=score.outputs["contract_result"],
        online=online.outputs["result"],
        config=dated,
        champion=champion,
        promote=promote,
    )
    return {
        "validate_events": validate,
        "build_sequences": build,
        "train_model": train,
        "check_equivalence": gate,
        "export_onnx": export,
        "generate_scores": score,
        "check_online": online,
        "compare_champion": compare,
    }


def monitoring_stages(
    reference: str,
    scores: str,
    events: str = "",
    history: str = "",
    labels: str = "",
    config: str = "demo",
    data_interval_end: str = "",
) -> "dict[str, PipelineTask]":
    """From scored orders and the labels that came to what the scores are worth.

    Args:
        reference: the scores folder of the run that made the model.
        scores: score folders, Parquet files with scores or decision logs, with commas between them.
        events: raw orders of these days; empty = no columns, histories, amounts and late orders.
        history: the orders before them; empty = they are among the events.
        labels: a file with order ids and labels; empty = those of scores and events alone.
        config: run description: a shipped name, a path inside the image, or the YAML text itself.
        data_interval_end: moment of knowledge (UTC); empty = the newest order's time.

    Returns:
        Stage → its task.
    """
    from components import monitor_scores

    monitor = monitor_scores(
        reference=reference,
        scores=scores,
        events=events,
        history=history,
        labels=labels,
        config=config,
        data_interval_end=data_interval_end,
    )
    return {"monitor_scores": monitor}


def define(settings: "ClusterSettings | None" = None, target: Target = "kubeflow") -> "BaseComponent":
    """The pipeline, set up for a cluster; without `settings` as it runs on this machine.

    Args:
        settings: what each stage gets.
        target: where the pipeline will run.
    """
    words = "Retrain the Temporal Self-Attention fraud model: raw orders in, proven scores out."
    return _define(stages, "tsa-pipeline", words, settings, target)


def define_monitoring(
    settings: "ClusterSettings | None" = None, target: Target = "kubeflow"
) -> "BaseComponent":
    """The same for monitoring."""
    words = "What the scores of production are worth every day, and whether something must be done."
    return _define(monitoring_stages, "tsa-monitoring", words, settings, target)


def _define(
    stages: "Callable[..., dict[str, PipelineTask]]",
    name: str,
    description: str,
    settings: "ClusterSettings | None",
    target: Target,
) -> "BaseComponent":
    from kfp import dsl

    from launcher.tasks import set_up

    @functools.wraps(stages)
    def tsa_pipeline(*inputs: Any) -> None:
        set_up(stages(*inputs), settings, target)

    # kfp reads the inputs from the signature, and would take what `stages` returns for an output.
    signature = inspect.signature(stages).replace(return_annotation=inspect.Signature.empty)
    tsa_pipeline.__signature__ = signature  # type: ignore[attr-defined]
    return dsl.pipeline(
        name=name,
        description=description,
        pipeline_root=settings.pipeline_root if settings else None,
    )(tsa_pipeline)


@functools.cache
def __getattr__(name: str) -> "BaseComponent":
    """`tsa_pipeline`: the pipeline as the shipped settings define it, for `kfp dsl compile` and importers.

    `tsa_monitoring` is the other one; `dir` names the first alone, as `kfp dsl compile` wants it.
    """
    defined = {"tsa_pipeline": define, "tsa_monitoring": define_monitoring}
    if name not in defined:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from launcher.stages import ClusterSettings

    return defined[name](ClusterSettings.load())


def __dir__() -> list[str]:
    return [*globals(), "tsa_pipeline"]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.pass_context
def main(context: click.Context) -> None:
    """Retrain the Temporal Self-Attention (TSA) fraud model: raw orders in, proven scores out.

    \b
    Eight stages, each checked before the next begins:
      validate_events    refuse orders that break the contract
      build_sequences    one history per order, for the customer and the card
      train_model        train, stop early, keep the best epoch
      check_equivalence  the gate: the network must compute what the reference computes
      export_onnx        ONNX, compared with the network on real orders
      generate_scores    every order of the test period, scored once
      check_online       an order by itself must get the score that the batch gave it
      compare_champion   the new model against the one in use; promoted only with --promote

    \b
    Examples:
      tsa run                          the demo, on simulated orders
      tsa run --events orders.parquet --config my_run.yaml
      tsa compile                      write pipeline.yaml for a cluster
      tsa submit --wait                run it on Kubeflow
      tsa schedule --cron "0 2 * * 1"  and again every Monday

    The --help of every command has examples.
    """
    context.obj = Definition(
        stages,
        define,
        COMPILED,
        {"monitoring": Definition(monitoring_stages, define_monitoring, MONITORING_COMPILED)},
    )


if __name__ == "__main__":
    main()
