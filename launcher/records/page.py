"""The pages over runs: one for all of them, and a start page for each; complete in themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.records.listing import MARKS, Run, runs_below
from launcher.records.record import NAME
from tsa_model.files import atomic_file, sha256
from tsa_model.pages.charts import DrawnInterval, bars, ranges
from tsa_model.pages.names import START
from tsa_model.pages.render import render_page
from tsa_model.sealed_pages import write_page

if TYPE_CHECKING:
    from markupsafe import Markup

OURS = b'<meta name="generator" content="TSA Pipeline">'
COLUMNS = ("Test AUC", "Test average precision", "Recall at 1 % alerts")
MOST_DRAWN = 20
"""Runs in the chart; the table holds all."""
REPORTS = {
    "stages/generate-scores/report.html": "Model report",
    "stages/model_card.html": "Model card",
    "stages/check-equivalence/report.html": "Equivalence gate",
    "stages/audit.html": "Chain of proof",
    "stages/validate-events/report.html": "Contract of raw events",
    "stages/build-sequences/report.html": "Contract of sequences",
    "stages/generate-scores/contract_report.html": "Contract of scores",
    "stages/check-online/report.html": "Online as in the batch",
    "stages/compare-champion/report.html": "Against the champion",
}
"""Page → what people call it, the ones that most look at first; any other page goes by its path."""


def write_pages(folder: Path) -> Path:
    """Write the page over all runs, and the start page of each.

    Args:
        folder: of all runs.

    Returns:
        The page over all.
    """
    runs = runs_below(folder)
    for run in runs:
        _write_run_page(run)
    page = folder / START
    _check_ours(page)
    with atomic_file(page) as temporary:
        temporary.write_text(runs_page(runs, folder), encoding="utf-8")
    return page


def runs_page(runs: list[Run], folder: Path) -> str:
    """One page over all runs."""
    data = {
        run.name: {
            "figures": {name: f"{one.text} {one.interval}".strip() for name, one in run.figures.items()},
            "settings": run.settings,
        }
        for run in runs
    }
    return render_page(
        Path(__file__).with_name("runs.html.j2"),
        runs=runs,
        place=str(folder),
        columns=[name for name in COLUMNS if any(name in run.figures for run in runs)],
        chart=_auc(runs),
        data=_in_script(data),
    )


def run_page(run: Run) -> str:
    """The start page of one run."""
    return render_page(
        Path(__file__).with_name("run.html.j2"),
        run=run,
        facts=[(name, run.figures[name].text) for name in COLUMNS if name in run.figures],
        marks=MARKS,
        reports=_reports(run),
        chart=_seconds(run),
    )


def _reports(run: Run) -> list[tuple[str, str]]:
    """Name and place of every page, the known ones first."""
    more = sorted(str(page.relative_to(run.folder)) for page in (run.folder / "stages").glob("*.html"))
    pages = [*run.pages, *more]
    known = [(name, page) for page, name in REPORTS.items() if page in pages]
    return known + [(page, page) for page in pages if page not in REPORTS]


def _auc(runs: list[Run]) -> Markup | None:
    drawn = [
        DrawnInterval(run.name, float(one.value), one.low, one.high)
        for run in runs
        if (one := run.figures.get(COLUMNS[0])) and one.low is not None and one.high is not None
    ]
    return ranges(drawn[:MOST_DRAWN], "test AUC") if drawn else None


def _seconds(run: Run) -> Markup | None:
    timed = [stage for stage in run.stages if stage.seconds is not None]
    if not timed:
        return None
    return bars(
        [stage.name for stage in timed], {"seconds": [one.seconds for one in timed]}, "stage", "seconds"
    )


def _in_script(content: object) -> Markup:
    """JSON that may stand in a script element: nothing in it can end the element."""
    from markupsafe import Markup

    return Markup(json.dumps(content).replace("<", "\\u003c").replace("&", "\\u0026"))


def _write_run_page(run: Run) -> None:
    """The start page of a run, sealed as the page of its record; `audit_run` looks at it."""
    page, record = run.folder / START, run.folder / NAME
    _check_ours(page)
    if record.is_file():
        write_page(page, run_page(run), sha256(record))
        return
    with atomic_file(page) as temporary:
        temporary.write_text(run_page(run), encoding="utf-8")


def _check_ours(file: Path) -> None:
    if file.exists() and OURS not in file.read_bytes():
        raise ValueError(f"{file} was not written by this program: move it away")
