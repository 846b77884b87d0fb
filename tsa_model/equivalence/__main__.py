"""The gate alone: `python -m tsa_model.equivalence --help`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tsa_model.batch import Batch
from tsa_model.equivalence.results import Verdict
from tsa_model.legacy.errors import EquivalenceError
from tsa_model.settings.model import ModelConfig

DESCRIPTION = "Prove that a TSA model, as it will be exported, computes what the reference computes."
EXAMPLES = """
examples, the first after a run of the pipeline:
  python -m tsa_model.equivalence check --store runs/latest/stages/build-sequences/store \\
      --model runs/latest/stages/train-model/model
  python -m tsa_model.equivalence capture --legacy my_package.models:load --config model.yaml --out baseline
  python -m tsa_model.equivalence schema
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a command of the gate; 0 = proven, 1 = failed or impossible."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except (ValueError, OSError) as error:
        print(f"NOT PROVEN EQUIVALENT: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tsa_model.equivalence",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    check = commands.add_parser("check", help="judge a model folder on real orders of a sequence store")
    check.set_defaults(command=_check)
    check.add_argument("--store", required=True, help="folder of the sequence store")
    check.add_argument("--model", required=True, help="model folder")
    check.add_argument("--config", default="demo", help="run description: a shipped name or a file")
    check.add_argument("--baseline", action="append", default=[], help="captured baseline folder; repeatable")
    check.add_argument("--verdict", default="verdict.json", help="where the JSON verdict goes")
    check.add_argument("--report", default="verdict.html", help="where the HTML page goes")

    capture = commands.add_parser(
        "capture", help="run a legacy model once and keep what it gave, as a baseline"
    )
    capture.set_defaults(command=_capture)
    capture.add_argument(
        "--legacy",
        required=True,
        help="module:factory; the factory takes nothing and returns the legacy model",
    )
    capture.add_argument(
        "--config", required=True, help="the model's TSA configuration (ModelConfig), YAML or JSON"
    )
    capture.add_argument("--out", required=True, help="baseline folder to write")
    capture.add_argument("--weights", help="safetensors file; default: the model's state_dict()")
    capture.add_argument("--store", help="sequence store to take real orders from; default: generated rows")
    capture.add_argument("--rows", type=int, default=64, help="rows besides the edge cases")
    capture.add_argument(
        "--policy",
        default="random",
        choices=("random", "all", "none", "deterministic"),
        help="what the legacy's mixture of experts does with second experts in evaluation",
    )
    capture.add_argument("--seed", type=int, default=0, help="given to torch.manual_seed before each run")
    capture.add_argument("--name", default="captured", help="of the baseline")

    schema = commands.add_parser("schema", help="print the JSON schema of the verdict file")
    schema.set_defaults(command=lambda _: print(json.dumps(Verdict.model_json_schema(), indent=2)) or 0)
    return parser


def _check(options: argparse.Namespace) -> int:
    from tsa_model.equivalence.gate import check_equivalence
    from tsa_model.settings.run import RunConfig

    run = RunConfig.load(options.config)
    gate = run.equivalence.changed(baselines=(*run.equivalence.baselines, *map(str, options.baseline)))
    run = run.changed(equivalence=gate)
    found = check_equivalence(options.store, options.model, run, options.verdict, options.report)
    print(f"EQUIVALENT. {found['key_figure']}. Verdict: {options.verdict}, page: {options.report}")
    return 0


def _capture(options: argparse.Namespace) -> int:
    from tsa_model.equivalence.checks.legacy import check_baselines
    from tsa_model.legacy.capture import capture, load_callable

    config = _model_config(options.config)
    weights = None
    if options.weights:
        from safetensors.torch import load_file

        weights = load_file(options.weights)
    captured = capture(
        load_callable(options.legacy),
        config,
        _rows(config, options),
        options.out,
        weights,
        options.policy,
        options.seed,
        options.name,
    )
    print(f"captured {', '.join(captured)} in {options.out}")
    result = check_baselines([options.out])
    word = "reproduces it" if result.passed else "does NOT reproduce it"
    print(f"this project's code {word}: {result.reason}")
    return 0 if result.passed else 1


def _model_config(path: str) -> ModelConfig:
    import yaml

    content: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise EquivalenceError(f"{path} is not a mapping of settings but {type(content).__name__}")
    return ModelConfig.model_validate(content.get("config", content))


def _rows(config: ModelConfig, options: argparse.Namespace) -> Batch:
    """Real or generated rows, and the edge cases."""
    from tsa_model.equivalence.evidence.generated import ragged_rows
    from tsa_model.equivalence.evidence.sample import make_sample, sample_store

    if options.store:
        from tsa_model.sequences import SequenceStore

        return sample_store(SequenceStore.open(options.store), config, options.rows).batch
    rows = ragged_rows(config, options.rows, options.seed)
    names = [f"generated {i}" for i in range(options.rows)]
    return make_sample(rows, names, config, n_real=options.rows).batch


if __name__ == "__main__":
    sys.exit(main())
