from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tsa_model.settings.run import RunConfig
from tsa_model.simulation import (
    PATTERNS,
    VALUES,
    SimulationConfig,
    simulate_orders,
    simulate_orders_and_causes,
    simulate_orders_and_patterns,
)

CONFIG = SimulationConfig(orders=20_000)


@pytest.fixture(scope="module")
def simulated() -> tuple[pd.DataFrame, np.ndarray]:
    return simulate_orders_and_patterns(CONFIG)


@pytest.fixture(scope="module")
def orders(simulated: tuple[pd.DataFrame, np.ndarray]) -> pd.DataFrame:
    return simulated[0]


def auc(score: pd.Series, pattern: np.ndarray, name: str) -> float:
    """AUC of a score for one pattern against the orders that are no fraud."""
    genuine = np.isin(pattern, [PATTERNS.index("genuine"), PATTERNS.index("card_test")])
    fraud = pattern == PATTERNS.index(name)
    rows = genuine | fraud
    return roc_auc_score(fraud[rows], score[rows])


def test_same_seed_same_orders(orders: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(simulate_orders(CONFIG), orders)
    assert not simulate_orders(CONFIG.model_copy(update={"seed": 8})).equals(orders)


@pytest.mark.parametrize("n", [2_000, 2_001, 50_000])
def test_as_many_orders_as_asked(n: int) -> None:
    assert len(simulate_orders(SimulationConfig(orders=n))) == n


def test_columns_are_those_of_the_demo(orders: pd.DataFrame) -> None:
    demo = RunConfig.load("demo")
    dataset = demo.dataset
    keys = [dataset.order_id, dataset.customer_id, dataset.card_id, dataset.order_time, dataset.label]
    named = [*dataset.categorical, *dataset.numerical, *dataset.engineered]
    features = [name for name in named if name not in dataset.derived]
    assert list(orders.columns) == [*keys, *features]
    assert demo.simulation is not None
    assert demo.simulation.orders >= 50_000
    assert min(len(dataset.categorical), len(dataset.numerical)) >= 8
    for name, values in VALUES.items():
        assert set(orders[name]) == set(values)


def test_demo_split_lies_inside_the_simulated_days() -> None:
    demo = RunConfig.load("demo")
    assert demo.simulation.start <= demo.dataset.split.train_start
    simulated_days = (demo.dataset.split.test_end - demo.simulation.start).days
    assert simulated_days <= demo.simulation.days - demo.simulation.unknown_label_days


def test_customers_and_cards_meet_in_both_directions(orders: pd.DataFrame) -> None:
    cards = orders.groupby("customer_id")["card_id"].nunique()
    customers = orders.groupby("card_id")["customer_id"].nunique()
    assert (cards > 1).mean() > 0.3
    assert (customers > 1).mean() > 0.1
    assert 0.03 < orders["card_id"].isna().mean() < 0.15


def test_orders_are_in_time_order_and_inside_the_period(orders: pd.DataFrame) -> None:
    first, last = orders["order_time"].iloc[[0, -1]]
    assert orders["order_time"].is_monotonic_increasing
    assert orders["order_id"].tolist() == list(range(1, len(orders) + 1))
    assert first >= CONFIG.start.timestamp()
    assert last < CONFIG.start.timestamp() + (CONFIG.days + 1) * 86_400
    assert np.isfinite(orders.select_dtypes("float64").to_numpy()).all()


def test_labels_are_known_late_and_not_always(simulated: tuple[pd.DataFrame, np.ndarray]) -> None:
    orders, pattern = simulated
    known = orders["label"].notna()
    fraud = np.isin(pattern, [PATTERNS.index(name) for name in PATTERNS[1:5]])
    assert (orders["label"][known] == fraud[known]).all()
    expected = 0.045 + 0.015 + 0.015 + 0.002
    assert fraud.mean() == pytest.approx(expected, abs=1e-3)
    age_days = (orders["order_time"].max() - orders["order_time"]) / 86_400
    assert 0.005 < 1 - known[age_days > 8].mean() < 0.02
    assert known[age_days < 2].mean() < 0.35


def test_order_fraud_shows_in_the_order(simulated: tuple[pd.DataFrame, np.ndarray]) -> None:
    orders, pattern = simulated
    unusual = (
        2.0 * orders["email_domain"].eq("disposable")
        + orders["shipping"].eq("express")
        + orders["is_night"]
        + orders["log_amount"]
    )
    assert auc(unusual, pattern, "order") > 0.8
    assert 0.4 < auc(unusual, pattern, "customer") < 0.6
    assert 0.4 < auc(unusual, pattern, "card") < 0.6


def unlike_before(orders: pd.DataFrame, key: str) -> pd.Series:
    """Share of a key's earlier orders that differ from an order, summed over the habitual features."""
    habitual = ["channel", "device", "browser", "country", "email_domain"]
    keys = orders[key].astype("Int64").fillna(-orders["order_id"])
    n_earlier = orders.groupby(keys, sort=False).cumcount().clip(lower=1)
    return sum(
        1 - orders.groupby([keys, orders[name]], sort=False).cumcount() / n_earlier for name in habitual
    )


def test_customer_fraud_shows_in_the_customers_history(
    simulated: tuple[pd.DataFrame, np.ndarray],
) -> None:
    orders, pattern = simulated
    established = (orders.groupby("customer_id").cumcount() >= 5).to_numpy()
    by_customer = unlike_before(orders, "customer_id")
    assert auc(by_customer[established], pattern[established], "customer") > 0.85
    assert auc(by_customer[established], pattern[established], "card") < 0.6
    by_card = unlike_before(orders, "card_id")
    assert auc(by_card, pattern, "customer") < 0.65


def digital_goods_just_before(orders: pd.DataFrame, key: str) -> pd.Series:
    """How many of a key's last four orders were digital goods, within three days."""
    by_key = orders.groupby(orders[key].astype("Int64").fillna(-orders["order_id"]), sort=False)
    count = pd.Series(0, index=orders.index)
    for back in range(1, 5):
        recent = orders["order_time"] - by_key["order_time"].shift(back) < 3 * 86_400
        count += recent & by_key["shipping"].shift(back).eq("digital")
    return count - 10 * orders["shipping"].eq("digital")


def test_card_fraud_shows_in_the_cards_history(simulated: tuple[pd.DataFrame, np.ndarray]) -> None:
    orders, pattern = simulated
    assert auc(digital_goods_just_before(orders, "card_id"), pattern, "card") > 0.85
    assert 0.4 < auc(digital_goods_just_before(orders, "customer_id"), pattern, "card") < 0.65
    assert 0.4 < auc(digital_goods_just_before(orders, "card_id"), pattern, "customer") < 0.65


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="orders"):
        SimulationConfig(orders=10)
    with pytest.raises(ValueError, match="order_fraud_rate"):
        SimulationConfig(order_fraud_rate=0.5)


def test_episodes_are_the_takeovers_and_thefts(simulated: tuple[pd.DataFrame, np.ndarray]) -> None:
    table, causes = simulate_orders_and_causes(CONFIG)
    assert (causes.pattern == simulated[1]).all()
    names = np.array(PATTERNS)[causes.pattern]
    assert ((causes.episode >= 0) == np.isin(names, ["customer", "card", "card_test"])).all()
    table = table.assign(name=names, episode=causes.episode)
    takeovers = table[table["name"] == "customer"].groupby("episode")
    assert (takeovers["customer_id"].nunique() == 1).all()
    assert takeovers.size().between(1, 3).all()
    thefts = table[table["name"].isin(["card", "card_test"])].groupby("episode")
    assert (thefts["card_id"].nunique() == 1).all()
    for _, theft in thefts:
        tests, cash_outs = theft[theft["name"] == "card_test"], theft[theft["name"] == "card"]
        assert 3 <= len(tests) <= 6
        assert tests["order_time"].max() <= cash_outs["order_time"].min()
