"""The group of all commands, each imported from its own file when it is asked for."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from tsa_model.program import wait_briefly
from tsa_model.stopping import asked, check, listening

SECTIONS = {
    "The whole pipeline": ("init", "run", "runs", "track", "compile", "submit", "schedule"),
    "One step of it": ("train", "tune", "check", "export", "score"),
    "The proof of all steps": ("audit",),
    "The model in use": ("compare", "promote", "rollback", "history", "card", "monitor"),
    "One order at a time": ("explain", "online", "serve"),
    "The legacy model": ("capture", "schema"),
    "The place it runs in": ("doctor",),
}
"""Heading of the help → commands; the file of a command has its name, the command in it is `command`."""

PROGRAM = "tsa"
BROKEN_PIPE = 141
"""Exit status of a program whose reader went away, as a shell has it."""
_EXAMPLE = re.compile(rf"^( *){PROGRAM} ", re.MULTILINE)


class _Examples:
    """Help whose examples begin with what the reader typed: `tsa` or `python pipeline.py`."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the whole help."""
        super().format_help(ctx, formatter)  # type: ignore[misc]
        if ctx.find_root().info_name != PROGRAM:
            formatter.buffer[:] = [_EXAMPLE.sub(r"\1python pipeline.py ", formatter.getvalue())]


class Command(_Examples, click.Command):
    """A command whose help has examples."""


class Group(_Examples, click.Group):
    """A group of such commands."""

    command_class = Command


class Commands(Group):
    """All commands; none is imported before it is asked for."""

    _is_process = False

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:
        """Run the command line; without `args` it is what was typed, and the whole process."""
        self._is_process = args is None
        return super().main(args, *more, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a request to stop, or a reader who went away, ends it in words."""
        wait_briefly()
        with listening(to_the_end=self._is_process):
            try:
                result = super().invoke(ctx)
                check()
                return result
            except BrokenPipeError:
                # Python would complain once more when it flushes what nobody reads.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                click.echo("Nobody reads the output any more: the command was stopped.", err=True)
                raise SystemExit(BROKEN_PIPE) from None
            except BaseException:
                if (stopped := asked()) is None:
                    raise
                click.echo("Interrupted: everything that was running was stopped.", err=True)
                raise SystemExit(stopped.status) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in the order of the help."""
        return [name for names in SECTIONS.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, from its file."""
        if cmd_name not in self.list_commands(ctx):
            return None
        found: Any = import_module(f"commands.{cmd_name}")
        return found.command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands below their headings."""
        longest = max(len(name) for name in self.list_commands(ctx))
        for heading, names in SECTIONS.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            limit = formatter.width - 6 - longest
            with formatter.section(heading):
                formatter.write_dl(
                    [
                        (name.ljust(longest), command.get_short_help_str(limit))
                        for name, command in commands
                        if command is not None
                    ]
                )
