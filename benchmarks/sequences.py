"""How fast sequences are made, as ratios against the plain ways of making them.

    python benchmarks/sequences.py [--events 200000] [--wide-rows 1500] [--rounds 5]

Alternates the two sides of each ratio in one process and reports medians, so that other load on the machine
hits both alike. Times are CPU seconds where the work is single-threaded.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from sequence_data import N_CAT, N_NUM, SEQ_LEN, describe, simulate, simulate_wide
from torch.utils.data import DataLoader, Dataset

from tsa_model.sequences import SequenceStore, parse_wide_rows

BATCH = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000, help="rows of the simulated event log")
    parser.add_argument("--wide-rows", type=int, default=1_500, help="wide rows to parse")
    parser.add_argument("--rounds", type=int, default=5, help="repetitions, of which the median counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = benchmark_build(Path(folder), options.events)
        benchmark_bytes(store)
        benchmark_batches(store, options.rounds)
    benchmark_wide(options.wide_rows, options.rounds)


def benchmark_build(folder: Path, n: int) -> SequenceStore:
    path = folder / "events.parquet"
    simulate(n).to_parquet(path)
    wall, cpu = time.perf_counter(), time.process_time()
    store = SequenceStore.build(path, describe(), folder / "store")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    rate = f"{n / wall:,.0f} events/s, {cpu:.1f} CPU-s"
    print(f"{'build':<26} {n:,} events, {N_CAT} + {N_NUM} features: {rate}")
    return store


def benchmark_bytes(store: SequenceStore) -> None:
    size = sum(entry.bytes for entry in store.manifest.files.values())
    per_target = 2 * SEQ_LEN * (N_CAT * 8 + (N_NUM + 2) * 8)  # int64 and float64, two sequences
    ratio = per_target * len(store) / size
    each = f"{size / len(store):,.0f} per event against {per_target:,} dense"
    print(f"{'bytes':<26} {each}: {ratio:.0f} times fewer")


def benchmark_batches(store: SequenceStore, rounds: int) -> None:
    rows = np.random.default_rng(0).choice(store.targets("train"), 4 * BATCH, replace=False)
    whole = store.batch_rows(rows)

    def ours() -> None:
        for first in range(0, len(rows), BATCH):
            store.batch_rows(rows[first : first + BATCH])

    datasets = (
        (StoreDataset(store.directory, rows), "the same store"),
        (DenseDataset(whole), "padded arrays in memory"),
        (RaggedDataset(whole), "ragged arrays in memory, already cut out"),
    )
    for dataset, kind in datasets:
        in_order = next(iter(DataLoader(dataset, batch_size=len(rows))))
        for name, tensor in whole.items():
            torch.testing.assert_close(in_order[name], tensor, rtol=0, atol=0)
        loader = DataLoader(dataset, batch_size=BATCH, shuffle=True)
        fast, slow = alternate(ours, partial(deque, loader, maxlen=0), rounds, time.perf_counter)
        against = f"a dataset of single orders from {kind} and its loader, B = {BATCH}, both sequences"
        report("batches", "samples/s", len(rows), fast, slow, against)


def benchmark_wide(n: int, repetitions: int) -> None:
    rows, meta = simulate_wide(n)
    few = rows[: max(1, n // 10)]
    table = pa.Table.from_pylist(rows)  # what reading a file gives
    columns = f"{len(rows[0])} text columns, up to {SEQ_LEN - 1} entries"
    for parse, kind in (
        (parse_row_by_feature, "a per-row parser with an array per feature, the legacy's kind"),
        (parse_row, "the leanest loop over a row's values"),
    ):
        parsed, expected = parse_wide_rows(few, meta), [parse(row, meta) for row in few]
        for name, array in parsed.items():
            np.testing.assert_array_equal(array, np.stack([row[name] for row in expected]))
        for given, form in ((table, "as a table"), (rows, "as dictionaries")):
            fast, slow = alternate(
                partial(parse_wide_rows, given, meta),
                partial(_each, parse, few, meta),
                repetitions,
                time.process_time,
            )
            against = f"{kind}, {columns}"
            report(f"wide rows {form}", "rows/CPU-s", n, fast, slow * n / len(few), against)


def _each(parse: Callable[..., Any], rows: list[dict[str, str]], meta: dict[str, Any]) -> list[Any]:
    return [parse(row, meta) for row in rows]


def alternate(
    one: Callable[[], Any], two: Callable[[], Any], rounds: int, clock: Callable[[], float]
) -> tuple[float, float]:
    """Median seconds of both sides, run in turn after one round to warm up."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for side, call in zip(seconds, (one, two), strict=True):
            began = clock()
            call()
            side.append(clock() - began)
    return statistics.median(seconds[0][1:]), statistics.median(seconds[1][1:])


def report(what: str, unit: str, n: int, fast: float, slow: float, against: str) -> None:
    ratio = slow / fast
    print(f"{what:<26} {n / fast:,.0f} {unit} against {n / slow:,.0f} of {against}: {ratio:.1f} times")


def padded(key: str, cat: np.ndarray, num: np.ndarray, time_s: np.ndarray) -> dict[str, torch.Tensor]:
    """One order's sequence, as long as it is, in the tensors of a network's input."""
    x_cat = torch.zeros(SEQ_LEN, N_CAT, dtype=torch.long)
    x_num = torch.zeros(SEQ_LEN, N_NUM)
    time_seq = torch.zeros(SEQ_LEN, 1)
    mask = torch.ones(SEQ_LEN + 1, dtype=torch.bool)
    for tensor, values in ((x_cat, cat), (x_num, num), (time_seq, time_s)):
        tensor[-len(values) :] = torch.from_numpy(values)
    mask[SEQ_LEN - len(cat) :] = False
    return {
        f"x_seq_cat_{key}": x_cat,
        f"x_seq_num_{key}": x_num,
        f"time_seq_{key}": time_seq,
        f"key_padding_mask_{key}": mask,
    }


class StoreDataset(Dataset):
    """Orders one by one from the store's own files: the same input and the same tensors, row by row."""

    def __init__(self, folder: Path, rows: np.ndarray) -> None:
        self.rows = rows
        self.files = {path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> dict[str, torch.Tensor]:
        files, row = self.files, self.rows[place]
        now_us = files["time_us"][row]
        sample = {"label": torch.tensor(files["label"][row], dtype=torch.long)}
        for key in ("cid", "ccid"):
            end, target = files[f"{key}_end"][row], files[f"{key}_position"][row]
            history = slice(max(files[f"{key}_start"][row], end - SEQ_LEN + 1), end)
            cat, num = (
                np.concatenate([files[f"{key}_{kind}"][history], files[f"{key}_{kind}"][target][None]])
                for kind in ("categorical", "numerical")
            )
            age_s = np.minimum((now_us - files[f"{key}_time_us"][history]) / 1e6, 1e7)
            sample |= padded(key, cat, num, np.append(age_s, 0)[:, None])
        return sample


class DenseDataset(Dataset):
    """Orders one by one from padded arrays, as the legacy keeps them: time and not_padded as last columns."""

    def __init__(self, batch: dict[str, torch.Tensor]) -> None:
        self.y = batch["label"].numpy()
        self.x_seq_cat, self.x_seq_num = {}, {}
        for key in ("cid", "ccid"):
            not_padded = ~batch[f"key_padding_mask_{key}"][:, :-1, None]
            parts = (batch[f"x_seq_num_{key}"], batch[f"time_seq_{key}"], not_padded)
            self.x_seq_cat[key] = batch[f"x_seq_cat_{key}"].numpy()
            self.x_seq_num[key] = torch.cat(parts, dim=2).double().numpy()

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        sample = {"label": torch.tensor(self.y[row])}
        for key in ("cid", "ccid"):
            num = self.x_seq_num[key][row]
            is_padding = torch.from_numpy(num[:, -1] == 0)
            sample |= {
                f"x_seq_cat_{key}": torch.tensor(self.x_seq_cat[key][row], dtype=torch.long),
                f"x_seq_num_{key}": torch.tensor(num[:, :-2], dtype=torch.float32),
                f"time_seq_{key}": torch.tensor(num[:, -2:-1], dtype=torch.float32),
                f"key_padding_mask_{key}": torch.cat([is_padding, torch.zeros(1, dtype=torch.bool)]),
            }
        return sample


class RaggedDataset(Dataset):
    """Orders one by one from arrays without padding, one pair per order and key; padded when asked for."""

    def __init__(self, batch: dict[str, torch.Tensor]) -> None:
        self.y = batch["label"].numpy()
        self.sequences: dict[str, list[tuple[np.ndarray, ...]]] = {}
        for key in ("cid", "ccid"):
            names = [f"{name}_{key}" for name in ("x_seq_cat", "x_seq_num", "time_seq")]
            padded = zip(*(batch[name].numpy() for name in names), strict=True)
            length = (~batch[f"key_padding_mask_{key}"][:, :-1]).sum(dim=1).tolist()
            self.sequences[key] = [
                tuple(array[SEQ_LEN - n :].copy() for array in arrays)
                for arrays, n in zip(padded, length, strict=True)
            ]

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        sample = {"label": torch.tensor(self.y[row])}
        for key in ("cid", "ccid"):
            sample |= padded(key, *self.sequences[key][row])
        return sample


def parse_row_by_feature(row: dict[str, str], meta: dict[str, Any]) -> dict[str, np.ndarray]:
    """Parse one wide row with an array per feature."""
    arrays: dict[str, np.ndarray] = {}
    for key in ("cid", "ccid"):
        cat_ids, num_ids = (np.array(row[f"{kind}_objectId_by_{key}"].split("~")) for kind in ("cat", "num"))
        in_cat = np.flatnonzero(np.isin(cat_ids, num_ids) & (cat_ids != ""))[1 - SEQ_LEN :]
        by_id = np.argsort(num_ids, kind="stable")
        in_num = by_id[np.searchsorted(num_ids, cat_ids[in_cat], sorter=by_id)]
        length = len(in_cat) + 1
        cat = np.zeros((SEQ_LEN, len(meta["categorical"])), dtype=np.int16)
        num = np.zeros((SEQ_LEN, len(meta["numerical"]) + 2))

        def values(name: str, kept: np.ndarray, key: str = key) -> np.ndarray:
            text = np.append(np.array(row[f"{name}_by_{key}"].split("~"))[kept], row[name])
            return np.where(np.isin(text, ("", "My Text String")), meta["default_values"][name], text)

        for place, name in enumerate(meta["categorical"]):
            index = meta["categorical_map"][name]
            cat[-length:, place] = [index.get(value, 0) for value in values(name, in_cat)]
        parameters = zip(meta["numerical"], meta["numerical_scale"], meta["numerical_min"], strict=True)
        for place, (name, factor, low) in enumerate(parameters):
            num[-length:, place] = values(name, in_num).astype(np.float64) * factor + low
        dates = np.array(row[f"cat_orderDate_by_{key}"].split("~"))[in_cat]
        num[-length:, -2] = int(row["orderDate"]) - np.append(dates, row["orderDate"]).astype(np.int64)
        num[-length:, -1] = 1
        arrays[f"{key}_cat"], arrays[f"{key}_num"] = cat, num
    return arrays


def parse_row(row: dict[str, str], meta: dict[str, Any]) -> dict[str, np.ndarray]:
    """Parse one wide row, order by order."""
    arrays = {}
    for key in ("cid", "ccid"):
        history = {name: row[f"{name}_by_{key}"].split("~") for name in meta["columns"]}
        place = {order: i for i, order in enumerate(history["num_objectId"])}
        both = [(i, place[o]) for i, o in enumerate(history["cat_objectId"]) if o and o in place]
        cat, num = [], []
        for in_cat, in_num in both[1 - SEQ_LEN :]:
            cat.append([category(name, history[name][in_cat], meta) for name in meta["categorical"]])
            values = [number(name, history[name][in_num], meta) for name in meta["numerical"]]
            delta_s = int(row["orderDate"]) - int(history["num_orderDate"][in_num])
            num.append([*scale(values, meta), delta_s, 1.0])
        cat.append([category(name, row[name], meta) for name in meta["categorical"]])
        values = [number(name, row[name], meta) for name in meta["numerical"]]
        num.append([*scale(values, meta), 0, 1.0])
        padding = ((SEQ_LEN - len(cat), 0), (0, 0))
        arrays[f"{key}_cat"] = np.pad(np.array(cat, dtype=np.int16), padding)
        arrays[f"{key}_num"] = np.pad(np.array(num), padding)
    return arrays


def scale(values: list[float], meta: dict[str, Any]) -> list[float]:
    parameters = zip(values, meta["numerical_scale"], meta["numerical_min"], strict=True)
    return [value * scale + low for value, scale, low in parameters]


def category(name: str, text: str, meta: dict[str, Any]) -> int:
    value = meta["default_values"][name] if text in ("", "My Text String") else text
    return meta["categorical_map"][name].get(value, 0)


def number(name: str, text: str, meta: dict[str, Any]) -> float:
    return float(meta["default_values"][name] if text in ("", "My Text String") else text)


if __name__ == "__main__":
    main()
