from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_contracts import suites
from data_contracts.context import check
from data_contracts.sequences import check_sequences, measure_batch, validate_sequences
from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig

Batch = dict[str, np.ndarray]
V = 9
ORDERS = np.array([11, 12, 13])


@pytest.fixture
def batch() -> Batch:
    """Three targets, L = 4: a full history, one earlier order, none."""
    arrays: Batch = {"label": np.array([0, 1, 0]), "x_engineered": np.ones((3, 2), np.float32)}
    for sequence in ("cid", "ccid"):
        padding = np.array([[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]], dtype=bool)
        cat = np.array([[[1], [2], [3], [4]], [[0], [0], [5], [6]], [[0], [0], [0], [7]]])
        time_s = np.array([[30, 20, 10, 0], [0, 0, 60, 0], [0, 0, 0, 0]], dtype=np.float32)
        arrays[f"x_seq_cat_{sequence}"] = cat.copy()
        arrays[f"x_seq_num_{sequence}"] = np.where(padding, 0, 0.5)[..., None].astype(np.float32)
        arrays[f"time_seq_{sequence}"] = time_s[..., None]
        arrays[f"key_padding_mask_{sequence}"] = np.concatenate([padding, np.zeros((3, 1), bool)], axis=1)
    return arrays


def put(name: str, place: tuple, value: float) -> Callable[[Batch], None]:
    def change(batch: Batch) -> None:
        batch[name][place] = value

    return change


def rules(whose: str, sequence: str) -> dict[str, tuple[Callable[[Batch], None], int]]:
    """Rule → what breaks it, and for which target."""
    where = f"in the {whose}'s sequence"
    time, mask = f"time_seq_{sequence}", f"key_padding_mask_{sequence}"
    cat, num = f"x_seq_cat_{sequence}", f"x_seq_num_{sequence}"
    return {
        f"{where}, no order is later than the target": (put(time, (0, 2), -5), 11),
        f"{where}, no time exceeds 10^7 s": (put(time, (0, 0), 2e7), 11),
        f"{where}, the last order is the target, at time 0": (put(time, (0, 3), 3), 11),
        f"{where}, orders stand oldest first": (put(time, (0, 0), 15), 11),
        f"{where}, the last place is no padding": (put(mask, (2, 3), True), 13),
        f"{where}, the dummy token's column is not masked": (put(mask, (1, 4), True), 12),
        f"{where}, padding stands on the left only": (put(mask, (0, 1), True), 11),
        f"{where}, padding is all zeros": (put(cat, (1, 0), 3), 12),
        f"{where}, no category has a negative index": (put(cat, (0, 0), -1), 11),
        f"{where}, no category has an index above 9": (put(cat, (0, 0), 10), 11),
        f"{where}, every number is finite": (put(num, (0, 1), np.nan), 11),
    }


DUAL = {
    **rules("customer", "cid"),
    **rules("card", "ccid"),
    "both sequences of a target end in the same order": (put("x_seq_cat_ccid", (1, 3), 4), 12),
    "every engineered feature of the target is finite": (put("x_engineered", (2, 1), np.inf), 13),
}


def broken(frame: pd.DataFrame) -> dict[str, list]:
    """Broken rule → the targets that break it."""
    findings = check_sequences(frame, V)
    return {f.sentence: [e.order_id for e in f.examples] for f in findings if not f.passed}


def test_a_sound_batch_keeps_every_rule(batch: Batch) -> None:
    assert [e.description for e in suites.sequences(["cid", "ccid"], V)] == list(DUAL)
    assert broken(measure_batch(batch, ORDERS)) == {}


def test_each_rule_names_the_target_that_breaks_it(batch: Batch) -> None:
    frames = []
    for place, (change, _) in enumerate(DUAL.values()):
        changed = {name: array.copy() for name, array in batch.items()}
        change(changed)
        frames.append(measure_batch(changed, 100 * place + ORDERS))
    found = broken(pd.concat(frames, ignore_index=True))
    assert set(found) == set(DUAL)
    for place, (sentence, (_, order)) in enumerate(DUAL.items()):
        named = [target % 100 for target in found[sentence] if target // 100 == place]
        assert named == [order], sentence


def test_one_sequence_is_held_to_the_same_rules(batch: Batch) -> None:
    single = {
        "x_cat": batch["x_seq_cat_cid"],
        "x_num": batch["x_seq_num_cid"],
        "time_seq": batch["time_seq_cid"],
        "key_padding_mask": batch["key_padding_mask_cid"],
        "label": batch["label"],
    }
    assert broken(measure_batch(single, ORDERS)) == {}
    single["time_seq"][0, 1] = -1
    assert "in the customer's sequence, no order is later than the target" in broken(
        measure_batch(single, ORDERS)
    )


@pytest.mark.parametrize(
    ("column", "values"), [("order_id", [1, 1]), ("label", [0, -1]), ("outside_period_s", [0.0, 5.0])]
)
def test_targets(column: str, values: list) -> None:
    frame = pd.DataFrame({"order_id": [1, 2], "label": [0, 1], "outside_period_s": 0.0})
    assert all(finding.passed for finding in check(frame, suites.targets()))
    findings = check(frame.assign(**{column: values}), suites.targets())
    assert [finding.column for finding in findings if not finding.passed] == [column]


def test_a_built_store_keeps_the_contract(events: pd.DataFrame, run: RunConfig, tmp_path: Path) -> None:
    SequenceStore.build(events, run.dataset, tmp_path / "store")
    figures = validate_sequences(tmp_path / "store", run, tmp_path / "r.html", tmp_path / "r.json")
    assert figures["rows"] == 400
    assert figures["summary"] == f"400 targets keep {figures['checks']} rules"
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["passed"] is True
    (table,) = content["tables"]
    assert table["columns"][3:] == [
        "earlier orders of the customer",
        "none at all",
        "earlier orders of the card",
        "none at all",
    ]
    store = SequenceStore.open(tmp_path / "store")
    assert content["store_sha256"] == store.digest
    batch = store.batch(store.order_ids("test"))
    earlier = 50 - batch["key_padding_mask_ccid"].sum(dim=1).numpy()
    assert table["rows"][3][5:] == [f"{earlier.mean():.1f}", f"{(earlier == 0).mean():.1%}"]
    assert "earlier orders of the card" in (tmp_path / "r.html").read_text()


def test_a_store_without_targets_stops() -> None:
    (finding,) = check_sequences(pd.DataFrame(), V)
    assert finding.stops
    assert finding.sentence == "there are targets"
