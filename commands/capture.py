"""`tsa capture`: run a legacy model once and keep what it gave."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.errors import NOT_PROVEN, clear_errors
from commands.group import Command
from commands.options import STORE, Existing
from tsa_model.outputs import check_output_folder

if TYPE_CHECKING:
    from tsa_model.settings.model import ModelConfig


@click.command(cls=Command)
@click.option(
    "--legacy",
    required=True,
    metavar="MODULE:FACTORY",
    help="The factory takes nothing and returns the legacy model.",
)
@click.option(
    "--config",
    required=True,
    type=Existing(),
    help="The model's TSA configuration (ModelConfig), YAML or JSON.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Baseline folder to write.",
)
@click.option("--weights", type=Existing(), help="Safetensors file. Default: the model's own state_dict().")
@click.option(
    "--store",
    type=STORE,
    help="Sequence store to take real orders from. Default: generated rows.",
)
@click.option("--rows", type=int, default=64, show_default=True, help="Rows besides the edge cases.")
@click.option(
    "--policy",
    default="random",
    show_default=True,
    type=click.Choice(("random", "all", "none", "deterministic")),
    help="What the legacy's mixture of experts does with second experts in evaluation.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Given to torch.manual_seed before each run."
)
@click.option("--name", default="captured", show_default=True, help="Name of the baseline.")
def command(
    legacy: str,
    config: Path,
    out: Path,
    weights: Path | None,
    store: Path | None,
    rows: int,
    policy: str,
    seed: int,
    name: str,
) -> None:
    """Run a legacy model once and keep its outputs as a baseline.

    The gate takes the baseline with `check --baseline`. This command also compares it with the project's own
    computation of the same configuration.

    \b
    Examples:
      tsa capture --legacy my_package.models:load --config model.yaml --out baseline
      tsa capture --legacy my_package.models:load --config model.yaml --out baseline \\
          --store runs/latest/stages/build-sequences/store --rows 256

    Exit status: 0 when this project reproduces the legacy model, 1 when not.
    """
    with clear_errors(NOT_PROVEN):
        check_output_folder(out, {"--config": config, "--weights": weights, "--store": store}, "--out")
        model_config = _model_config(config)
        from tsa_model.equivalence.checks.legacy import check_baselines
        from tsa_model.equivalence.evidence.captured import rows_to_capture
        from tsa_model.legacy.capture import capture, load_callable

        tensors = None
        if weights:
            from safetensors.torch import load_file

            tensors = load_file(weights)
        batch = rows_to_capture(model_config, store, rows, seed)
        names = capture(load_callable(legacy), model_config, batch, out, tensors, policy, seed, name)
        click.echo(f"captured {', '.join(names)} in {out}")
        result = check_baselines([str(out)])
    word = "reproduces it" if result.passed else "does NOT reproduce it"
    click.echo(f"this project's code {word}: {result.reason}")
    if not result.passed:
        raise SystemExit(1)


def _model_config(path: Path) -> ModelConfig:
    """The configuration in a file, or in the `config` section of one.

    Raises:
        ValueError: the file is no YAML, or a setting is unknown or refused.
    """
    from pydantic import ValidationError

    from tsa_model.settings import in_words
    from tsa_model.settings.descriptions import read_description
    from tsa_model.settings.model import ModelConfig

    content: dict[str, Any] = read_description(path)
    try:
        return ModelConfig.model_validate(content.get("config", content))
    except ValidationError as error:
        raise ValueError(f"{path}: {in_words(error, ModelConfig)}") from None
