"""What cannot be used is refused with file, column and order id, or set aside; nothing half-made is left."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.event_oracle import START_S, description

from tsa_model.sequences import BadEvents, SequenceStore


def frame(n=60):
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "id": np.arange(100, 100 + n),
            "who": rng.integers(0, 4, n),
            "card": pd.array(rng.integers(0, 5, n), dtype="Int64"),
            "when": START_S + rng.integers(0, 16 * 24, n) * 3600,
            "fraud": rng.integers(0, 2, n),
            "shop": rng.choice(["a", "b"], n),
            "country": rng.choice(["DE", "FR"], n),
            "amount": rng.lognormal(3, 1, n).round(2),
            "items": rng.integers(1, 5, n).astype(float),
            "unused": "x",
        }
    )


def with_value(column, value, row=7):
    data = frame()
    if not isinstance(value, (int, float)):
        data[column] = data[column].astype(object)
    data.loc[row, column] = value
    return data


def refused(tmp_path, events, message, **changes):
    with pytest.raises(BadEvents, match=message) as error:
        SequenceStore.build(events, description(**changes), tmp_path / "out" / "store")
    assert not any((tmp_path / "out").iterdir())
    return str(error.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (frame().drop(columns="amount"), "column 'amount' is missing"),
        (with_value("id", 120), r"column id: more than one row has this order id: 2 rows, e.g. '120'"),
        (with_value("fraud", 3), r"column fraud: not 0, 1, -1 or missing: 1 rows, e.g. '3' \(order 107"),
        (with_value("amount", np.nan), r"column amount: missing: 1 rows, e.g. None \(order 107"),
        (with_value("amount", np.inf), r"column amount: not a finite number: 1 rows, e.g. 'inf' \(order 107"),
        (with_value("who", None), r"column who: missing: 1 rows"),
        (with_value("shop", "x" * 300), r"column shop: not a category of at most 256 bytes, .*: 1 rows"),
        (with_value("shop", "a\0b"), r"column shop: not a category .* none of them zero: 1 rows"),
        (frame().assign(when="yesterday"), r"column when: not a moment .*: 60 rows, e.g. 'yesterday'"),
        (frame().assign(when=lambda f: f["when"] * 1000), r"column when: not a moment .*: 60 rows"),
        (frame().head(0), "there are no rows"),
    ],
)
def test_bad_events_are_refused_by_name(tmp_path, data, message):
    path = tmp_path / "events.parquet"
    data.to_parquet(path)
    text = refused(tmp_path, path, message)
    assert str(path) in text or "more than one row" in text


def test_a_column_that_mixes_types_is_refused(tmp_path):
    refused(tmp_path, with_value("amount", "a lot"), "column 'amount' mixes types")


def test_damaged_and_disguised_files_are_refused(tmp_path):
    whole = tmp_path / "whole.parquet"
    frame(5_000).to_parquet(whole)
    data = whole.read_bytes()
    cases = {
        "empty.parquet": (b"", "is empty"),
        "text.parquet": (b"id,who\n1,2\n", "is not a Parquet file"),
        "short.parquet": (data[: len(data) // 2], "is truncated"),
        "hole.parquet": (data[:2_000] + bytes(2_000) + data[4_000:], "cannot be read"),
        "events.txt": (b"id,who\n", "unknown kind of file"),
        "empty.csv": (b"", "is empty"),
        "nothing.csv.gz": (gzip.compress(b""), "is empty: its first line names no columns"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        refused(tmp_path, tmp_path / name, f"{name}.*{message}")
    refused(tmp_path, tmp_path / "nowhere.parquet", "there is no file or folder")
    refused(tmp_path, [], "an empty list of paths")
    with gzip.open(tmp_path / "cut.csv.gz", "wb") as stream:
        stream.write(frame().to_csv(index=False).encode())
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(cut.read_bytes()[:-30])
    refused(tmp_path, cut, "cut.csv.gz cannot be read")


def test_a_flipped_bit_of_a_checksummed_file_is_refused(tmp_path):
    path = tmp_path / "events.parquet"
    pq.write_table(pa.Table.from_pandas(frame(5_000)), path, write_page_checksum=True, compression="none")
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    refused(tmp_path, path, "events.parquet cannot be read")


def test_a_vocabulary_overflow_is_refused(tmp_path):
    data = frame().assign(shop=[f"shop {i // 3}" for i in range(60)], when=START_S)
    refused(tmp_path, data, "column 'shop' has more than 10 distinct values", max_values=1)
    with pytest.raises(ValueError, match=r"column 'shop' has 20 values .* max_values=15"):
        SequenceStore.build(data, description(max_values=15), tmp_path / "store")


def test_nothing_to_fit_on_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no orders in the training window"):
        SequenceStore.build(frame().assign(when=START_S - 10), description(), tmp_path / "store")


def test_an_old_store_survives_a_failed_build(tmp_path):
    good = SequenceStore.build(frame(), description(), tmp_path / "out" / "store")
    with pytest.raises(BadEvents):
        SequenceStore.build(with_value("fraud", 7), description(), good.directory)
    assert SequenceStore.open(good.directory).digest == good.digest
    assert [path.name for path in good.directory.parent.iterdir()] == ["store"]


def test_quarantine_moves_bad_rows_aside_and_counts_them(tmp_path):
    data = with_value("amount", np.inf)
    data.loc[9, "who"] = None
    data.loc[11, "id"] = data.loc[12, "id"]
    path = tmp_path / "events.parquet"
    data.to_parquet(path)
    settings = description(on_bad_rows="quarantine", max_bad_share=0.1)
    store = SequenceStore.build(path, settings, tmp_path / "store")
    aside = pd.read_csv(store.directory / "quarantine.csv", dtype=str).set_index("_problem")
    assert store.manifest.quarantined == len(aside) == 4
    assert aside.loc["column amount: not a finite number", ["id", "_value"]].tolist() == ["107", "inf"]
    assert aside.loc["column who: missing", "id"] == "109"
    assert aside.loc["column id: more than one row has this order id", "id"].tolist() == ["112", "112"]
    assert aside["_file"].isin([str(path), "the events"]).all()

    rest = data.drop(index=[7, 9, 11, 12])
    clean = SequenceStore.build(rest, description(), tmp_path / "clean")
    ids = rest["id"].tolist()
    for name, tensor in clean.batch(ids).items():
        np.testing.assert_array_equal(store.batch(ids)[name].numpy(), tensor.numpy(), err_msg=name)


def test_quarantine_stops_above_its_share(tmp_path):
    settings = {"on_bad_rows": "quarantine", "max_bad_share": 0.01}
    refused(
        tmp_path, with_value("fraud", 9), r"1 of 60 rows cannot be used \(max_bad_share=0.01\)", **settings
    )


def test_a_missing_number_stands_for_the_median_only_where_it_may(tmp_path):
    data = frame().assign(when=START_S)
    data.loc[3, "items"] = np.nan
    store = SequenceStore.build(data, description(), tmp_path / "store")
    scaling = store.preprocessing.numerical["items"]
    assert scaling.default == data["items"].median()
    got = store.batch([103])["x_seq_num_cid"][0, -1, 1]
    assert got == np.float32(scaling.default * scaling.scale + scaling.min)


def flipped(data, place):
    damaged = bytearray(data)
    damaged[place] ^= 1
    return bytes(damaged)


def test_every_file_of_a_store_is_vouched_for(tmp_path):
    settings = description(known_label=True, on_bad_rows="quarantine", max_bad_share=0.1)
    store = SequenceStore.build(with_value("amount", np.inf), settings, tmp_path / "store")
    names = sorted(path.name for path in store.directory.iterdir())
    assert len(names) > 25
    assert "quarantine.csv" in names
    for name in names:
        file = store.directory / name
        data = file.read_bytes()
        damages = {
            "first byte": flipped(data, 0),
            "middle byte": flipped(data, len(data) // 2),
            "last byte": flipped(data, -1),
            "cut short": data[:-1],
            "too long": data + b"\0",
        }
        for damage, content in damages.items():
            file.write_bytes(content)
            with pytest.raises(ValueError, match="build the store again") as error:
                SequenceStore.open(store.directory)
            assert name in str(error.value), damage
        file.unlink()
        with pytest.raises(ValueError, match=name):
            SequenceStore.open(store.directory)
        file.write_bytes(data)
    assert SequenceStore.open(store.directory).digest == store.digest
