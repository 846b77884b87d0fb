"""The decision log: every answer with its order, the model and the digest of what it was computed from.

    decisions-20250411T093000-1f0c.parquet     whole, written under a temporary name
    decisions-20250411T100000-77aa.journal     what came since; becomes a Parquet file, after a crash too

A line of the journal is written before its request is answered, so `kill -9` loses no answer.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from tsa_model.files import atomic_file
from tsa_model.online.history import HistoryError, StoreAway

MOST_ROWS = 20_000
"""Of a file."""
MOST_S = 300.0
"""A journal becomes a file when it is so old."""
_TEXT = pa.string()
SCHEMA = pa.schema(
    {
        "kind": _TEXT,
        "received_us": pa.int64(),
        "answered_us": pa.int64(),
        "order_id": _TEXT,
        "content": _TEXT,
        "score": pa.float64(),
        "percentile": pa.float64(),
        "calibrated_probability": pa.float64(),
        "repeated": pa.bool_(),
        "customer_orders": pa.int64(),
        "card_orders": pa.int64(),
        "model_digest": _TEXT,
        "gate_id": _TEXT,
        "inputs_digest": _TEXT,
    }
)
Kind = Literal["score", "order", "label"]


class DecisionLog:
    """A folder that one or several servers log to; may be used by several threads at once.

    Args:
        folder: is made where there is none.
        most_rows: of a file.
        most_s: a journal becomes a file when it is so old.

    Raises:
        HistoryError: it cannot be written.
    """

    def __init__(self, folder: str | Path, most_rows: int = MOST_ROWS, most_s: float = MOST_S) -> None:
        self.folder, self._most_rows, self._most_s = Path(folder), most_rows, most_s
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._rows: list[dict[str, Any]] = []
        self._journal: IO[bytes] | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(self.folder.glob("decisions-*.journal")):
                _recover(path)
            self._begin()
        except OSError as error:
            raise HistoryError(f"decisions cannot be logged in {self.folder}: {error}") from error
        self._thread = threading.Thread(target=self._rotate, daemon=True)
        self._thread.start()

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Log answers; they are safe from the end of this process when it returns.

        Args:
            rows: the columns of `SCHEMA`; those left out are null.

        Raises:
            StoreAway: they cannot be written.
        """
        lines = b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows)
        with self._lock:
            assert self._journal is not None, "the log is closed"
            try:
                self._journal.write(lines)
                self._journal.flush()
            except OSError as error:
                raise StoreAway(f"decisions cannot be logged in {self.folder}: {error}") from error
            self._rows += rows
            if len(self._rows) >= self._most_rows:
                self._seal()

    def close(self) -> None:
        """Make a file of what came since the last one."""
        self._stopped.set()
        self._thread.join()
        with self._lock:
            self._seal(begin=False)

    def _rotate(self) -> None:
        while not self._stopped.wait(min(1.0, self._most_s)):
            with self._lock:
                if self._rows and time.monotonic() - self._since > self._most_s:
                    self._seal()

    def _seal(self, begin: bool = True) -> None:
        assert self._journal is not None
        if self._rows:
            _write(self._path.with_suffix(".parquet"), self._rows)
        self._journal.close()
        self._path.unlink(missing_ok=True)
        self._rows, self._journal = [], None
        if begin:
            self._begin()

    def _begin(self) -> None:
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        self._path = self.folder / f"decisions-{moment}-{uuid4().hex[:8]}.journal"
        self._journal = self._path.open("ab")
        fcntl.flock(self._journal, fcntl.LOCK_EX)  # says that a process is alive that writes it
        self._since = time.monotonic()


def read_decisions(folder: str | Path) -> list[dict[str, Any]]:
    """Everything that was logged, in the order in which it was received; journals too.

    Raises:
        ValueError: there is nothing, or a file is not one of a decision log.
    """
    place = Path(folder)
    rows: list[dict[str, Any]] = []
    for path in sorted(place.glob("decisions-*.parquet")):
        try:
            rows += pq.read_table(path, schema=SCHEMA).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise ValueError(f"{path} is no file of a decision log: {error}") from error
    for path in sorted(place.glob("decisions-*.journal")):
        rows += journal_rows(path)
    if not rows:
        raise ValueError(f"{place} holds no decisions: give the folder of tsa serve --decisions")
    return sorted(rows, key=lambda row: row["received_us"])


def _recover(path: Path) -> None:
    """Make a file of a journal whose process ended."""
    with path.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another server writes it
        if path.exists() and (rows := journal_rows(path)):
            _write(path.with_suffix(".parquet"), rows)
        path.unlink(missing_ok=True)


def journal_rows(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal; the last one may have been cut off, and was not answered then."""
    whole = path.read_bytes().rpartition(b"\n")[0]
    rows = [json.loads(line) for line in whole.split(b"\n") if line]
    return [dict.fromkeys(SCHEMA.names) | row for row in rows]


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    with atomic_file(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), temporary)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
