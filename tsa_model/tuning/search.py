"""The search: Optuna proposes, each trial trains on the inner weeks, an interrupted search goes on."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tsa_model.events.files import list_files
from tsa_model.files import sha256
from tsa_model.settings.run import RunConfig
from tsa_model.settings.tuning import Value
from tsa_model.tuning.result import TriedTrial, TuningResult
from tsa_model.tuning.space import distributions, inner_weeks, own_values, with_own, with_values
from tsa_model.tuning.trials import Workplace
from tsa_model.tuning.verdict import judge
from tsa_model.tuning.writing import write_all

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

STUDY_FILE = "study.db"
TRIALS_BEFORE_PRUNING = 4
MADE_OF = "made_of"
"""The name under which a study keeps the digest of its inputs."""
Say = Callable[[str], None]


def tune(events: Path, run: RunConfig, output: Path, say: Say) -> TuningResult:
    """Search for better settings, and write the winning description and a page.

    A search that was interrupted and is started again with the same arguments goes on after its last finished
    trial; a trial that was cut off begins anew. More `trials` than before go on from a finished search.

    Args:
        events: a file or folder of raw orders.
        run: the description to begin with; its section `tuning` says what is searched.
        output: folder that gets `study.db`, `trials/`, `stores/`, `tuned.yaml`, `tuning.json`, `tuning.html`.
        say: is told a line of every trial.

    Raises:
        ValueError: the folder holds the search of something else, or not one trial could be trained.
    """
    output.mkdir(parents=True, exist_ok=True)
    judged = run.changed(dataset=inner_weeks(run.dataset))
    if run.tuning.max_epochs is not None:
        judged = judged.changed(training=run.training.changed(max_epochs=run.tuning.max_epochs))
    study = open_study(output, run, events)
    place = Workplace(events, output)
    _Search(study, judged, place, say).go_on()
    result = judge(study, judged, place, tried(study), say)
    write_all(output, run, result)
    return result


def open_study(output: Path, run: RunConfig, events: Path) -> Study:
    """The study in a folder, a new one where there is none.

    Raises:
        ValueError: it was made of other orders, another description, seed or torch.
    """
    import optuna
    from sqlalchemy.engine import URL

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    url = URL.create("sqlite", database=str((output / STUDY_FILE).absolute()))
    epochs = run.tuning.max_epochs or run.training.max_epochs
    study = optuna.create_study(
        storage=url.render_as_string(hide_password=False),
        study_name=run.dataset.name,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(TRIALS_BEFORE_PRUNING, n_warmup_steps=max(1, epochs // 3)),
    )
    wanted = _made_of(run, events)
    if (found := study.user_attrs.get(MADE_OF)) is None:
        study.set_user_attr(MADE_OF, wanted)
    elif found != wanted:
        raise ValueError(
            f"{output / STUDY_FILE} holds a search with other orders, another description, seed or version of"
            " torch: give another --output, or delete the folder to begin anew"
        )
    return study


def _made_of(run: RunConfig, events: Path) -> str:
    """Digest of all that a trial's figure depends on."""
    asked = run.tuning.model_dump(mode="json", exclude={"trials", "finalists"})
    files = [sha256(file.path) for file in list_files(events).files]
    settings = [getattr(run, section).model_dump(mode="json") for section in ("dataset", "model", "training")]
    return hashlib.sha256(json.dumps([settings, asked, files, torch.__version__]).encode()).hexdigest()


class _Search:
    """The trials of one call of `tune`."""

    def __init__(self, study: Study, run: RunConfig, place: Workplace, say: Say) -> None:
        self._study, self._run, self._place, self._say = study, run, place, say
        self._space = distributions(with_own(run, run.tuning.space))

    def go_on(self) -> None:
        """Run trials until there are as many as the description asks for."""
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        study = self._study
        for cut_off in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            study.tell(cut_off.number, state=TrialState.FAIL)
            study.enqueue_trial(cut_off.params, skip_if_exists=False)
        if not study.get_trials(deepcopy=False):
            study.enqueue_trial(own_values(self._run, self._run.tuning.space))
        while (done := len(self._whole())) < self._run.tuning.trials:
            # Each trial has a sampler of its own, so that an interrupted search goes on as a whole one would.
            study.sampler = TPESampler(seed=self._run.tuning.seed + done)
            self._try(study.ask(self._space))

    def _whole(self) -> list[FrozenTrial]:
        """Trials that came to an end by themselves."""
        return [trial for trial in self._study.get_trials(deepcopy=False) if _is_whole(trial)]

    def _try(self, trial: Trial) -> None:
        import optuna

        values = dict(trial.params)
        twin = next((one for one in self._whole() if one.params == values and one.value is not None), None)

        def on_epoch(epoch: int, value: float) -> None:
            trial.report(value, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        if twin is not None:
            trial.set_user_attr("twin", twin.number)
            self._study.tell(trial, twin.value)
            return
        state = optuna.trial.TrialState
        try:
            run = with_values(self._run, values)
        except ValueError as refused:
            trial.set_user_attr("refused", str(refused))
            self._study.tell(trial, state=state.PRUNED)
            self._say(f"trial {trial.number}: refused, {refused}")
            return
        try:
            value = self._place.train(str(trial.number), run, self._run.tuning.seed, on_epoch)
        except optuna.TrialPruned:
            self._study.tell(trial, state=state.PRUNED)
            self._say(f"trial {trial.number}: stopped early, {_in_words(values)}")
            return
        self._study.tell(trial, value)
        self._say(f"trial {trial.number}: {value:.4f}, {_in_words(values)}")


def tried(study: Study) -> tuple[TriedTrial, ...]:
    """The whole trials of a study."""
    return tuple(
        TriedTrial(
            number=trial.number,
            outcome="complete" if trial.state.name == "COMPLETE" else "pruned",
            value=trial.value if trial.state.name == "COMPLETE" else None,
            values=trial.params,
        )
        for trial in study.get_trials(deepcopy=False)
        if _is_whole(trial)
    )


def _is_whole(trial: FrozenTrial) -> bool:
    return trial.state.name in ("COMPLETE", "PRUNED")


def _in_words(values: dict[str, Value]) -> str:
    short = {path.partition(".")[2]: value for path, value in values.items()}
    return ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in short.items())
