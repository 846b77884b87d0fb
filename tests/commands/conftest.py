"""The command line in this process."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

import pipeline

Command = Callable[..., Result]


@pytest.fixture
def command() -> Command:
    """Run a command; what it printed and its exit status."""

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(pipeline.main, list(arguments))

    return run
