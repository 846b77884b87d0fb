"""Find the exception in the log of a stage that failed."""

from __future__ import annotations

import re

_TRACEBACK = "Traceback (most recent call last):"
_QUALIFIED = re.compile(r"^(?:\w+\.)+(\w+)(?=:|$)")


def exception_text(log: str, tail_lines: int = 5) -> str:
    """The last exception of a log, as `Type: message`, its further lines included.

    A stage that was killed leaves no exception: then this is the end of its log.

    Args:
        log: everything the stage printed.
        tail_lines: lines to show when there is no exception.
    """
    _, found, traceback = log.rpartition(_TRACEBACK)
    lines = traceback.splitlines()[1:]
    for number, line in enumerate(lines):
        if found and line and not line[0].isspace():
            message = "\n".join(lines[number:]).rstrip()
            return _QUALIFIED.sub(r"\1", message)
    tail = [line for line in log.splitlines() if line.strip()][-tail_lines:]
    return "\n".join(["The process ended without an exception (killed, perhaps for lack of memory).", *tail])
