"""`tsa tune`: what it may change, how it goes on when interrupted, and that the test period is untouched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from click.testing import CliRunner
from support.small_training import small_run

from commands.tune import command
from tsa_model.sealed_pages import check_page
from tsa_model.settings.run import RunConfig
from tsa_model.settings.tuning import Choices, Span, TuningConfig
from tsa_model.simulation import simulate_orders
from tsa_model.tuning.page import render_tuning
from tsa_model.tuning.result import TriedTrial, TuningResult, Untouched
from tsa_model.tuning.search import _Search, open_study, tune
from tsa_model.tuning.space import inner_weeks, own_values, with_own, with_values
from tsa_model.tuning.trials import Workplace
from tsa_model.tuning.verdict import _finalists

SPACE = {
    "training.max_learning_rate": {"low": 0.002, "high": 0.02, "log": True},
    "model.wide_hidden_dim": {"choices": [4, 8]},
}


def description(**tuning) -> RunConfig:
    content = small_run("single", max_epochs=1).model_dump(mode="json", exclude_unset=True)
    return RunConfig.model_validate(
        content | {"tuning": {"space": SPACE, "trials": 2, "finalists": 1, **tuning}}
    )


@pytest.fixture(scope="module")
def orders(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("orders") / "orders.parquet"
    run = description()
    assert run.simulation is not None
    simulate_orders(run.simulation).to_parquet(path, index=False)
    return path


@pytest.fixture(scope="module")
def found(orders, tmp_path_factory) -> tuple[Path, TuningResult]:
    folder = tmp_path_factory.mktemp("tuned") / "search"
    return folder, tune(orders, description(), folder, lambda line: None)


def test_the_first_trial_is_the_description_and_the_winner_is_written(found) -> None:
    folder, result = found
    run = description()
    assert result.trials[0].values == own_values(run, run.tuning.space)
    assert len(result.trials) == 2
    winner = result.trial(result.winner)
    assert winner.judged == max(trial.judged for trial in result.trials if trial.judged is not None)
    tuned = RunConfig.load(folder / "tuned.yaml")
    assert own_values(tuned, run.tuning.space) == winner.values
    assert tuned.dataset == run.dataset
    assert TuningResult.load(folder / "tuning.json") == result
    check_page(folder / "tuning.html", folder / "tuning.json", result.sha256)


def test_a_search_cut_off_goes_on_as_if_it_had_not_been(found, orders, tmp_path) -> None:
    _, whole = found
    folder, begun = tmp_path / "search", []

    def stop(line: str) -> None:
        begun.append(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(orders, description(), folder, stop)
    # A trial that was under way.
    study = open_study(folder, description(), orders)
    study.enqueue_trial(dict(whole.trials[1].values))
    study.ask()
    assert begun[0].startswith("trial 0: 0.")
    result = tune(orders, description(), folder, lambda line: None)
    assert [(trial.value, trial.values) for trial in result.trials] == [
        (trial.value, trial.values) for trial in whole.trials
    ]
    assert result.figures == whole.figures
    with pytest.raises(ValueError, match="holds a search with other orders, another description"):
        tune(orders, description(seed=1), folder, lambda line: None)


@pytest.mark.slow
def test_labels_of_the_test_period_change_nothing_but_the_last_word(found, orders, tmp_path) -> None:
    """The search sees the same of orders whose test period has other labels."""
    run, (_, first) = description(), found
    frame = pd.read_parquet(orders)
    late = pd.to_datetime(frame["order_time"], unit="s", utc=True) >= run.dataset.split.test_start
    label = frame["label"].to_numpy(copy=True)
    label[late] = np.where(np.isnan(label[late]), np.nan, np.arange(late.sum()) % 2)
    frame.assign(label=label).to_parquet(tmp_path / "orders.parquet", index=False)
    result = tune(tmp_path / "orders.parquet", run, tmp_path / "search", lambda line: None)
    assert result.trials == first.trials
    assert result.winner == first.winner
    assert result.figures != first.figures


def test_the_inner_weeks_end_before_the_test_period() -> None:
    dataset = description().dataset
    inner = inner_weeks(dataset).split
    assert inner.window("train") == dataset.split.window("train")
    assert inner.window("vali") == (dataset.split.vali_start, dataset.split.cali_end)
    assert inner.cali_start == inner.cali_end <= inner.test_start == dataset.split.test_start


def test_a_space_is_widened_to_hold_the_descriptions_own_values() -> None:
    run = description()
    wide = with_own(run, run.tuning.space)
    assert wide["training.max_learning_rate"] == Span(low=0.001, high=0.02, log=True)
    assert wide["model.wide_hidden_dim"] == Choices(choices=(4, 8, 0))
    every = run.changed(dataset=run.dataset.changed(target_positive_rate=None))
    with pytest.raises(ValueError, match="target_positive_rate is None in the description, not a number"):
        with_own(every, {"dataset.target_positive_rate": Span(low=0.1, high=0.2)})
    with pytest.raises(ValueError, match="num_heads=3 does not divide"):
        with_values(run, {"model.num_heads": 3})


def test_finalists_are_the_best_and_the_first() -> None:
    values = [0.3, 0.5, None, 0.5, 0.4]
    trials = [
        TriedTrial(number=k, outcome="complete", value=value, values={"model.dropout": k / 10})
        for k, value in enumerate(values)
    ]
    trials[3] = trials[3].changed(values=trials[1].values)
    assert [trial.number for trial in _finalists(trials, 0, 2)] == [1, 4, 0]
    with pytest.raises(ValueError, match="not one trial was trained to its end"):
        _finalists(trials[2:3], 2, 2)


def test_the_page_says_what_the_untouched_weeks_say(found) -> None:
    _, result = found
    other = next(trial.number for trial in result.trials if trial.number != result.own)
    better = [trial.changed(value=0.5, again=0.6) for trial in result.trials]
    result = result.changed(trials=tuple(better), winner=other, importance={"model.wide_hidden_dim": 1.0})

    def page(low: float, high: float) -> str:
        gain = Untouched(own=0.5, winner=0.51, difference=0.01, low=low, high=high)
        return render_tuning(result.changed(figures={"average_precision": gain}))

    assert "the untouched weeks confirm it" in page(0.001, 0.02)
    assert "do not tell from the own ones" in page(-0.01, 0.02)
    assert "worse on the untouched weeks" in page(-0.03, -0.001)
    assert "wide_hidden_dim" in page(0.001, 0.02)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "space is empty"),
        ({"training.max_rate": {"low": 1, "high": 2}}, "names 'training.max_rate', which is no setting"),
        ({"dataset.label": {"choices": ["a", "b"]}}, "says what is asked of a model"),
        ({"training.members": {"choices": [1, 3]}}, "says what is asked of a model"),
        ({"model.dropout": {"low": 0.2, "high": 0.1}}, "low=0.2 is not below high=0.1"),
        ({"model.dropout": {"low": 0, "high": 0.1, "log": True}}, "factors need a positive bound"),
    ],
)
def test_a_wrong_space_is_refused(space, message) -> None:
    with pytest.raises(ValueError, match=message):
        TuningConfig(space=space)


def test_a_folder_of_something_else_is_left_alone(orders, tmp_path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    words = ["--events", str(orders), "--config", "demo", "--output", str(tmp_path)]
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 1
    assert "holds other files and no search" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_hopeless_trials_stop_early(orders, tmp_path) -> None:
    """After four good trials, one whose rate teaches nothing ends before its last epoch."""
    space = {"training.max_learning_rate": {"choices": [0.02, 1e-9]}}
    run = description(space=space, max_epochs=3)
    study = open_study(tmp_path, run, orders)
    lines: list[str] = []
    judged = run.changed(
        dataset=inner_weeks(run.dataset), training=run.training.changed(max_epochs=3, learning_rate=1e-9)
    )
    search = _Search(study, judged, Workplace(orders, tmp_path), lines.append)
    good = optuna.create_trial(
        params={"training.max_learning_rate": 0.02},
        distributions=search._space,
        value=0.9,
        intermediate_values=dict.fromkeys(range(3), 0.9),
    )
    study.add_trials([good] * 4)
    study.enqueue_trial({"training.max_learning_rate": 1e-9})
    search._try(study.ask(search._space))
    assert lines[0].startswith("trial 4: stopped early")
    assert list(study.trials[-1].intermediate_values) == [0, 1]
