"""The files a search leaves: the winning description, the document, its page."""

from __future__ import annotations

from pathlib import Path

import yaml

from tsa_model.files import atomic_file
from tsa_model.sealed import write_sealed
from tsa_model.sealed_pages import write_page
from tsa_model.settings.run import RunConfig
from tsa_model.tuning.page import render_tuning
from tsa_model.tuning.result import TuningResult
from tsa_model.tuning.space import with_values

DESCRIPTION, DOCUMENT, PAGE = "tuned.yaml", "tuning.json", "tuning.html"


def write_all(output: Path, run: RunConfig, result: TuningResult) -> None:
    """Write the three files.

    Args:
        output: their folder.
        run: the description the search began with, with its own split.
        result: what was found.
    """
    with atomic_file(output / DESCRIPTION) as temporary:
        temporary.write_text(describe(run, result), encoding="utf-8")
    write_sealed(output / DOCUMENT, result)
    write_page(output / PAGE, render_tuning(result), result.sha256)


def describe(run: RunConfig, result: TuningResult) -> str:
    """The winning description as YAML: only what the first one set, and what the winner changes.

    Epochs that were shortened for the search are the description's own again.
    """
    winner = result.trial(result.winner)
    content = with_values(run, winner.values).model_dump(mode="json", exclude_unset=True)
    lines = [
        f"# Written by `tsa tune` for {run.dataset.name}: trial {winner.number} of {len(result.trials)}.",
        f"# {result.key_figure}",
        *(f"# searched: {path}: {value}" for path, value in winner.values.items()),
    ]
    return "\n".join(lines) + "\n" + yaml.safe_dump(content, sort_keys=False, width=100)
