"""Card payments: what the description of the simulator says can be seen in them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tsa_model.simulation import CardPaymentsConfig, simulate_card_payments

CONFIG = CardPaymentsConfig(payments=12_000, days=90)


@pytest.fixture(scope="module")
def payments() -> pd.DataFrame:
    return simulate_card_payments(CONFIG)


def test_the_same_settings_give_the_same_payments(payments: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(simulate_card_payments(CONFIG), payments)
    other = simulate_card_payments(CONFIG.changed(seed=1))
    assert not other["amount"].equals(payments["amount"])


def test_size_time_and_fraud_rate_are_as_asked(payments: pd.DataFrame) -> None:
    assert len(payments) == 12_000
    assert payments["payment_id"].is_unique
    assert payments["is_fraud"].sum() == 240
    moments = pd.to_datetime(payments["paid_at"])
    assert moments.is_monotonic_increasing
    assert moments.min() >= pd.Timestamp("2025-01-01")
    assert moments.max() < pd.Timestamp("2025-04-01")


def test_frauds_come_in_bursts_at_night_and_are_large(payments: pd.DataFrame) -> None:
    fraud = payments[payments["is_fraud"] == 1]
    genuine = payments[payments["is_fraud"] == 0]
    day = pd.to_datetime(fraud["paid_at"]).dt.floor("D")
    assert fraud.groupby([fraud["card_number"], day]).size().mean() > 3
    hours = [pd.to_datetime(part["paid_at"]).dt.hour for part in (fraud, genuine)]
    night = [np.mean((hour >= 22) | (hour <= 3)) for hour in hours]
    assert night[0] > 0.6 > 0.3 > night[1]
    assert fraud["amount"].median() > 4 * genuine["amount"].median()
    assert (fraud["amount"] < genuine["amount"].median()).mean() > 0.05, "some frauds are small"


def test_texts_are_messy_as_often_as_asked(payments: pd.DataFrame) -> None:
    clean = payments["category"].str.strip().str.lower()
    assert clean.nunique() == 14
    assert np.mean(clean != payments["category"]) == pytest.approx(0.1, abs=0.02)
    assert simulate_card_payments(CONFIG.changed(messy_rate=0))["category"].nunique() == 14
