"""Rows of a sequence store through several processes, to the bytes that one process gives.

A shard is a stretch of neighbouring windows of `rows.score_rows`: every call of ONNX Runtime holds the rows
that it would hold in one process. A process that dies is started again for its shard alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsa_model.files import atomic_file
from tsa_model.scoring.pairs import PairDigest
from tsa_model.scoring.rows import WINDOW, Progress, ScoredRows, compute_rows, score_rows
from tsa_model.scratch import scratch_folder

if TYPE_CHECKING:
    from tsa_model.export.session import ScoringSession
    from tsa_model.sequences import SequenceStore

TRIES = 3
"""Of a shard, before all is given up."""
LAST_WORDS = 2000
"""Bytes of what a process said last."""


class ShardFailed(ChildProcessError):
    """A shard could not be scored; the message is the last words of its process."""


def stretches(n_rows: int, shards: int) -> list[slice]:
    """N rows as at most so many stretches of whole windows, of nearly equal length."""
    n_windows = -(-n_rows // WINDOW)
    shards = max(1, min(shards, n_windows))
    cuts = [n_windows * shard // shards * WINDOW for shard in range(shards)]
    return [slice(start, min(end, n_rows)) for start, end in zip(cuts, [*cuts[1:], n_rows], strict=True)]


def score_in_shards(
    store: SequenceStore,
    session: ScoringSession,
    rows: NDArray[Any],
    shards: int,
    near: Path,
    progress: Progress | None = None,
) -> ScoredRows:
    """Score orders by their row numbers; see `score_rows`, whose result this is.

    Args:
        store: the sequence store.
        session: the exported model; each process opens its file anew.
        rows: [N] row numbers.
        shards: at most so many processes; 1 = this one.
        near: what the scores are made for. Beside it lie the parts until they are joined.
        progress: called with (rows done, rows altogether).

    Raises:
        ShardFailed: the process of a shard died again and again.
        ValueError: a score is not a number in [0, 1].
    """
    parts = stretches(rows.size, shards)
    if len(parts) == 1:
        return score_rows(store, session, rows, progress)
    with scratch_folder(near) as folder, _Processes() as processes:
        told = _Told(rows.size, progress)
        at_once = min(len(parts), len(os.sched_getaffinity(0)))
        with ThreadPoolExecutor(at_once) as pool:
            made = [
                pool.submit(
                    _Shard(number, len(parts), store, session, rows[part], folder).score, processes, told
                )
                for number, part in enumerate(parts, 1)
            ]
            try:
                scored = ScoredRows.joined([each.result() for each in made])
            except BaseException:
                processes.end()
                pool.shutdown(cancel_futures=True)
                raise
    scored.check(store, rows)
    return scored


@dataclass
class _Told:
    """How many rows each shard has done."""

    total: int
    progress: Progress | None
    done: dict[int, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, shard: int, n_rows: int) -> None:
        if self.progress is not None:
            with self.lock:
                self.done[shard] = n_rows
                self.progress(sum(self.done.values()), self.total)


class _Processes:
    """The processes that are under way; none outlives the block."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._ended = False

    def __enter__(self) -> _Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Kill what runs, and let nothing more begin."""
        with self._lock:
            self._ended = True
            for process in self._running:
                process.kill()

    def run(self, job: Mapping[str, Any], told: Callable[[int], None], log: IO[bytes]) -> int:
        """Run a process for a job to its end; returns its status."""
        here = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
        with self._lock:
            if self._ended:
                raise ShardFailed("another shard failed")
            process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PYTHONPATH": here, "OMP_NUM_THREADS": "1"},
            )
            self._running.add(process)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with suppress(BrokenPipeError):  # the status of a process that is gone says more
                process.stdin.write(f"{json.dumps(job)}\n")
                process.stdin.flush()  # and stays open: the process ends with this one
            for line in process.stdout:
                told(int(line))
            return process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            with self._lock:
                self._running.discard(process)


@dataclass(frozen=True)
class _Shard:
    """One stretch of the rows."""

    number: int
    of: int
    store: SequenceStore
    session: ScoringSession
    rows: NDArray[Any]
    folder: Path

    def score(self, processes: _Processes, told: _Told) -> ScoredRows:
        """Let a process score it, another one where that dies."""
        given, part = self.folder / f"{self.number}.rows.npy", self.folder / f"{self.number}.npz"
        np.save(given, self.rows, allow_pickle=False)
        job = {
            "store": str(self.store.directory),
            "model": str(self.session.path),
            "session": self.session.settings.changed(calls_at_once=1).model_dump(mode="json"),
            "rows": str(given),
            "part": str(part),
        }
        for attempt in range(1, TRIES + 1):
            log = self.folder / f"{self.number}.{attempt}.log"
            with log.open("wb") as said:
                status = processes.run(job, lambda done: told.tell(self.number, done), said)
            if status == 0:
                return self._read(part)
        words = log.read_bytes()[-LAST_WORDS:].decode(errors="replace").strip()
        raise ShardFailed(
            f"shard {self.number} of {self.of}, {self.rows.size:,} orders, ended {TRIES} times with status "
            f"{status}"
            + (f": {words}" if words else "; a process that is killed may have had too little memory")
        )

    def _read(self, part: Path) -> ScoredRows:
        with np.load(part, allow_pickle=False) as held:
            gate = held["gate"] if "gate" in held.files else None
            scored = ScoredRows(held["score"], held["real_orders"], gate, str(held["pairs"]))
        if str(PairDigest.of(self.store.ids_of(self.rows), scored.score)) != scored.pairs:
            raise ShardFailed(f"the scores of shard {self.number} of {self.of} are not those of its orders")
        return scored


def _end_with_parent() -> None:
    """Wait until whoever started this process is gone."""
    sys.stdin.read()
    os._exit(1)


def score_shard(job: Mapping[str, Any], told: Callable[[int], None]) -> None:
    """Score one shard and write its part.

    Args:
        job: paths of store, model, row numbers and part, and the session's settings.
        told: called with the rows that are done.
    """
    from tsa_model.export.session import ScoringSession, SessionSettings
    from tsa_model.sequences import SequenceStore

    rows = np.load(job["rows"], allow_pickle=False)
    session = ScoringSession(job["model"], SessionSettings(**job["session"]))
    scored = compute_rows(SequenceStore.open(job["store"]), session, rows, lambda done, _: told(done))
    arrays = {"score": scored.score, "real_orders": scored.real_orders, "pairs": np.array(scored.pairs)}
    if scored.gate is not None:
        arrays["gate"] = scored.gate
    with atomic_file(job["part"]) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def main() -> None:
    """Score the shard that standard input names."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    score_shard(job, lambda done: print(done, flush=True))


if __name__ == "__main__":
    main()
