"""Raw events as a contract sees them: names and types first, then part by part, from files or a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from tsa_model.events.reading import file_format, find_files, read_parts, read_schema
from tsa_model.settings.run import RunConfig


@dataclass(frozen=True)
class Source:
    """One file, or one table in memory."""

    events: Path | pa.Table
    schema: pa.Schema

    @property
    def is_text(self) -> bool:
        """Whether every value arrives as text, its type still open."""
        return isinstance(self.events, Path) and file_format(self.events) == "csv"

    def __str__(self) -> str:
        return str(self.events) if isinstance(self.events, Path) else "the table"

    def parts(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield consecutive rows of `columns`, in parts of bounded size.

        Raises:
            BadEvents: the file is damaged.
        """
        return (part for _, part in read_parts(self.events, columns))

    def count_rows(self) -> int:
        """Count the rows by reading the first column."""
        if not self.schema.names:
            return 0
        return sum(part.num_rows for part in self.parts(self.schema.names[:1]))


def open_sources(events: str, run: RunConfig) -> list[Source]:
    """Open raw events.

    Args:
        events: a CSV, gzipped CSV or Parquet file, or a folder of them; empty = simulate.
        run: the run description; its `simulation` section makes the orders where no events are given.

    Raises:
        BadEvents: nothing is there, formats are unknown or mixed, or a file is not what its name says.
        ValueError: neither events nor a simulation are given.
    """
    if events:
        return [Source(path, read_schema(path)) for path in find_files(events)]
    if run.simulation is None:
        raise ValueError("no events are given, and the run description has no simulation section")
    from tsa_model.simulation import simulate_orders

    table = pa.Table.from_pandas(simulate_orders(run.simulation), preserve_index=False)
    return [Source(table, table.schema)]
