"""Small event logs with every feature that depends on earlier orders, and stores to keep them in."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from support import event_oracle

from tsa_model.online.histories import Histories
from tsa_model.online.lmdb_store import LmdbStore
from tsa_model.online.redis_store import RedisStore
from tsa_model.online.requirements import columns_of
from tsa_model.sequences import SequenceStore
from tsa_model.settings.dataset import DatasetDescription

DAY_S = event_oracle.DAY_S


def description(**changes) -> DatasetDescription:
    """Windows and lags of every kind, in sequences too; a known label; the calendar; ids as text."""
    content = event_oracle.description(
        seq_len=6,
        known_label=True,
        label_delay_days=1.5,
        calendar=["hour", "night"],
        numeric_categorical=["country"],
        windows=[
            {"name": "spent", "key": "customer", "statistic": "mean", "column": "amount", "days": [2]},
            {"name": "many", "key": "card", "statistic": "count", "days": [1, 3]},
            {"name": "ratio", "key": "card", "statistic": "ratio", "column": "amount", "days": [3]},
            {"name": "risk", "key": "customer", "statistic": "label_rate", "days": [4]},
            {"name": "labels", "key": "card", "statistic": "label_count", "days": [2]},
            {"name": "off", "key": "customer", "statistic": "difference", "column": "items", "days": [3]},
            {"name": "stolen", "key": "card", "statistic": "fraud_mean", "column": "amount", "days": [2, 6]},
            {"name": "lost", "key": "customer", "statistic": "fraud_mean", "column": "items", "days": [4]},
        ],
        lags=[
            {"name": "gap", "key": "customer", "statistic": "gap", "back": [1, 3], "log": True},
            {"name": "card_gap", "key": "card", "statistic": "gap"},
            {"name": "last", "key": "customer", "statistic": "value", "column": "items", "back": [2]},
            {"name": "more", "key": "card", "statistic": "difference", "column": "amount"},
            {"name": "times", "key": "customer", "statistic": "ratio", "column": "amount", "back": [1, 7]},
            {"name": "shop", "key": "card", "statistic": "same", "column": "shop"},
            {"name": "land", "key": "customer", "statistic": "same", "column": "country", "back": [2]},
            {"name": "seen", "key": "customer", "statistic": "position", "log": True},
            {"name": "card_seen", "key": "card", "statistic": "position"},
        ],
    )
    content["categorical"] = ["shop", "country", "hour"]
    content["numerical"] = ["amount", "items", "many_1d", "risk_4d", "ratio_3d", "labels_2d", "stolen_2d"]
    content["numerical"] += ["seen", "shop_1", "times_7", "card_gap_1"]
    content["engineered"] = ["amount", "spent_2d", "many_3d", "risk_4d", "night", "off_3d"]
    content["engineered"] += ["stolen_6d", "lost_4d"]
    content["engineered"] += ["gap_1", "gap_3", "card_gap_1", "last_2", "more_1", "times_1", "times_7"]
    content["engineered"] += ["shop_1", "land_2", "seen", "card_seen"]
    return DatasetDescription.model_validate(content | changes)


def orders(n: int = 220, seed: int = 0, customers: int = 4) -> list[dict]:
    """Raw orders as JSON holds them, by time: few keys, many ties, missing cards and values."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        card = int(random.integers(-1, 5))
        rows.append(
            {
                "id": f"o{random.integers(10**6)}-{number}",
                "who": f"customer {random.integers(customers)}",
                "card": None if card < 0 else f"card {card}",
                "when": event_oracle.START_S + int(random.integers(16 * 48)) * 1800,
                "fraud": [None, 0, 0, 1][random.integers(4)],
                "shop": [None, "a", " A", "b", "ü", "x" * 40][random.integers(6)],
                "country": ["1", "2.0", "2", "7.5"][random.integers(4)],
                "amount": float(np.round(random.lognormal(3, 2), 2)),
                "items": None if random.random() < 0.2 else int(random.integers(9)),
            }
        )
    return sorted(rows, key=lambda row: (row["when"], row["id"]))


def as_table(rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(rows)


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def histories(folder: Path, built: SequenceStore, **options) -> Histories:
    """Empty histories that encode as a store does."""
    store = LmdbStore.create(folder, columns_of(built.description, **options))
    return Histories(built.description, built.preprocessing, "dual", store)


def over_redis(url: str, built: SequenceStore) -> Histories:
    """The histories in a Redis, which encode as a store does."""
    return Histories(built.description, built.preprocessing, "dual", RedisStore(url))


def assert_same(batch: dict, wanted: dict, what: object = "") -> None:
    """Every tensor is equal, byte for byte."""
    for name, tensor in wanted.items():
        if name == "label":
            continue
        expected = tensor.numpy()
        assert batch[name].dtype == expected.dtype, (what, name)
        assert batch[name].shape == expected.shape, (what, name)
        assert batch[name].tobytes() == expected.tobytes(), (what, name)


def wide_row(scored, rows: list[dict], place: int) -> dict:
    """An order in the wide layout, its histories from the log."""
    d = scored.store.description
    target = rows[place]
    row = {name: target[name] for name in (*d.categorical, *d.numerical, *d.engineered)}
    row |= {"order_id": target["order_id"], "order_time": target["order_time"]}
    for key, column in (("cid", d.customer_id), ("ccid", d.card_id)):
        earlier = [
            each
            for each in rows[:place]
            if target[column] is not None
            and each[column] == target[column]
            and each["order_time"] < target["order_time"]
        ]
        for kind, names in (("cat", d.categorical), ("num", d.numerical)):
            row[f"{kind}_objectId_by_{key}"] = "~".join(str(each["order_id"]) for each in earlier)
            row[f"{kind}_orderDate_by_{key}"] = "~".join(each["order_time"] for each in earlier)
            for name in names:
                row[f"{name}_by_{key}"] = "~".join("" if e[name] is None else str(e[name]) for e in earlier)
    return row
