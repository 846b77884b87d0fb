"""Raw events as a contract sees them: given files, or orders made on the spot."""

from __future__ import annotations

import pyarrow as pa

from tsa_model.events.reading import Opened, open_events
from tsa_model.settings.run import RunConfig


def open_sources(events: str, run: RunConfig) -> Opened:
    """Open raw events.

    Args:
        events: a CSV, gzipped CSV or Parquet file, or a folder of them; empty = simulate.
        run: the run description; its `simulation` section makes the orders where no events are given.

    Raises:
        BadEvents: nothing is there, formats are unknown or mixed, or a file is not what its name says.
        ValueError: neither events nor a simulation are given.
    """
    if events:
        return open_events(events, run.dataset.csv)
    if run.simulation is None:
        raise ValueError("no events are given, and the run description has no simulation section")
    from tsa_model.simulation import simulate_orders

    return open_events(pa.Table.from_pandas(simulate_orders(run.simulation), preserve_index=False))
