"""A process that checks orders opens no socket, and refuses small files that ask for more than a gigabyte."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.written_forms import CASES, orders

ROOT = Path(__file__).parents[2]
ROWS = 100_000
SCRIPT = """
import socket
import sys
from pathlib import Path

def refuse(*_, **__):
    raise AssertionError("a socket was opened")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
import pandas as pd
from data_contracts import suites
from data_contracts.context import check
assert check(pd.DataFrame({"frauds": [1], "genuine": [1]}), suites.learnable_periods())[0].passed
print("checked")
from data_contracts.events import validate_events
from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig

events, folder, config, policy = sys.argv[1:]
run = RunConfig.load(config)
run = run.changed(dataset=run.dataset.changed(on_bad_rows=policy))
for build in (False, True):
    try:
        if build:
            SequenceStore.build(events, run.dataset, Path(folder) / "store")
        else:
            out = Path(folder)
            validate_events(events, run, out / "e.parquet", out / "r.html", out / "r.json")
    except ValueError as error:
        print(str(error)[:2000])
# A process that a large one started counts that one's memory in getrusage; this line is its own alone.
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print("MiB", int(peak.split()[1]) // 1024)
"""


def repeated(column: str, length: int, layout: str) -> pa.Table:
    """Many rows of one order, in which one column is one long text of a dictionary."""
    one = orders() if layout == "events" else pq.read_table(CASES / "wide.parquet")
    places = pa.array([0] * ROWS, pa.int32())
    columns = {}
    for name in one.column_names:
        value = one[name][900].as_py()
        values = pa.array(["x" * length]) if name == column else pa.array([value], one[name].type)
        columns[name] = (
            pa.DictionaryArray.from_arrays(places, values)
            if isinstance(value, str) or name == column
            else (values.take(places))
        )
    return pa.table(columns)


def examined(layout: str, column: str, policy: str, folder: Path) -> list[str]:
    """What a fresh process says of such a file, the contract first."""
    path = folder / "events.parquet"
    rows = repeated(column, 2_000_000, layout)
    rows = rows.slice(0, ROWS if layout == "events" else 20_000)
    pq.write_table(rows, path, compression="zstd")
    assert path.stat().st_size < 500_000
    config = CASES / ("run.yaml" if layout == "events" else "wide.yaml")
    command = [sys.executable, "-c", SCRIPT, str(path), str(folder), str(config), policy]
    environment = os.environ | {"GX_ANALYTICS_ENABLED": "true"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


PRODUCT = ("events", "product", "stop")


@pytest.fixture(scope="module")
def said_of_product(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return examined(*PRODUCT, tmp_path_factory.mktemp("product"))


def test_checking_opens_no_socket_even_where_analytics_are_asked_for(said_of_product) -> None:
    assert said_of_product[0] == "checked"


@pytest.mark.parametrize(
    "case",
    [
        PRODUCT,
        pytest.param(("events", "customer_id", "quarantine"), marks=pytest.mark.slow),
        pytest.param(("events", "amount", "stop"), marks=pytest.mark.slow),
        pytest.param(("wide", "product_by_cid", "stop"), marks=pytest.mark.slow),
    ],
    ids="-".join,
)
def test_one_long_text_repeated_does_not_fill_the_memory(case, said_of_product, tmp_path: Path):
    layout, column, _ = case
    said = said_of_product if case == PRODUCT else examined(*case, tmp_path)
    *sentences, memory = said
    assert any(f"column {column}" in line for line in sentences), said
    assert any("xxxx…" in line for line in sentences) or layout == "wide"
    assert int(memory.split()[1]) < 1_000, said
