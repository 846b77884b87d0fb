"""A customer with a million orders against one with fifty: the time from a raw order to its tensors,
and with the order recorded.

    python benchmarks/hot_key.py --orders 1000000 [--stores lmdb redis]

Both histories lie in one store, made with the demo's description (windows, lags, known labels), and the
orders are spread over the demo's 120 days. The two customers take turns, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from online import store_of

from tsa_model.online.histories import Histories
from tsa_model.online.loading import load_history
from tsa_model.online.stores import open_store
from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig
from tsa_model.simulation import simulate_orders

FEW = 50
ASKED = 200


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--stores", nargs="+", choices=("lmdb", "redis"), default=["lmdb", "redis"])
    options = parser.parse_args()
    run = RunConfig.load("demo")
    assert run.simulation is not None
    simulated = pa.Table.from_pandas(
        simulate_orders(run.simulation.changed(orders=3_000)), preserve_index=False
    )
    with tempfile.TemporaryDirectory() as folder:
        built = SequenceStore.build(simulated, run.dataset, Path(folder) / "store")
        table = of_two_customers(simulated, options.orders)
        for kind in options.stores:
            (Path(folder) / kind).mkdir()
            with store_of(kind, Path(folder) / kind) as (place, _):
                began = time.process_time()
                load_history(table, run.dataset, place)
                print(
                    f"{kind}: {len(table):,} orders loaded in {time.process_time() - began:.0f} CPU seconds"
                )
                store = open_store(place)
                histories = Histories(built.description, built.preprocessing, "dual", store)
                measure(histories, table.slice(len(table) - 1).to_pylist()[0])
                store.close()


def of_two_customers(simulated: pa.Table, n: int) -> pa.Table:
    """Orders 1 … n of customer and card 1, and 50 of customer and card 2, over the same days."""
    random = np.random.default_rng(0)
    table = simulated.take(pa.array(random.integers(0, len(simulated), n + FEW)))
    owner = np.where(np.arange(n + FEW) < n, 1, 2)
    seconds = simulated["order_time"].cast(pa.int64()).to_numpy()
    moment = random.integers(int(seconds.min()), int(seconds.max()), n + FEW).astype(seconds.dtype)
    columns = {
        "order_id": pa.array(np.arange(n + FEW)),
        "customer_id": pa.array(owner),
        "card_id": pa.array(owner),
        "order_time": pa.array(moment).cast(simulated["order_time"].type),
    }
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, values)
    return table


def measure(histories: Histories, template: dict) -> None:
    """Ask for the tensors of new orders of both customers in turns; then record them."""
    newest = histories.description.split.test_end + timedelta(days=30)
    shown = {
        "look-up": lambda row: histories.tensors([row]),
        "look-up and record": lambda row: histories.add([row]),
    }
    for what, work in shown.items():
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for number in range(ASKED):
            for owner, measured in seconds.items():
                moment = (newest + timedelta(seconds=number)).isoformat()
                row = {
                    **template,
                    "order_id": 10**9 + 10 * number + owner,
                    "customer_id": owner,
                    "card_id": owner,
                    "order_time": moment,
                }
                began = time.perf_counter()
                work([row])
                measured.append(time.perf_counter() - began)
        many, few = (float(np.median(measured)) for measured in seconds.values())
        words = f"many orders {many * 1e3:.2f} ms, {FEW} orders {few * 1e3:.2f} ms, ratio {many / few:.2f}"
        print(f"{what}: {words}")


if __name__ == "__main__":
    main()
