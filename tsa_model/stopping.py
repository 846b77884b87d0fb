"""Being asked to stop: Ctrl-C and SIGTERM end a command in the same way, whatever it was doing.

Python raises the request wherever the main thread is, also in places that swallow exceptions (the end of an
object's life, an import that is tried). So it is remembered as well, and `check` raises it again.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}
"""Exit status by signal, as a shell has it."""


class Stopped(KeyboardInterrupt):
    """The process was asked to stop.

    Attributes:
        status: its exit status.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = STATUS[signal.Signals(number)]


_asked: list[int] = []
"""The first signal that came; later ones do not disturb the clearing up."""


def asked() -> Stopped | None:
    """What the process was asked to do while `listening`, if anything."""
    return Stopped(_asked[0]) if _asked else None


def check() -> None:
    """Raise the request to stop again, in case it was swallowed where it came.

    Raises:
        Stopped: the process was asked to stop.
    """
    if (stopped := asked()) is not None:
        raise stopped


@contextmanager
def listening() -> Iterator[None]:
    """Raise `Stopped` in the main thread at the first Ctrl-C or SIGTERM; ignore later ones."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread alone
        return

    def stop(number: int, _: FrameType | None) -> None:
        _asked.append(number)
        if len(_asked) == 1:
            raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in STATUS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked.clear()
