"""How a command ends when something expected went wrong: one clear line, and status 1."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from launcher.errors import LauncherError

NOT_PROVEN = "NOT PROVEN EQUIVALENT"
"""What an error of the gate begins with."""


class Refused(click.ClickException):
    """The command cannot do what was asked."""

    def __init__(self, message: str, heading: str = "Error") -> None:
        super().__init__(message)
        self.heading = heading

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the line."""
        click.echo(f"{self.heading}: {self.message}", file=file, err=file is None)


@contextmanager
def clear_errors(heading: str = "Error") -> Iterator[None]:
    """Turn what was expected to go wrong into one clear line and status 1.

    Args:
        heading: what the line begins with.
    """
    try:
        yield
    except (LauncherError, ValueError, OSError) as error:
        raise Refused(str(error), heading) from None
