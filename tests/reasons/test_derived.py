"""Absent orders against a store that was built without them: every tensor is the same."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pytest

from tsa_model.batch import network_inputs
from tsa_model.export.background import BackgroundOrder, ReasonsDescription
from tsa_model.export.session import ScoringSession
from tsa_model.reasons import Case, ReasonsConfig, Rules
from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig
from tsa_model.simulation import SimulationConfig, simulate_orders


class NoSession:
    """Only the names of what a network reads."""

    input_names = network_inputs("dual", engineered=True)


@pytest.fixture(scope="module")
def orders() -> pd.DataFrame:
    table = simulate_orders(SimulationConfig(orders=3_000))
    return table[table["customer_id"] % 2 == 0].reset_index(drop=True)


@pytest.fixture(scope="module")
def store(orders: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> SequenceStore:
    folder = tmp_path_factory.mktemp("whole") / "store"
    return SequenceStore.build(orders, description(), folder)


def description() -> dict:
    """The demo's, with a lag and a window of every kind that reads a column."""
    content = RunConfig.load("demo").dataset.model_dump(mode="json")
    content["windows"] += [
        {"name": "mean_amount", "key": "card", "statistic": "mean", "column": "amount", "days": [20]},
        {
            "name": "off_amount",
            "key": "customer",
            "statistic": "difference",
            "column": "amount",
            "days": [20],
        },
        {"name": "stolen", "key": "card", "statistic": "fraud_mean", "column": "amount", "days": [60]},
    ]
    content["lags"] += [
        {"name": "last_amount", "key": "customer", "statistic": "value", "column": "amount", "log": True},
        {"name": "amount_ratio", "key": "card", "statistic": "ratio", "column": "amount", "back": [2]},
        {"name": "amount_step", "key": "card", "statistic": "difference", "column": "amount"},
    ]
    content["engineered"] += [
        "mean_amount_20d", "off_amount_20d", "stolen_60d", "last_amount_1", "amount_ratio_2", "amount_step_1"
    ]  # fmt: skip
    content["numerical"] += ["card_count_1d"]  # of the current order alone: earlier ones keep theirs
    return content


def rules_of(store: SequenceStore) -> Rules:
    background = BackgroundOrder(
        order_id=0,
        categorical=(0,) * store.n_cat_features,
        numbers=(0.0,) * (store.n_num_features + store.n_engineered),
    )
    described = ReasonsDescription(settings=ReasonsConfig(), background=(background,))
    session = cast(ScoringSession, NoSession())
    return Rules(session, store.description, store.preprocessing, described)


def chosen(store: SequenceStore) -> list[int]:
    """Orders with a few earlier ones on both sides, all of them visible."""
    rows = np.arange(len(store))
    lengths = store.history_lengths(rows)
    some = rows[
        (lengths["cid"] >= 4) & (lengths["cid"] < 12) & (lengths["ccid"] >= 4) & (lengths["ccid"] < 12)
    ]
    return some[[0, len(some) // 2, -1]].tolist()


def test_rows_without_orders_are_those_of_a_store_without_them(
    orders: pd.DataFrame, store: SequenceStore, tmp_path: Path
) -> None:
    rules = rules_of(store)
    for n, row in enumerate(chosen(store)):
        case = Case(rules, store.batch_rows(np.array([row])))
        earlier = {
            side: store.ids_of(rows).tolist()
            for side, rows in zip(("customer", "card"), store.earlier(row).values(), strict=True)
        }
        everyone = sorted({*earlier["customer"], *earlier["card"]})
        removed = set(np.random.default_rng(n).permutation(everyone)[: len(everyone) // 2].tolist())
        present = np.array(
            [[not (part.back and earlier[part.side][part.back[0] - 1] in removed) for part in case.parts]]
        )
        assert 2 <= (~present).sum() < len(everyone) * 2
        found = case.rows(present, np.zeros(1, np.int64))
        left = SequenceStore.build(
            orders[~orders["order_id"].isin(removed)], description(), tmp_path / str(n), store.preprocessing
        )
        expected = left.batch(store.ids_of(np.array([row])))
        place = store.preprocessing.numerical
        current_only = list(place).index("card_count_1d")
        for name in rules.session.input_names:
            ours, theirs = found[name], expected[name].numpy()
            assert ours.dtype == theirs.dtype
            if "num" in name:  # an earlier order's own derived columns are not computed anew
                ours, theirs = ours.copy(), theirs.copy()
                ours[:, :-1, current_only] = theirs[:, :-1, current_only] = 0
            np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6, err_msg=f"{name} of row {row}")


def test_columns_of_orders_that_are_all_there_keep_every_bit(store: SequenceStore) -> None:
    case = Case(rules_of(store), store.batch_rows(np.array([chosen(store)[0]])))
    found = case.rows(np.ones((1, len(case.parts)), dtype=bool), np.zeros(1, np.int64))
    for name, values in case.row.items():
        assert (found[name] == values).all(), name


def test_what_follows_the_orders_is_no_part_of_its_own(store: SequenceStore) -> None:
    case = Case(rules_of(store), store.batch_rows(np.array([chosen(store)[0]])))
    features = {part.feature for part in case.parts if part.feature}
    assert not features & store.description.derived
    assert {part.side for part in case.parts if part.feature} == {"order"}


def test_hidden_orders_stay_where_a_history_is_cut(store: SequenceStore) -> None:
    rows = np.arange(len(store))
    row = int(rows[np.argmax(store.history_lengths(rows)["cid"])])
    case = Case(rules_of(store), store.batch_rows(np.array([row])))
    assert case.earlier("customer") == store.seq_len - 1
    place = list(store.preprocessing.engineered).index("customer_seen")
    scaler = store.preprocessing.engineered["customer_seen"]

    def seen(present: np.ndarray) -> float:
        scaled = case.rows(present[None], np.zeros(1, np.int64))["x_engineered"][0, place]
        return float(np.expm1((scaled - scaler.min) / scaler.scale))

    present = np.ones(len(case.parts), dtype=bool)
    actual = seen(present)
    latest = next(k for k, part in enumerate(case.parts) if part.side == "customer" and part.back == (1,))
    present[latest] = False
    assert seen(present) == pytest.approx(actual - 1, abs=0.01)
    present[case.members("customer")] = False
    assert seen(present) == pytest.approx(0, abs=0.01)
