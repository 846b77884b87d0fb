"""The replay passes on what is right, and finds what is wrong."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tsa_model.online.check import check_online


@pytest.fixture(scope="module")
def events(scored) -> pa.Table:
    return pa.Table.from_pandas(scored.events, preserve_index=False)


def test_the_replay_of_a_run_passes_and_finds_planted_faults(scored, events, tmp_path) -> None:
    model = scored.scores / "model"
    verdict = check_online(events, scored.store.directory, model, tmp_path / "work", most_streamed=300)
    assert verdict.passed, verdict
    assert (verdict.different_tensors, verdict.different_scores, verdict.example) == (0, 0, None)
    assert verdict.streamed == 300
    assert verdict.compared > 100
    assert verdict.without_card_history
    assert verdict.skews == {
        "a history one order short": True,
        "times an hour off": True,
        "a label a day early": None,  # the demo's sequences hold no labels
        "another scaler": True,
    }
    assert not list(tmp_path.iterdir())


def test_other_orders_than_the_batch_had_are_found(scored, events, tmp_path) -> None:
    amount = events["amount"].to_numpy().copy()
    changed = np.flatnonzero(events["order_id"].to_numpy() < np.median(events["order_id"].to_numpy()))
    amount[changed] *= 1.01
    place = events.column_names.index("amount")
    events = events.set_column(place, "amount", pa.array(amount))
    model = scored.scores / "model"
    verdict = check_online(events, scored.store.directory, model, tmp_path / "work", most_streamed=150)
    assert not verdict.passed
    assert verdict.different_tensors > 0
    assert verdict.example is not None
    assert "x_seq_num" in verdict.example
