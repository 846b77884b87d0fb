"""Champion and challenger from the command line: `python -m tsa_model.promote --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tsa_model.promotion import Comparison, PromotionConfig, Registry, compare_models

DESCRIPTION = """
The model in use (the champion) and the one that may replace it (the challenger).

  compare    score both on the same orders and look at the challenger's proofs; changes nothing
  promote    put the compared challenger in use
  rollback   go back to the champion before
  history    every change so far
"""
COMPARE_EXAMPLE = """
example, after a run of the pipeline:
  R=runs/latest/stages
  python -m tsa_model.promote compare --challenger $R/generate-scores/scores/model --registry champion \\
      --events $R/validate-events/validated/events.parquet --verdict $R/check-equivalence/verdict \\
      --contract $R/validate-events/result --contract $R/build-sequences/result \\
      --contract $R/generate-scores/contract_result
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _compare(options: argparse.Namespace) -> int:
    settings = {
        name: value
        for name in PromotionConfig.model_fields
        if (value := getattr(options, name, None)) is not None
    }
    comparison = compare_models(
        options.challenger,
        options.champion or Registry(options.registry).champion_dir(),
        options.events,
        options.verdict,
        options.contract,
        PromotionConfig.model_validate(settings),
    )
    comparison.save(options.output)
    for check in comparison.checks:
        print(f"{'passed' if check.passed else 'FAILED'}  {check.name}: {check.reason}")
    outcome = "may" if comparison.passed else "must not"
    print(f"the challenger {outcome} be promoted: {options.output}")
    return 0 if comparison.passed else 1


def _promote(options: argparse.Namespace) -> int:
    entry = Registry(options.registry).promote(options.challenger, Comparison.load(options.comparison))
    print(f"{entry.id} is the champion; before: {entry.previous or 'none'}")
    return 0


def _rollback(options: argparse.Namespace) -> int:
    entry = Registry(options.registry).rollback(options.to)
    print(f"back to {entry.id}; before it: {entry.previous or 'none'}")
    return 0


def _history(options: argparse.Namespace) -> int:
    pointer = Registry(options.registry).pointer()
    if pointer is None:
        print(f"{options.registry} has no champion yet")
        return 0
    for entry in pointer.history:
        mark = "*" if entry is pointer.history[-1] else " "
        found = entry.comparison.get("auc", "")
        print(f"{mark} {entry.time:%Y-%m-%d %H:%M:%S} UTC  {entry.action:<8}  {entry.id}  {found}".rstrip())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tsa_model.promote",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, run: object, words: str, description: str, example: str = ""
    ) -> argparse.ArgumentParser:
        raw = argparse.RawDescriptionHelpFormatter
        one = commands.add_parser(
            name, help=words, description=description, epilog=example, formatter_class=raw
        )
        one.set_defaults(run=run)
        return one

    compare = command(
        "compare",
        _compare,
        "score both on the same orders; changes nothing",
        "Exit status: 0 when the challenger may be promoted, 1 when not or when they cannot be compared.",
        COMPARE_EXAMPLE,
    )
    compare.add_argument(
        "--challenger", required=True, metavar="DIR", help="its model folder (scores/model of a run)"
    )
    place = compare.add_mutually_exclusive_group(required=True)
    place.add_argument("--registry", metavar="DIR", help="folder with the champion's pointer file")
    place.add_argument("--champion", metavar="DIR", help="its model folder, where there is no registry")
    compare.add_argument("--events", required=True, metavar="FILE", help="raw orders with the histories")
    compare.add_argument("--verdict", required=True, metavar="FILE", help="the gate's verdict (JSON)")
    compare.add_argument(
        "--contract",
        required=True,
        action="append",
        metavar="FILE",
        help="a contract's result (JSON); three times: of the raw events, the sequences and the scores",
    )
    compare.add_argument(
        "--output", default="comparison.json", metavar="FILE", help="default: comparison.json"
    )
    defaults = PromotionConfig()
    for name, kind in (("auc_margin", float), ("average_precision_margin", float), ("confidence", float)):
        compare.add_argument(
            f"--{name.replace('_', '-')}", type=kind, metavar="X", help=f"default: {getattr(defaults, name)}"
        )
    for name in ("resamples", "seed"):
        compare.add_argument(
            f"--{name}", type=int, metavar="N", help=f"of the bootstrap; default: {getattr(defaults, name)}"
        )

    promote = command(
        "promote",
        _promote,
        "put the compared challenger in use",
        "Refused unless the comparison passed, is about this folder, and the champion is still the same.",
    )
    promote.add_argument("--registry", required=True, metavar="DIR")
    promote.add_argument("--challenger", required=True, metavar="DIR", help="its model folder")
    promote.add_argument("--comparison", default="comparison.json", metavar="FILE", help="from `compare`")

    rollback = command("rollback", _rollback, "go back to the champion before", "Go back to another model.")
    rollback.add_argument("--registry", required=True, metavar="DIR")
    rollback.add_argument("--to", metavar="ID", help="an id of the history; default: the champion before")

    history = command("history", _history, "every change so far", "The marked line is the model in use.")
    history.add_argument("--registry", required=True, metavar="DIR")
    return parser


if __name__ == "__main__":
    sys.exit(main())
