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
_held: list[bool] = []
"""One entry for each `held` that is under way."""


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
def listening(to_the_end: bool = False) -> Iterator[None]:
    """Raise `Stopped` in the main thread at the first Ctrl-C or SIGTERM; ignore later ones.

    Args:
        to_the_end: nothing but the end of the process comes after it. Requests are then ignored: the work is
            done, and with the system's own handlers one in the last second would look like a crash.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread alone
        return

    def stop(number: int, _: FrameType | None) -> None:
        _asked.append(number)
        if len(_asked) == 1 and not (_held and number == signal.SIGTERM):
            raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in STATUS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if to_the_end else handler)
        _asked.clear()


@contextmanager
def held() -> Iterator[None]:
    """Raise SIGTERM's `Stopped` at the end, not where it comes; for work that ends itself then."""
    _held.append(True)
    try:
        yield
    finally:
        _held.pop()
    check()


@contextmanager
def whole_process() -> Iterator[None]:
    """Around all that a process does: a request to stop ends it with the request's status.

    Raises:
        SystemExit: the process was asked to stop.
    """
    with listening(to_the_end=True):
        try:
            yield
            check()
        except BaseException:
            if (stopped := asked()) is None:
                raise
            raise SystemExit(stopped.status) from None
