"""The winner of a search, and what the untouched weeks say of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tsa_model.evaluation.metrics import Ranking, auc, average_precision
from tsa_model.promotion.bootstrap import paired_differences
from tsa_model.sealed import sealed
from tsa_model.settings.run import RunConfig
from tsa_model.tuning.result import TriedTrial, TuningResult, Untouched
from tsa_model.tuning.space import with_values
from tsa_model.tuning.trials import Workplace

if TYPE_CHECKING:
    from optuna import Study

FIGURES = {"auc": auc, "average_precision": average_precision}
RESAMPLES = 1000
LEAST_FOR_IMPORTANCE = 6
"""Whole trials below which a share of each setting would be noise."""


def judge(
    study: Study, run: RunConfig, place: Workplace, trials: Sequence[TriedTrial], say: Callable[[str], None]
) -> TuningResult:
    """Train the finalists once more, name the winner, and only then look at the test period.

    Args:
        study: keeps the second figures, so that an interrupted search need not train them again.
        run: the description with the inner weeks as its split.
        place: of the trainings.
        trials: the whole trials.
        say: is told a line of every finalist.

    Raises:
        ValueError: no trial was trained to its end.
    """
    own = trials[0].number  # the first trial is the description as it is
    finalists = _finalists(trials, own, run.tuning.finalists)
    seed = run.tuning.seed
    seconds: dict[int, float] = {}
    for trial in finalists:
        key = f"again {trial.number}"
        if key not in study.user_attrs:
            again = place.train(f"{trial.number}-again", with_values(run, trial.values), seed + 1)
            study.set_user_attr(key, again)
        seconds[trial.number] = float(study.user_attrs[key])
        say(f"trial {trial.number} with another seed: {seconds[trial.number]:.4f}")
    trials = tuple(trial.changed(again=seconds.get(trial.number)) for trial in trials)
    judged = {trial.number: trial.judged for trial in trials if trial.judged is not None}
    winner = max(judged, key=lambda number: (judged[number], -number))
    split = run.dataset.split
    label = place.store(run).labels("test")
    return sealed(
        TuningResult(
            metric=run.training.primary_metric,
            seed=seed,
            judged=split.window("vali"),
            judged_frauds=int(place.store(run).labels("vali").sum()),
            untouched=split.window("test"),
            untouched_rows=len(label),
            untouched_frauds=int(label.sum()),
            trials=trials,
            own=own,
            winner=winner,
            importance=_importance(study, trials, seed),
            figures=_untouched(run, place, {trial.number: trial for trial in trials}, own, winner),
        )
    )


def _finalists(trials: Sequence[TriedTrial], own: int, wanted: int) -> list[TriedTrial]:
    whole = [trial for trial in trials if trial.value is not None]
    if not whole:
        raise ValueError("not one trial was trained to its end: look at the settings that `space` allows")
    best: list[TriedTrial] = []
    for trial in sorted(whole, key=lambda trial: (-(trial.value or 0.0), trial.number)):
        if len(best) < wanted and all(trial.values != other.values for other in best):
            best.append(trial)
    return best + [trial for trial in whole if trial.number == own and trial not in best]


def _untouched(
    run: RunConfig, place: Workplace, trials: dict[int, TriedTrial], own: int, winner: int
) -> dict[str, Untouched]:
    """Figures of the test period, of the mean of both trainings' scores."""
    scores = {}
    for number in {own, winner}:
        of_trial = with_values(run, trials[number].values)
        scores[number] = np.mean(
            [place.scores(name, of_trial, "test") for name in (str(number), f"{number}-again")], axis=0
        )
    label = place.store(run).labels("test")
    if len(np.unique(label)) < 2:
        return {}
    differences = paired_differences(label, scores[winner], scores[own], 0.95, RESAMPLES, run.tuning.seed)
    counts = {number: Ranking(score, label).counts() for number, score in scores.items()}
    return {
        name: Untouched(
            own=float(figure(*counts[own])),
            winner=float(figure(*counts[winner])),
            difference=differences[name].value,
            low=differences[name].low,
            high=differences[name].high,
        )
        for name, figure in FIGURES.items()
    }


def _importance(study: Study, trials: Sequence[TriedTrial], seed: int) -> dict[str, float]:
    """Each searched setting's share in how much the figures of the trials differ (fANOVA)."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    figures = [trial.value for trial in trials if trial.value is not None]
    if len(figures) < LEAST_FOR_IMPORTANCE or len(set(figures)) < 2:
        return {}
    found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))
    return {name: float(share) for name, share in found.items()}
