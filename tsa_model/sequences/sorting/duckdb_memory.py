"""How much memory DuckDB may take, and its errors in words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "TSA_DUCKDB_MEMORY"
"""Environment variable with another limit, such as 2GB."""
USUAL_LIMIT = "400MB"
"""DuckDB's own; a process takes several hundred megabytes more. The rest goes to a temporary folder."""


def memory_limit() -> str:
    """DuckDB's memory limit: the variable's, or the usual one."""
    return os.environ.get(VARIABLE, "").strip() or USUAL_LIMIT


@contextmanager
def duckdb_in_words(work: Path, what: str) -> Iterator[None]:
    """Turn DuckDB's errors into one sentence with the way out.

    Args:
        work: where DuckDB keeps what does not fit into memory.
        what: what is being done, in words.

    Raises:
        ValueError: DuckDB had too little memory, or the limit is no amount of memory.
        OSError: it could not write to its folder, or failed otherwise.
    """
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise ValueError(
            f"{what} needs more memory than the {memory_limit()} that DuckDB may take: set {VARIABLE}=2GB in "
            f"the environment, or more, and see that {work} has room for what does not fit ({_short(error)})"
        ) from error
    except (duckdb.ParserException, duckdb.InvalidInputException) as error:
        if VARIABLE not in os.environ:
            raise
        raise ValueError(f"{VARIABLE}={memory_limit()!r} is no amount of memory: write 2GB") from error
    except duckdb.IOException as error:
        raise OSError(f"{what} failed, DuckDB works in {work}: {_short(error)}") from error


def _short(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
