"""The online service against the bare model: raw JSON to score over HTTP, open loop.

    python benchmarks/online.py --model runs/latest/stages/generate-scores/scores/model \\
        --events runs/latest/stages/validate-events/validated/events.parquet --rate 100

The last orders of the log are sent at a fixed rate, whether answers come or not; a latency counts from the
moment at which a request was due. The bare call runs the same session settings on the ready tensors of the
same orders, in turns with the requests, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

ROOT = Path(__file__).parents[1]
PORT = 18_431
CLIENTS = 16
TURN = 100
"""Requests and bare calls that take turns."""


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--events", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--orders", type=int, default=1000)
    options = parser.parse_args()
    from tsa_model.online import OnlineScorer, load_history
    from tsa_model.scoring.model import ScoringModel

    model = ScoringModel.load(options.model)
    table, rows = last_orders(options.events, model.dataset, options.orders)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        counts = load_history(table, model.dataset, Path(folder) / "store")
        seconds = time.perf_counter() - began
        size = (Path(folder) / "store" / "data.mdb").stat().st_size
        print(f"load: {counts['orders'] / seconds:,.0f} orders/s, {counts['kept']:,} kept")
        print(f"size: {size / counts['kept'] * 1e6 / 2**20:,.0f} MiB per million kept orders")
        scorer = OnlineScorer.open(options.model, Path(folder) / "store")
        batches = [scorer.tensors([row]) for row in rows]
        scorer.close()
        words = ["serve", "--model", options.model, "--store", Path(folder) / "store", "--port", PORT]
        server = subprocess.Popen([sys.executable, "pipeline.py", *map(str, words)], cwd=ROOT)
        try:
            wait_until_ready()
            measure(rows, batches, model, options.rate)
        finally:
            server.terminate()
            server.wait()


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


def wait_until_ready() -> None:
    """Wait for the server."""
    while True:
        try:
            connection = HTTPConnection("127.0.0.1", PORT)
            connection.request("GET", "/v2/health/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)


def measure(rows: list[dict[str, Any]], batches: list[Any], model: Any, rate: float) -> None:
    """Send requests and make bare calls in turns; then as fast as the server answers."""
    bodies = [json.dumps(row).encode() for row in rows]
    n_open = len(bodies) // 2
    for batch in batches[:20]:
        model.session.run(batch)
    over_http: list[float] = []
    bare: list[float] = []
    for first in range(0, n_open, TURN):
        part = slice(first, min(first + TURN, n_open))
        over_http += open_loop(bodies[part], rate)
        for batch in batches[part]:
            began = time.perf_counter()
            model.session.run(batch)
            bare.append(time.perf_counter() - began)
    show("HTTP, raw JSON to score", over_http)
    show("bare call, ready tensors", bare)
    for quantile in (0.5, 0.99):
        ratio = np.quantile(over_http, quantile) / np.quantile(bare, quantile)
        print(f"p{100 * quantile:g} over HTTP is {ratio:.2f} times that of the bare call")
    began = time.perf_counter()
    open_loop(bodies[n_open:], float("inf"))
    n_rest = len(bodies) - n_open
    print(f"saturation: {n_rest / (time.perf_counter() - began):,.0f} requests/s from {CLIENTS} clients")


def open_loop(bodies: list[bytes], rate: float) -> list[float]:
    """Latencies of requests that are due at a fixed rate, in seconds."""
    waiting: queue.SimpleQueue[tuple[float, bytes] | None] = queue.SimpleQueue()
    latencies: list[float] = []

    def work() -> None:
        connection = HTTPConnection("127.0.0.1", PORT)
        while (item := waiting.get()) is not None:
            due, body = item
            connection.request("POST", "/score", body)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != 200:
                raise SystemExit(content.decode())
            latencies.append(time.perf_counter() - due)

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    began = time.perf_counter()
    for place, body in enumerate(bodies):
        due = began + place / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        waiting.put((due, body))
    for _ in threads:
        waiting.put(None)
    for thread in threads:
        thread.join()
    return latencies


def show(what: str, seconds: list[float]) -> None:
    """Print quantiles in milliseconds."""
    at = {
        name: np.quantile(seconds, q) * 1e3 for name, q in {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}.items()
    }
    print(f"{what}: " + ", ".join(f"{name} {value:.2f} ms" for name, value in at.items()))


if __name__ == "__main__":
    main()
