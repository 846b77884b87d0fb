"""The gate alone: `python -m tsa_model.equivalence --help`."""

from __future__ import annotations

import argparse
import sys

from tsa_model.equivalence.gate import check_equivalence
from tsa_model.run_config import RunConfig


def main(arguments: list[str] | None = None) -> int:
    """Run the gate; 0 = passed, 1 = failed or impossible."""
    parser = argparse.ArgumentParser(
        prog="python -m tsa_model.equivalence",
        description="Prove that a trained model, as it will be exported, computes what the reference does.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="judge a model folder on a sequence store")
    check.add_argument("--store", required=True, help="folder of the sequence store")
    check.add_argument("--model", required=True, help="model folder")
    check.add_argument("--config", default="demo", help="run description: a shipped name or a file")
    check.add_argument("--verdict", default="verdict.json", help="where the JSON verdict goes")
    check.add_argument("--report", default="verdict.html", help="where the HTML page goes")
    options = parser.parse_args(arguments)
    try:
        found = check_equivalence(
            options.store, options.model, RunConfig.load(options.config), options.verdict, options.report
        )
    except (ValueError, OSError) as error:
        print(f"NOT PROVEN EQUIVALENT: {error}", file=sys.stderr)
        return 1
    print(f"EQUIVALENT. {found['key_figure']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
