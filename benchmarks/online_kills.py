"""`kill -9` under load, again and again: is every acknowledged order kept once, with its score?

    python benchmarks/online_kills.py --run runs/latest --kills 40

Clients send the newest orders of a run to `tsa serve`; orders that a customer or a card connects go through
one client in time order. The server is killed at random moments and started again; what was not answered is
sent again. Afterwards every acknowledged order must be in the store once, with the answer that was given, and
its score must be the one of a run without a kill, to the last bit.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import threading
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from online import last_orders
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tsa_model.online import OnlineScorer, load_history
from tsa_model.online.proof.served import served
from tsa_model.scoring.model import ScoringModel

CLIENTS = 4
LONGEST_S = 2.0


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/latest"))
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--orders", type=int, default=4000)
    options = parser.parse_args()
    model_dir = options.run / "stages" / "generate-scores" / "scores" / "model"
    model = ScoringModel.load(model_dir)
    events = options.run / "stages" / "validate-events" / "validated"
    table, rows = last_orders(events, model.dataset, options.orders)
    rows = [{name: value for name, value in row.items() if name != model.dataset.label} for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        quiet, killed = Path(folder) / "quiet", Path(folder) / "killed"
        load_history(table, model.dataset, quiet)
        shutil.copytree(quiet, killed)
        answers, n_kills, n_sent = under_kills(model_dir, killed, rows, model.dataset, options.kills)
        compare(model_dir, quiet, killed, rows, answers, model.dataset.order_id)
        print(f"{n_kills} kills, {n_sent:,} requests for {len(answers):,} orders")


def under_kills(
    model_dir: Path, store: Path, rows: list[dict[str, Any]], dataset: Any, kills: int
) -> tuple[dict[Any, dict[str, Any]], int, int]:
    """Send all orders while the server is killed; returns answers by order id, kills, and requests."""
    random = np.random.default_rng(0)
    queues: list[list[dict[str, Any]]] = [[] for _ in range(CLIENTS)]
    for row, group in zip(rows, connected(rows, dataset), strict=True):
        queues[group % CLIENTS].append(row)
    answers: dict[Any, dict[str, Any]] = {}
    sent = [0]
    n_kills = 0
    per_life = max(1, len(rows) // (kills + 1))
    while any(queues):
        with served(model_dir, store, store.with_suffix(".log")) as server:
            most = len(answers) + per_life if n_kills < kills else len(rows)
            threads = [
                threading.Thread(target=send, args=(server.port, queue, answers, dataset.order_id, sent))
                for queue in queues
            ]
            for thread in threads:
                thread.start()
            while n_kills < kills and len(answers) < most and any(thread.is_alive() for thread in threads):
                threads[0].join(float(random.uniform(0, 0.1)))
            if n_kills < kills:
                server.process.kill()
                n_kills += 1
            for thread in threads:
                thread.join()
    return answers, n_kills, sent[0]


def connected(rows: list[dict[str, Any]], dataset: Any) -> list[int]:
    """Number of the group that each order is in: orders of a customer, of the cards they use, and so on."""
    keys = [name for name in (dataset.customer_id, dataset.card_id) if name is not None]
    codes = [pd.factorize(pd.Series([row[name] for row in rows], dtype="string"))[0] for name in keys]
    first, last = codes[0], codes[-1] + (codes[0].max() + 1) * (len(codes) > 1)
    size = int(max(first.max(), last.max())) + 1
    graph = coo_array((np.ones(len(rows)), (first, last)), shape=(size, size))
    return [int(group) for group in connected_components(graph, directed=False)[1][first]]


def send(port: int, queue: list[dict[str, Any]], answers: dict, order_id: str, sent: list[int]) -> None:
    """Send orders one after the other until the server is gone; what was answered leaves the queue."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        while queue:
            connection.request("POST", "/score", json.dumps(queue[0]).encode())
            sent[0] += 1
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise SystemExit(body.decode())
            answers[queue[0][order_id]] = json.loads(body)
            queue.pop(0)
    except (OSError, HTTPException):
        return


def compare(
    model_dir: Path, quiet: Path, killed: Path, rows: list[dict], answers: dict, order_id: str
) -> None:
    """Hold the answers and the store against a run without a kill."""
    undisturbed, after = (OnlineScorer.open(model_dir, place) for place in (quiet, killed))
    lost = different = changed = other_histories = 0
    for row in rows:
        given = answers[row[order_id]]
        wanted = undisturbed.score(row)
        again = after.score(row)
        lost += not again.repeated
        changed += again.score != given["score"]
        different += wanted.score != given["score"]
        tensors, right = after.tensors([row]), undisturbed.tensors([row])
        other_histories += any(tensors[name].tobytes() != right[name].tobytes() for name in right)
    counts = [scorer.store.counts()["orders"] if scorer.store else 0 for scorer in (undisturbed, after)]
    print(f"acknowledged orders lost: {lost}; counted twice or missing: {abs(counts[0] - counts[1])}")
    print(f"answers that changed: {changed}; scores that differ from the undisturbed run's: {different}")
    print(f"orders whose tensors differ afterwards: {other_histories}")
    for scorer in (undisturbed, after):
        scorer.close()


if __name__ == "__main__":
    main()
