"""Partial dependence of a formula, which is known."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from support.built_games import FormulaSession

from tsa_model.batch import ENGINEERED
from tsa_model.export.background import BackgroundOrder, ReasonsDescription
from tsa_model.export.session import ScoringSession
from tsa_model.reasons import ReasonsConfig, Rules
from tsa_model.reasons.dependence import QUANTILES, partial_dependence
from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig
from tsa_model.simulation import SimulationConfig, simulate_orders

ASKED = ["email_domain", "amount", "customer_count_7d", "items", "is_weekend"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SequenceStore:
    content = RunConfig.load("demo").dataset.model_dump(mode="json")
    content["engineered"].append("amount")
    folder = tmp_path_factory.mktemp("dependence") / "store"
    return SequenceStore.build(simulate_orders(SimulationConfig(orders=2_000)), content, folder)


def rules_of(store: SequenceStore) -> Rules:
    """A model that adds up the amount, which it reads in three places, and what it keeps of the history."""
    amount = list(store.preprocessing.numerical).index("amount")
    again = list(store.preprocessing.engineered).index("amount")

    def formula(batch: dict[str, np.ndarray]) -> np.ndarray:
        current = batch["x_seq_num_cid"][:, -1, amount] + batch["x_seq_num_ccid"][:, -1, amount]
        before = batch["x_seq_num_cid"][:, :-1, amount].sum(axis=1)
        return current + batch[ENGINEERED][:, again] + before

    width = store.n_num_features + store.n_engineered
    background = BackgroundOrder(order_id=0, categorical=(0,) * store.n_cat_features, numbers=(0.0,) * width)
    described = ReasonsDescription(settings=ReasonsConfig(), background=(background,))
    session: Any = FormulaSession(formula)
    return Rules(cast(ScoringSession, session), store.description, store.preprocessing, described)


def test_a_curve_is_what_the_formula_makes_of_the_number(store: SequenceStore) -> None:
    rules, rows = rules_of(store), np.arange(len(store))
    amount, items, weekend = partial_dependence(rules, store, rows, ASKED)
    assert [amount.feature, items.feature, weekend.feature] == ["amount", "items", "is_weekend"]
    assert len(amount.values) == len(QUANTILES)
    assert list(amount.values) == sorted(amount.values)
    scale = store.preprocessing.numerical["amount"].scale
    steps = np.diff(amount.mean) / np.diff(amount.values)
    assert steps == pytest.approx(np.full(len(QUANTILES) - 1, 3 * scale), rel=1e-3)
    # All else stays as it is: what the formula adds from the history moves no curve, and widens none.
    assert np.ptp(amount.high) == pytest.approx(np.ptp(amount.mean), rel=1e-5)
    assert np.subtract(amount.high, amount.low) == pytest.approx(np.zeros(len(QUANTILES)), abs=1e-5)
    assert np.ptp(items.mean) == pytest.approx(0, abs=1e-6)
    assert weekend.values == (0.0, 1.0)


def test_values_are_those_of_the_orders(store: SequenceStore) -> None:
    amount = partial_dependence(rules_of(store), store, np.arange(len(store)), ["amount"])[0]
    place = list(store.preprocessing.numerical).index("amount")
    scaler = store.preprocessing.numerical["amount"]
    raw = (store.own_values(np.arange(len(store)))[1][:, place] - scaler.min) / scaler.scale
    expected = np.quantile(raw, QUANTILES, method="nearest")
    assert amount.values == pytest.approx(expected, rel=1e-3)
    assert amount.orders == 100
