"""The same store, byte by byte, from Spark as from inside the process."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from support.event_oracle import START_S, description

from tsa_model.sequences import BadEvents, SequenceStore

pytest.importorskip("pyspark")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def spark():
    """A small local session; the engine takes the one that is active."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        from pyspark.sql import SparkSession

        settings = {
            "spark.ui.enabled": "false",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.shuffle.partitions": "3",
        }
        session = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
        session.sparkContext.setLogLevel("ERROR")
        yield session
        session.stop()


def frame(n=900):
    rng = np.random.default_rng(4)
    data = pd.DataFrame(
        {
            "id": [f"o{i}" for i in rng.permutation(n)],
            "who": [f"c{i}" for i in rng.integers(0, 40, n)],
            "card": pd.array(rng.integers(0, 60, n), dtype="Int64"),
            "when": START_S + rng.integers(0, 16 * 24, n) * 3600,
            "fraud": pd.array(rng.integers(0, 2, n), dtype="Int64"),
            "shop": rng.choice(["a", "b", "Ä", "ß"], n),
            "country": rng.choice(["DE", "FR"], n),
            "amount": rng.lognormal(3, 1, n),
            "items": rng.integers(1, 5, n).astype(float),
        }
    )
    data.loc[::9, ["card", "fraud"]] = pd.NA
    return data


def files(folder, data, form):
    folder.mkdir()
    for place, first in enumerate(range(0, len(data), 300)):
        part = data.iloc[first : first + 300]
        if form == "csv":
            part.to_csv(folder / f"{place}.csv", index=False)
        else:
            part.to_parquet(folder / f"{place}.parquet")
    return folder


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_both_engines_write_the_same_bytes(spark, tmp_path, form):
    data = frame()
    if form == "csv":
        data["id"] = data["id"].str[1:]
    windows = [{"name": "m", "key": "customer", "statistic": "mean", "column": "amount", "days": [2]}]
    settings = description(windows=windows, engineered=["m_2d"], known_label=True)
    events = files(tmp_path / "events", data, form)
    one = SequenceStore.build(events, settings, tmp_path / "duckdb")
    two = SequenceStore.build(events, settings, tmp_path / "spark", engine="pyspark")
    assert one.digest == two.digest
    assert one.manifest.orders == len(data)


def test_both_engines_set_the_same_rows_aside(spark, tmp_path):
    data = frame()
    data.loc[5, "amount"] = np.inf
    data.loc[400, "who"] = None
    data.loc[610, "id"] = data.loc[3, "id"]
    events = files(tmp_path / "events", data, "parquet")
    with pytest.raises(BadEvents, match="4 of 900 rows cannot be used"):
        SequenceStore.build(events, description(), tmp_path / "spark", engine="pyspark")
    settings = description(on_bad_rows="quarantine", max_bad_share=0.5)
    one = SequenceStore.build(events, settings, tmp_path / "duckdb")
    two = SequenceStore.build(events, settings, tmp_path / "spark", engine="pyspark")
    assert one.digest == two.digest
    assert one.manifest.quarantined == 4


def test_errors_on_executors_keep_their_words(spark, tmp_path):
    events = files(tmp_path / "events", frame(), "parquet")
    path = events / "2.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BadEvents, match=r"2\.parquet is truncated"):
        SequenceStore.build(events, description(), tmp_path / "store", engine="pyspark")
    with pytest.raises(BadEvents, match="column 'amount' is missing"):
        SequenceStore.build(
            frame().drop(columns="amount"), description(), tmp_path / "store", engine="pyspark"
        )
    assert not (tmp_path / "store").exists()
