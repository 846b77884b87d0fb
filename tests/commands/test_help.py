"""The help of every command teaches."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import pipeline
from commands import run, schedule, submit, train
from commands.group import SECTIONS
from tsa_model.train import parser

Command = Callable[..., Result]


def test_every_pipeline_parameter_is_an_option_of_run() -> None:
    parameters = set(inspect.signature(pipeline.tsa_pipeline.pipeline_func).parameters)
    options = {option.name for option in run.command.params}
    assert parameters <= options
    assert parameters <= {option.name for option in submit.command.params}
    assert parameters <= {option.name for option in schedule.command.commands["create"].params}


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        *((name,) for names in SECTIONS.values() for name in names),
        *(("schedule", action) for action in ("create", "list", "pause", "resume", "delete")),
    ],
)
def test_help_teaches_with_examples(command: Command, arguments: tuple[str, ...]) -> None:
    result = command(*arguments, "--help")
    assert result.exit_code == 0
    assert "Example" in result.output
    assert "python pipeline.py" in result.output


def test_examples_begin_with_what_the_reader_typed() -> None:
    result = CliRunner().invoke(pipeline.main, ["run", "--help"], prog_name="tsa")
    assert "\n    tsa run --max-epochs 2" in result.output
    assert "pipeline.py" not in result.output


def test_every_command_file_is_offered() -> None:
    shared = {"__init__", "checks", "errors", "group", "options", "retraining"}
    files = {path.stem for path in (Path(pipeline.__file__).parent / "commands").glob("*.py")}
    assert files - shared == {name for names in SECTIONS.values() for name in names}


def test_people_and_training_processes_have_the_same_options() -> None:
    processes = {action.dest: action.required for action in parser()._actions if action.dest != "help"}
    assert {option.name: option.required for option in train.command.params} == processes
