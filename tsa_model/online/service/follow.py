"""Following the champion: a new model is verified, warmed up and put in the place of the old one.

A request that began with the old model is answered with it. A model that fails its verification, or cannot be
scored with over the store in use, is refused: the old one goes on, and the refusal shows in log and metrics.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tsa_model.online.history import HistoryStore
from tsa_model.online.service.served import Served
from tsa_model.scoring.model import ScoringModel

log = logging.getLogger("tsa.serve")
LOOK_S = 5.0
"""Between two looks at the pointer."""


class Champion(Protocol):
    """Says which model should be in use."""

    def pointer(self) -> str:
        """What changes whenever another model should be in use; cheap.

        Raises:
            ValueError, OSError: it cannot be read.
        """

    def verified(self) -> Path:
        """The model folder, its chain of proof found whole.

        Raises:
            ValueError, OSError: it is broken, or there is none.
        """


class Follower:
    """Looks at the champion's pointer now and then.

    Args:
        champion: which model should be in use.
        in_use: its pointer when the model that the service began with was verified.
        look_s: seconds between two looks.
    """

    def __init__(self, champion: Champion, in_use: str, look_s: float = LOOK_S) -> None:
        self._champion, self._in_use, self._look_s = champion, in_use, look_s
        self._stopped = threading.Event()
        self._said = ""
        self._thread: threading.Thread | None = None

    def start(
        self, store: HistoryStore | None, use: Callable[[Served], None], refused: Callable[[bool], None]
    ) -> None:
        """Follow from now on, in a thread.

        Args:
            store: the histories, which stay.
            use: puts a model in use.
            refused: is told whether the champion of now is refused.
        """

        def follow() -> None:
            while not self._stopped.wait(self._look_s):
                refused(not self._look(store, use))

        self._thread = threading.Thread(target=follow, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Follow no longer."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self, store: HistoryStore | None, use: Callable[[Served], None]) -> bool:
        """Whether the champion of now is in use."""
        try:
            pointer = self._champion.pointer()
            if pointer == self._in_use:
                return True
            model = ScoringModel.load(self._champion.verified())
            use(Served.warmed(model, store))
        except Exception as error:  # whatever is wrong with the new model, the old one goes on
            self._say(f"the champion is refused, the model in use stays: {' '.join(str(error).split())}")
            return False
        self._in_use, self._said = pointer, ""
        log.info("the champion is in use: %s", model.description.onnx_sha256)
        return True

    def _say(self, text: str) -> None:
        """Log it, but not at every look."""
        if text != self._said:
            log.error("%s", text)
        self._said = text
