"""A search as one HTML page: what the untouched weeks say first, then history, importance, every trial."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from tsa_model.pages import charts
from tsa_model.pages.render import render_page
from tsa_model.settings.tuning import Value
from tsa_model.tuning.result import TriedTrial, TuningResult

if TYPE_CHECKING:
    from markupsafe import Markup

TEMPLATE = Path(__file__).with_name("tuning.html.j2")
FIGURE_NAMES = {"auc": "ROC AUC", "average_precision": "average precision"}
FIGURE_COLUMNS = ("figure", "winner", "own settings", "difference", "95 % interval")
METRIC_NAMES = {"pr_auc": "average precision", "auroc": "ROC AUC"}


def render_tuning(result: TuningResult) -> str:
    """The page of a search, complete in itself."""
    paths = list(dict.fromkeys(path for trial in result.trials for path in trial.values))
    metric = METRIC_NAMES.get(result.metric, result.metric)
    winner, own = result.trial(result.winner), result.trial(result.own)
    return render_page(
        TEMPLATE,
        kind=_kind(result),
        heading=_heading(result),
        metric=metric,
        result=result,
        judged=_period(result.judged),
        untouched=_period(result.untouched),
        inner=[
            (f"{metric}, winner", f"{winner.judged:.4f}"),
            (f"{metric}, own settings", f"{own.judged:.4f}"),
        ],
        figure_columns=FIGURE_COLUMNS,
        figures=_figures(result),
        differences=_differences(result),
        history=_history(result, metric),
        importance=_importance(result),
        changes=[(path, _shown(own.values[path]), _shown(winner.values[path])) for path in paths],
        trial_columns=("trial", "", metric, "other seed", *(path.partition(".")[2] for path in paths)),
        trials=[_row(result, trial, paths) for trial in _ranked(result)],
    )


def _kind(result: TuningResult) -> str:
    """The sign of the banner: whether the untouched weeks confirm what the search found."""
    gain = result.figures.get("average_precision")
    return "ok" if gain is not None and gain.low >= 0 else "warn"


def _heading(result: TuningResult) -> str:
    if result.winner == result.own:
        return "No trial was better than the description's own settings"
    gain = result.figures.get("average_precision")
    if gain is None:
        return "Better settings were found; the untouched weeks cannot judge them"
    if gain.low >= 0:
        return "Better settings were found, and the untouched weeks confirm it"
    if gain.high <= 0:
        return "The settings found are worse on the untouched weeks"
    return "Settings were found that the untouched weeks do not tell from the own ones"


def _period(period: tuple[object, object]) -> str:
    start, end = (f"{moment:%Y-%m-%d}" for moment in period)
    return f"{start} to {end}"


def _figures(result: TuningResult) -> list[tuple[str, ...]]:
    return [
        (
            FIGURE_NAMES[name],
            f"{one.winner:.4f}",
            f"{one.own:.4f}",
            f"{one.difference:+.4f}",
            f"{one.low:+.4f} to {one.high:+.4f}",
        )
        for name, one in result.figures.items()
    ]


def _differences(result: TuningResult) -> Markup | str:
    if not result.figures or result.winner == result.own:
        return ""
    drawn = [
        charts.DrawnInterval(FIGURE_NAMES[name], one.difference, one.low, one.high)
        for name, one in result.figures.items()
    ]
    return charts.intervals(drawn, "winner minus own settings", {})


def _history(result: TuningResult, metric: str) -> Markup:
    """Each whole trial's figure, and the best so far."""
    whole = [trial for trial in result.trials if trial.value is not None]
    numbers = [trial.number for trial in whole]
    values = [trial.value or 0.0 for trial in whole]
    lines = {
        "trial": charts.Curve(numbers, values),
        "best so far": charts.Curve(numbers, list(accumulate(values, max))),
    }
    return charts.curves(lines, "trial", metric)


def _importance(result: TuningResult) -> Markup | str:
    if not result.importance:
        return ""
    names = [path.partition(".")[2] for path in result.importance]
    return charts.bars(names, {"share": list(result.importance.values())}, "setting", "share")


def _ranked(result: TuningResult) -> list[TriedTrial]:
    """Finalists by the mean of both trainings, then the other whole trials, then the stopped ones."""
    return sorted(
        result.trials,
        key=lambda trial: (trial.judged is None, trial.value is None, -(trial.judged or trial.value or 0.0)),
    )


def _row(result: TuningResult, trial: TriedTrial, paths: list[str]) -> list[str]:
    names = {result.own: "own", result.winner: "winner"}
    outcome = names.get(trial.number, "" if trial.outcome == "complete" else "stopped early")
    figures = ["" if value is None else f"{value:.4f}" for value in (trial.value, trial.again)]
    return [str(trial.number), outcome, *figures, *(_shown(trial.values.get(path)) for path in paths)]


def _shown(value: Value) -> str:
    if value is None:
        return "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
