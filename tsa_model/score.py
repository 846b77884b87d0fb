"""Score raw orders with a model folder, outside any pipeline: `python -m tsa_model.score --help`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsa_model.files import atomic_folder
from tsa_model.scoring.files import ScoredOrders, provenance_of, score_table, write_manifest, write_scores
from tsa_model.scoring.model import ScoringModel
from tsa_model.scoring.rows import score_rows
from tsa_model.sequences import SequenceStore

DESCRIPTION = """
Score raw orders. The file must hold the orders to score and, for their histories, the earlier orders of the
same customers and cards, with the columns the model was made from (null label = not yet known).

Writes into the output folder: score_file.csv (one score a line, no header), tag_file.csv (labels, when all
are known), scores.parquet (order id, time, score, percentile, probability, label, provenance), manifest.json.
"""
EXAMPLES = """
examples, after a run of the pipeline:
  python -m tsa_model.score --model runs/latest/stages/generate-scores/scores/model \\
      --events runs/latest/stages/validate-events/validated/events.parquet
  python -m tsa_model.score --model runs/latest/stages/generate-scores/scores/model \\
      --events orders.parquet --orders all --since 2025-05-01 --output today
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        n_scored = score_events(
            options.model, options.events, options.output, options.orders, options.since, _show_progress
        )
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{n_scored:,} orders scored: {Path(options.output) / 'scores.parquet'}")
    return 0


def score_events(
    model_dir: str | Path,
    events: Any,
    output_dir: str | Path,
    orders: str = "auto",
    since: datetime | None = None,
    show: Any = None,
) -> int:
    """Score raw orders and write the score files.

    Args:
        model_dir: a model folder, or the folder of the export.
        events: path or paths of raw orders, or a table; see `SequenceStore.build`.
        output_dir: the folder to create.
        orders: `test` = the labelled orders of the test period, as the pipeline scores them; `all` = every
            order; `auto` = `test` where the file has any, else `all`.
        since: leave out orders before this moment (UTC).
        show: called with (orders done, orders altogether).

    Returns:
        How many orders were scored.

    Raises:
        ValueError: the events do not fit the model, or there is nothing to score.
    """
    model = ScoringModel.load(model_dir)
    output_dir = Path(output_dir)
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output_dir.parent, prefix=".store-") as scratch:
        store = SequenceStore.build(
            events, model.dataset, Path(scratch) / "store", preprocessing=model.preprocessing_path
        )
        rows = select_rows(store, orders, since)
        scored = score_rows(store, model.session, rows, show)
        table = score_table(
            scored.score, ScoredOrders.of(store, rows), model.percentiles(), model.calibrator()
        )
    with atomic_folder(output_dir) as folder:
        provenance = provenance_of(model.description, model.directory)
        counts = {"test": write_scores(table, provenance, folder)}
        write_manifest(folder, provenance, counts)
    return rows.size


def select_rows(store: SequenceStore, orders: str, since: datetime | None) -> NDArray[np.int64]:
    """Row numbers of the orders to score, in time order.

    Raises:
        ValueError: there are none.
    """
    rows = store.targets("test").astype(np.int64)
    if orders == "all" or (orders == "auto" and not rows.size):
        rows = np.arange(len(store))
    if since is not None:
        rows = rows[store.times_of(rows) >= np.datetime64(since.replace(tzinfo=None), "us")]
    if not rows.size:
        window = store.description.split.window("test")
        raise ValueError(
            f"no order to score among the {len(store)} orders: --orders {orders}"
            + (f", --since {since}" if since else "")
            + f"; the test period is {window[0]} to {window[1]}"
        )
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tsa_model.score",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", required=True, metavar="DIR", help="model folder (scores/model of a run)")
    parser.add_argument(
        "--events", required=True, metavar="FILE", help="raw orders: Parquet, CSV, or a folder"
    )
    parser.add_argument("--output", default="scores", metavar="DIR", help="folder to write (default: scores)")
    parser.add_argument(
        "--orders",
        choices=("auto", "test", "all"),
        default="auto",
        help="which orders: the model's test period as the pipeline scores it, all of them, or (auto) the "
        "test period where the file has orders of it and all otherwise",
    )
    parser.add_argument(
        "--since",
        type=datetime.fromisoformat,
        metavar="TIME",
        help="leave out orders before this UTC time, for example 2025-05-01",
    )
    return parser


def _show_progress(done: int, total: int) -> None:
    end = "\n" if done == total else "\r"
    print(f"scoring {done:,} of {total:,} orders", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
