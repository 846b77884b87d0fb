"""Read the output of a local run line by line: the running stage, its lines, its end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_STARTED = re.compile(r"^[\d:.]+ - INFO - Executing task '([^']+)'$")
_ENDED = re.compile(r"^[\d:.]+ - \w+ - Task '([^']+)' finished with status (\w+)$")
_INDENT = "    "


class Started(NamedTuple):
    """A stage begins."""

    stage: str


class Printed(NamedTuple):
    """A stage printed a line; without a stage it is the runner's own."""

    stage: str | None
    text: str


class Ended(NamedTuple):
    """A stage is over."""

    stage: str
    succeeded: bool


Event = Started | Printed | Ended


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """Turn the lines that kfp's local runner prints into events.

    Args:
        lines: its standard output. What a stage prints is indented by four blanks there, kfp's own lines
            are not, so a stage cannot imitate them.
    """
    stage: str | None = None
    for line in lines:
        text = line.rstrip("\r\n")
        plain = _COLOUR.sub("", text)
        if started := _STARTED.match(plain):
            yield Started(started.group(1))
            stage = started.group(1)
        elif (ended := _ENDED.match(plain)) and ended.group(1) == stage:
            yield Ended(ended.group(1), ended.group(2) == "SUCCESS")
            stage = None
        elif stage is not None and text.startswith(_INDENT):
            yield Printed(stage, text.removeprefix(_INDENT))
        else:
            yield Printed(None, plain)
