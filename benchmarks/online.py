"""The online service against the bare model: raw JSON to score over HTTP, open loop.

    python benchmarks/online.py --model runs/latest/stages/generate-scores/scores/model \\
        --events runs/latest/stages/validate-events/validated/events.parquet --rate 100 [--stores lmdb redis]

The last orders of the log are sent at a fixed rate over kept connections, whether answers come or not; a
latency counts from the moment at which a request was due. The bare call runs the same session settings on the
ready tensors of the same orders, in turns with the requests, so that a busy machine slows both. It is made at
the same rate: a processor that waits between two orders is slower with each. Without a pause it is shown too.
The legacy's way comes after them, because its forward takes all of the caches: a row that carries its
histories as joined texts is parsed, and the plain network computes one forward of the order.
For Redis a redis-server is started on a free port, which keeps an append-only file.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from online_load import CLIENTS, open_loop, paced, timed

ROOT = Path(__file__).parents[1]
TURN = 100
"""Requests and bare calls that take turns."""
LEGACY_CALLS = 10
"""Of the legacy's way; it is slow."""


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--events", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--orders", type=int, default=1000)
    parser.add_argument("--stores", nargs="+", choices=("lmdb", "redis"), default=["lmdb", "redis"])
    options = parser.parse_args()
    from tsa_model.online import OnlineScorer, load_history
    from tsa_model.scoring.model import ScoringModel

    model = ScoringModel.load(options.model)
    table, rows = last_orders(options.events, model.dataset, options.orders)
    legacy = LegacyWay(model)
    for kind in options.stores:
        print(f"--- {kind}")
        with tempfile.TemporaryDirectory() as folder, store_of(kind, Path(folder)) as (place, size_of):
            began = time.perf_counter()
            counts = load_history(table, model.dataset, place)
            seconds = time.perf_counter() - began
            show_size(size_of(), counts["kept"], n_histories(table, model.dataset))
            print(f"load: {counts['orders'] / seconds:,.0f} orders/s, {counts['kept']:,} kept")
            scorer = OnlineScorer.open(options.model, place)
            batches = [scorer.tensors([row]) for row in rows]
            scorer.close()
            with serving(options.model, place) as port:
                measure(rows, batches, model, legacy, options.rate, port)


@contextmanager
def store_of(kind: str, folder: Path) -> Iterator[tuple[str, Callable[[], int]]]:
    """A place for a store, and how many bytes are in use there."""
    if kind == "lmdb":
        yield str(folder / "store"), lambda: (folder / "store" / "data.mdb").stat().st_size
        return
    import redis

    port = free_port()
    words = ["--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "yes"]
    server = subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL)
    try:
        client = redis.Redis(port=port)
        until(client.ping)
        empty = client.info()["used_memory"]
        yield f"redis://127.0.0.1:{port}/0", lambda: client.info()["used_memory"] - empty
    finally:
        server.terminate()
        server.wait()


@contextmanager
def serving(model: Path, place: str) -> Iterator[int]:
    """The service, ready, on a port."""
    port = free_port()
    words = ["serve", "--model", str(model), "--store", place, "--port", str(port)]
    server = subprocess.Popen([sys.executable, "pipeline.py", *words], cwd=ROOT)

    def ask() -> None:
        connection = HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/v2/health/ready")
        if connection.getresponse().status != 200:
            raise OSError("not ready yet")

    try:
        until(ask)
        status = Path(f"/proc/{server.pid}/status").read_text()
        resident = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
        print(f"memory of the server: {int(resident) / 1024:,.0f} MiB")
        yield port
    finally:
        server.terminate()
        server.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(ask: Callable[[], Any], seconds: float = 300) -> None:
    """Ask until an answer comes."""
    end = time.monotonic() + seconds
    while True:
        try:
            ask()
            return
        except Exception:  # whatever keeps a starting server from answering
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def last_orders(path: Path, dataset: Any, n: int) -> tuple[pa.Table, list[dict[str, Any]]]:
    """The log without its last orders, and those as JSON holds them."""
    from tsa_model.events.cleaning import wanted_columns
    from tsa_model.events.reading import read_parts

    parts = [part for _, part in read_parts(path, wanted_columns(dataset), csv=dataset.csv)]
    table = pa.concat_tables(parts)
    table = table.sort_by([(dataset.order_time, "ascending"), (dataset.order_id, "ascending")])
    rows = [
        {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
        for row in table.slice(len(table) - n).to_pylist()
    ]
    return table.slice(0, len(table) - n), rows


def n_histories(table: pa.Table, dataset: Any) -> int:
    """Customers and cards that have any order."""
    keys = [name for name in (dataset.customer_id, dataset.card_id) if name is not None]
    return sum(pc.count_distinct(table[name], mode="only_valid").as_py() for name in keys)


def show_size(size: int, n_orders: int, n_keys: int) -> None:
    """Print what a million histories and a million orders take."""
    mib = size / 2**20
    print(f"size: {mib / n_keys * 1e6:,.0f} MiB per million histories (of customers and cards, ", end="")
    print(f"{n_orders / n_keys:.1f} orders each), {mib / n_orders * 1e6:,.0f} MiB per million orders")


class LegacyWay:
    """A wide row parsed value by value, then one forward of the plain network.

    Args:
        model: the model folder; its weights are in it.
    """

    def __init__(self, model: Any) -> None:
        from tsa_model.network.checkpoint import load_model

        self._model = model
        self._network = load_model(model.weights_dir, "reference").twin("reference").eval()

    def row(self, batch: dict[str, np.ndarray]) -> dict[str, str]:
        """An order's histories as texts, joined by ~."""
        sequences = {name: values[0] for name, values in batch.items() if values.ndim == 3}
        return {
            f"{name} {column}": "~".join(map(str, values[:, column].tolist()))
            for name, values in sequences.items()
            for column in range(values.shape[1])
        }

    def score(self, row: dict[str, str], batch: dict[str, np.ndarray]) -> float:
        """Parse, and compute."""
        import torch

        {name: np.array([float(word) for word in text.split("~")]) for name, text in row.items()}
        with torch.no_grad():
            found = self._network({name: torch.from_numpy(values) for name, values in batch.items()})
        return float(found[0].reshape(-1)[0])


def measure(
    rows: list[dict[str, Any]], batches: list[Any], model: Any, legacy: LegacyWay, rate: float, port: int
) -> None:
    """Send requests and make bare calls in turns; then as fast as the server answers."""
    bodies = [json.dumps(row).encode() for row in rows]
    n_open = len(bodies) // 2
    for batch in batches[:20]:
        model.session.run(batch)
    over_http: list[float] = []
    bare: list[float] = []
    unpaced: list[float] = []
    for first in range(0, n_open, TURN):
        part = slice(first, min(first + TURN, n_open))
        over_http += open_loop(bodies[part], rate, port)
        bare += paced(model.session.run, batches[part], rate)
        unpaced += [timed(model.session.run, batch) for batch in batches[part]]
    legacy.score(legacy.row(batches[0]), batches[0])
    slow = [timed(legacy.score, legacy.row(batch), batch) for batch in batches[:LEGACY_CALLS]]
    show("HTTP, raw JSON to score", over_http)
    show("bare call, ready tensors", bare)
    show("bare calls without a pause", unpaced)
    show("the legacy's way, no HTTP", slow)
    for quantile in (0.5, 0.99):
        ratio, other = (
            np.quantile(over_http, quantile) / np.quantile(calls, quantile) for calls in (bare, unpaced)
        )
        print(
            f"p{100 * quantile:g} over HTTP: {ratio:.2f} times the bare call's, {other:.2f} without a pause"
        )
    print(f"the legacy's way takes {np.median(slow) / np.median(over_http):.1f} times as long (medians)")
    seconds = max(open_loop(bodies[n_open:], float("inf"), port))  # all are due at once
    print(f"saturation: {(len(bodies) - n_open) / seconds:,.0f} requests/s from {CLIENTS} clients")


def show(what: str, seconds: list[float]) -> None:
    """Print quantiles in milliseconds."""
    at = {
        name: np.quantile(seconds, q) * 1e3 for name, q in {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}.items()
    }
    print(f"{what}: " + ", ".join(f"{name} {value:.2f} ms" for name, value in at.items()))


if __name__ == "__main__":
    main()
