"""The server process."""

from __future__ import annotations

import gc
import logging
import threading
from pathlib import Path

import uvicorn

from tsa_model.online.decisions import DecisionLog
from tsa_model.online.requirements import LATE_DAYS
from tsa_model.online.scorer import OnlineScorer
from tsa_model.online.service.app import AT_ONCE, make_app
from tsa_model.online.service.connections import AtOnce
from tsa_model.online.service.follow import Champion, Follower
from tsa_model.online.service.handlers import Handlers

MOST_AT_ONCE = 512
"""Requests in hand; more are answered with 503 at once."""
FLUSH_S = 1.0
log = logging.getLogger("tsa.serve")


def serve(
    model_dir: str | Path | None,
    place: str | Path,
    host: str,
    port: int,
    late_days: float = LATE_DAYS,
    sync: bool = False,
    champion: Champion | None = None,
    decisions: str | Path | None = None,
    threads: int = AT_ONCE,
) -> None:
    """Serve until the process is asked to stop.

    Args:
        model_dir: the model folder; None where a champion is followed.
        place: the history store, see `OnlineScorer.open`.
        host: address to listen on.
        port: port to listen on.
        late_days: of a store that is made.
        sync: wait for the disk before an order is acknowledged; without it, the disk is at most a second
            behind, which only a failure of the machine can show.
        champion: says which model should be in use from then on; None = the model stays.
        decisions: folder in which answers are logged; None = nowhere.
        threads: requests that threads work on at once.

    Raises:
        ValueError: the model folder or the store cannot be used.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    follower = None if champion is None else Follower(champion, champion.pointer())
    folder = model_dir if champion is None else champion.verified()
    assert folder is not None, "either a model or a champion is given"
    scorer = OnlineScorer.open(folder, place, late_days, sync)
    if not getattr(scorer.store, "keeps_log", True):
        log.warning("Redis keeps no append-only file: when it ends, the store must be loaded again")
    log_of = None if decisions is None else DecisionLog(decisions)
    stopped = threading.Event()
    if not sync and scorer.store is not None:
        threading.Thread(target=_flush, args=(scorer, stopped), daemon=True).start()
    try:
        config = uvicorn.Config(
            make_app(Handlers(scorer, follower, log_of), threads),
            host=host,
            port=port,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            http=AtOnce,
            log_level="warning",
            limit_concurrency=MOST_AT_ONCE,
            timeout_graceful_shutdown=30,
        )
        # What is there now stays: to look through all of it for cycles would stop requests for a tenth of a
        # second.
        gc.collect()
        gc.freeze()
        uvicorn.Server(config).run()
    finally:
        stopped.set()


def _flush(scorer: OnlineScorer, stopped: threading.Event) -> None:
    while not stopped.wait(FLUSH_S):
        try:
            if scorer.store is not None:
                scorer.store.flush()
        except Exception as error:  # the store may be closed in between; a full disk shows in the next write
            log.warning("the store could not be flushed: %s", type(error).__name__)
