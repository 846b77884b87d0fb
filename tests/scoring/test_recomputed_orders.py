"""Orders that are computed again: rebuilt from the events, of every kind that occurs, held to bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from support.batches import ragged_batch, tiny_config, tiny_network

from tsa_model.batch import rows_of
from tsa_model.export import other_routing
from tsa_model.export.other_routing import OtherRoutings
from tsa_model.network.blocks import MixtureOfExperts
from tsa_model.scoring.proof.own_lines import Selection, period_selection, read_own_lines
from tsa_model.scoring.proof.plain_orders import batch_of
from tsa_model.scoring.proof.raw_orders import RawOrders
from tsa_model.scoring.proof.recomputing import rebuild_orders
from tsa_model.scoring.proof.sampling import Candidates, choose_orders, witnesses
from tsa_model.scoring.proof.score_files import ScoreFile
from tsa_model.scoring.proof.truth import allowed_scores, excused_scores, logits_of
from tsa_model.sequences import SequenceStore

REPOSITORY = Path(__file__).parents[2]
WINDOWS = [
    {"name": "mean", "key": "customer", "statistic": "mean", "column": "amount", "days": [7, 30]},
    {"name": "ratio", "key": "customer", "statistic": "ratio", "column": "amount", "days": [3]},
    {"name": "risk", "key": "card", "statistic": "label_rate", "days": [14]},
    {"name": "known", "key": "card", "statistic": "label_count", "days": [14]},
    {"name": "count", "key": "card", "statistic": "count", "days": [10]},
    {"name": "stolen", "key": "card", "statistic": "fraud_mean", "column": "amount", "days": [14]},
]


# Rebuilding


def rebuilt(events: Any, store: SequenceStore, rows: np.ndarray) -> dict[str, torch.Tensor]:
    """The tensors of some orders, from the events alone."""
    raw = RawOrders(events, store.description)
    files = [score_file(store.ids_of(rows))]
    own = read_own_lines(raw, files, {"test": Selection()}, pa.array(store.ids_of(rows).tolist()))
    assert own.statements[0].holds
    orders = rebuild_orders(raw, own.keys)
    sequences = "dual" if len(store.keys) == 2 else "single"
    return batch_of(orders, store.preprocessing, store.description, sequences)


def score_file(order_id: np.ndarray, label: np.ndarray | None = None) -> ScoreFile:
    n = len(order_id)
    return ScoreFile(
        period="test",
        folder=Path(),
        order_id=order_id,
        time_us=np.arange(n),
        score=np.linspace(0, 1, n, dtype=np.float32),
        percentile=None,
        probability=None,
        label=np.zeros(n, np.int64) if label is None else label,
        origin={},
    )


@pytest.mark.parametrize("time_cap", ["element", "legacy"])
def test_an_order_rebuilt_alone_has_the_stores_tensors(scored, tmp_path, time_cap) -> None:
    content = scored.run.dataset.model_dump(mode="json")
    content |= {"windows": WINDOWS, "known_label": True, "time_cap": time_cap}
    content |= {"calendar": ["weekday", "hour", "night"]}
    content["categorical"] += ["night", "weekday"]
    content["numerical"] = [*content["numerical"], "ratio_3d", "count_10d"]
    content["engineered"] += ["mean_7d", "mean_30d", "risk_14d", "known_14d", "stolen_14d", "weekday"]
    store = SequenceStore.build(scored.events, content, tmp_path / "store")
    rows = np.random.default_rng(0).choice(len(store), 120, replace=False)
    expected = store.batch_rows(rows)
    for name, tensor in rebuilt(scored.events, store, rows).items():
        assert tensor.dtype == expected[name].dtype
        assert torch.equal(tensor, expected[name]), name


LAGS = [
    {"name": "gap", "key": "customer", "statistic": "gap", "back": [1, 3], "log": True},
    {"name": "card_gap", "key": "card", "statistic": "gap"},
    {
        "name": "before",
        "key": "customer",
        "statistic": "value",
        "column": "amount",
        "back": [1, 2],
        "log": True,
    },
    {"name": "step", "key": "customer", "statistic": "difference", "column": "amount"},
    {"name": "times", "key": "card", "statistic": "ratio", "column": "amount"},
    {"name": "orders", "key": "customer", "statistic": "position", "log": True},
]


def test_lags_logarithms_and_folded_texts_are_rebuilt_too(scored, tmp_path) -> None:
    content = scored.run.dataset.model_dump(mode="json")
    category = content["categorical"][0]
    same = {"name": "same", "key": "customer", "statistic": "same", "column": category, "back": [1, 2]}
    difference = WINDOWS[0] | {"name": "above", "statistic": "difference"}
    content |= {"lags": [*LAGS, same], "windows": [difference], "logs": ["amount"], "fold_text": True}
    content["numerical"] = ["amount", "gap_1", "gap_3", "before_1", "before_2", "times_1", "same_1", "orders"]
    content["engineered"] = ["card_gap_1", "step_1", "same_2", "above_7d", "log_amount"]
    events = scored.events.copy()
    events.loc[::3, category] = "  " + events[category].str.upper() + " "
    cards = events[scored.run.dataset.card_id]
    events[scored.run.dataset.card_id] = ("card_" + cards.astype(str)).where(cards.notna())
    events.loc[::4, scored.run.dataset.card_id] = (" CARD-" + cards.astype(str)).where(cards.notna())
    content["fold_keys"] = [scored.run.dataset.card_id]
    store = SequenceStore.build(events, content, tmp_path / "store")
    rows = np.random.default_rng(0).choice(len(store), 120, replace=False)
    expected = store.batch_rows(rows)
    for name, tensor in rebuilt(events, store, rows).items():
        assert torch.equal(tensor, expected[name]), name


def test_a_wide_row_rebuilt_alone_has_the_stores_tensors(tmp_path) -> None:
    events = REPOSITORY / "tests" / "cases" / "wide.parquet"
    store = SequenceStore.build(events, events.with_suffix(".yaml"), tmp_path / "store")
    rows = np.arange(0, len(store), max(1, len(store) // 60))
    expected = store.batch_rows(rows)
    for name, tensor in rebuilt(events, store, rows).items():
        assert torch.equal(tensor, expected[name]), name


def test_targets_of_a_period_are_those_of_the_store(scored) -> None:
    raw = RawOrders(scored.events, scored.run.dataset)
    for period in ("vali", "cali", "test"):
        selection = period_selection(scored.run.dataset, period)
        ids = [lines.order_id.filter(pa.array(selection.of(lines))).to_pylist() for lines in raw.lines()]
        assert {one for part in ids for one in part} == set(scored.store.order_ids(period).tolist())


# Sampling


def candidates(n: int, calls_of: int = 64) -> Candidates:
    rng = np.random.default_rng(1)
    lengths = rng.integers(1, 9, (n, 2)).astype(np.int16)
    return Candidates.of(score_file(np.arange(n) * 7, rng.integers(0, 2, n)), lengths, 8, calls_of)


def test_the_sample_covers_ends_kinds_and_edges_of_calls() -> None:
    one = candidates(5_000)
    (chosen,) = choose_orders([one], 400, "ab" * 32)
    assert len(chosen) == 400
    assert {0, 4_999, 2_047, 2_048, 4_096} <= set(chosen.tolist())
    kinds = set(map(tuple, np.column_stack([one.lengths, one.file.label]).tolist()))
    bounded = {tuple(np.minimum(kind, [8, 8, 1])) for kind in kinds}
    lengths = {tuple(pair) for pair in one.lengths[chosen].tolist()}
    assert {length for pair in lengths for length in pair} == set(range(1, 9))
    assert {label for *_, label in bounded} == set(one.file.label[chosen].tolist())
    call, place = one.calls
    assert {0, int(call.max())} <= set(call[chosen].tolist())
    assert (place[chosen] == 0).sum() > 10
    assert chosen.tolist() != choose_orders([one], 400, "cd" * 32)[0].tolist()


def test_every_call_has_a_witness() -> None:
    one = candidates(5_000)
    chosen = witnesses(one, "ab" * 32)
    assert sorted(one.calls.call[chosen].tolist()) == list(range(int(one.calls.call.max()) + 1))
    assert np.bincount(one.calls.call).max() == 64


def test_a_small_file_is_recomputed_whole() -> None:
    (chosen,) = choose_orders([candidates(5)], 240, "ab" * 32)
    assert chosen.tolist() == [0, 1, 2, 3, 4]


# Bounds


def test_a_tiny_score_may_not_be_rounded_to_zero() -> None:
    logits = np.array([[9.0, -9.0], [0.0, 0.0], [-20.0, 20.0]])
    score = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    allowed = allowed_scores(logits)
    assert allowed.holds(score.astype(np.float32)).all()
    assert not allowed.holds(np.array([0.0, 0.5001, np.nan], np.float32)).any()


def test_a_tie_is_excused_by_the_other_routings_score_only(monkeypatch) -> None:
    network = tiny_network(tiny_config(num_experts=4))
    reference = network.twin("reference", moe_eval="deterministic").double().eval()
    layer = next(module for module in reference.modules() if isinstance(module, MixtureOfExperts))
    with torch.no_grad():  # the two best experts of no token are these two, but second and third often
        layer.gate.w_gating[:, 2] = layer.gate.w_gating[:, 1]
    batch = rows_of(ragged_batch(network.config), slice(2, 3))  # two ties, four routings
    routings = [routing.outputs for routing in OtherRoutings(reference, 0)(batch)]
    other = max(routings, key=lambda outputs: abs(outputs["score"][0] - routings[0]["score"][0]))
    score, wrong = other["score"].astype(np.float32), np.array([True])
    assert not allowed_scores(logits_of(reference, batch)).holds(score)[0]
    assert excused_scores(reference, batch, score, wrong)[0]
    assert not excused_scores(reference, batch, score + np.float32(1e-3), wrong)[0]
    monkeypatch.setattr(other_routing, "MOST_ROUTINGS", len(routings) - 1)
    assert len(list(OtherRoutings(reference, 0)(batch))) == len(routings) - 1 > 1
