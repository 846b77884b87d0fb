"""Card payments: profiles, merchants, hours, amounts by category, and bursts of frauds on single cards.

A card holder has a profile (age, town or country, thrift), which sets how often each category is bought,
when, and for how much. Fraud comes as bursts: for one to three days somebody else pays with the card,
mostly at night, in few categories, at amounts that are mostly large for the category; the holder goes on
paying. Single frauds of ordinary amounts at ordinary hours are among them, so no model can be perfect.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC

import numpy as np
import pandas as pd

from tsa_model.settings.simulation import CardPaymentsConfig

DAY_S, HOUR_S = 86_400, 3_600
CATEGORIES = {
    "grocery": (60, 0.5),
    "gas transport": (60, 0.3),
    "home": (55, 0.8),
    "shopping": (45, 1.3),
    "kids pets": (50, 0.8),
    "entertainment": (55, 0.9),
    "food dining": (45, 0.7),
    "personal care": (40, 0.9),
    "health fitness": (45, 0.8),
    "travel": (40, 1.6),
    "misc": (35, 1.4),
    "shopping online": (55, 1.3),
    "misc online": (45, 1.3),
    "grocery online": (50, 0.6),
}
"""Category → the median amount and the standard deviation of its logarithm."""
FRAUD_CATEGORIES = {
    "shopping online": (900, 0.25, 0.3),
    "misc online": (750, 0.25, 0.2),
    "grocery": (310, 0.1, 0.25),
    "gas transport": (12, 0.5, 0.1),
    "shopping": (850, 0.3, 0.1),
    "travel": (10, 0.6, 0.05),
}
"""Category → median amount, standard deviation of its logarithm, share of a burst's payments."""
N_PROFILES = 12
MERCHANTS_OF_A_CATEGORY = 40
PAYMENTS_A_CARD = 120
ORDINARY_FRAUDS = 0.12
"""Share of a burst's payments that are like the holder's own in amount and hour."""


@dataclass(frozen=True)
class _Payments:
    card: np.ndarray
    time_s: np.ndarray
    category: np.ndarray
    amount: np.ndarray
    is_fraud: np.ndarray


def simulate_card_payments(config: CardPaymentsConfig) -> pd.DataFrame:
    """Simulate card payments, one row each, sorted by time.

    Args:
        config: size, time span, seed, fraud rate.

    Returns:
        Frame with `payment_id` (str), `paid_at` (str, UTC), `card_number`, `population` (int64), `merchant`,
        `category`, `city`, `job`, `birth_date` (str), `amount`, `latitude`, `longitude`,
        `merchant_latitude`, `merchant_longitude` (float64), `is_fraud` (int64).
    """
    rng = np.random.default_rng(config.seed)
    n_cards = max(30, config.payments // PAYMENTS_A_CARD)
    profile = rng.integers(0, N_PROFILES, n_cards)
    n_fraud = round(config.payments * config.fraud_rate)
    genuine = _genuine(rng, config, profile, config.payments - n_fraud)
    fraud = _bursts(rng, config, n_cards, n_fraud)
    columns = (
        np.concatenate(pair) for pair in zip(vars(genuine).values(), vars(fraud).values(), strict=True)
    )
    payments = _Payments(*columns)
    by_time = np.argsort(payments.time_s, kind="stable")
    return _frame(rng, config, n_cards, _Payments(*(x[by_time] for x in vars(payments).values())))


def _genuine(rng: np.random.Generator, config: CardPaymentsConfig, profile: np.ndarray, n: int) -> _Payments:
    """Payments of the holders themselves: their profile's categories, hours and amounts."""
    activity = rng.lognormal(0, 0.6, len(profile))
    card = rng.choice(len(profile), n, p=activity / activity.sum())
    liking = rng.dirichlet(np.full(len(CATEGORIES), 3.0), N_PROFILES)
    hours = np.array([_hours(first) for first in rng.integers(8, 15, N_PROFILES)])
    thrift = rng.uniform(0.6, 1.5, N_PROFILES)
    category, hour = np.empty(n, np.int64), np.empty(n, np.int64)
    for each in range(N_PROFILES):
        rows = np.flatnonzero(profile[card] == each)
        category[rows] = rng.choice(len(CATEGORIES), len(rows), p=liking[each])
        hour[rows] = rng.choice(24, len(rows), p=hours[each])
    median, spread = np.array(list(CATEGORIES.values())).T[:, category]
    amount = median * thrift[profile[card]] * np.exp(spread * rng.standard_normal(n))
    time_s = rng.integers(0, config.days, n) * DAY_S + hour * HOUR_S + rng.integers(0, HOUR_S, n)
    return _Payments(card, time_s, category, amount, np.zeros(n, np.int64))


def _hours(first: int) -> np.ndarray:
    """Share of a day's payments in each hour: most within ten hours from the first, some at any other."""
    share = np.full(24, 0.25)
    share[(first + np.arange(10)) % 24] = 1.0
    return share / share.sum()


def _bursts(rng: np.random.Generator, config: CardPaymentsConfig, n_cards: int, n: int) -> _Payments:
    """Payments of thieves: four to fifteen on one card within one to three days."""
    sizes: list[int] = []
    while sum(sizes) < n:
        sizes.append(int(rng.integers(4, 16)))
    burst = np.repeat(np.arange(len(sizes)), sizes)[:n]
    card = rng.integers(0, n_cards, len(sizes))[burst]
    first_day = rng.integers(0, max(1, config.days - 3), len(sizes))[burst]
    day = first_day + rng.integers(0, rng.integers(1, 4, len(sizes))[burst])
    names, shares = list(CATEGORIES), np.array([share for *_, share in FRAUD_CATEGORIES.values()])
    chosen = rng.choice(len(FRAUD_CATEGORIES), n, p=shares / shares.sum())
    category = np.array([names.index(name) for name in FRAUD_CATEGORIES])[chosen]
    median, spread, _ = np.array(list(FRAUD_CATEGORIES.values())).T[:, chosen]
    hour = np.where(rng.random(n) < 0.75, rng.integers(22, 28, n) % 24, rng.integers(0, 24, n))
    ordinary = rng.random(n) < ORDINARY_FRAUDS
    usual_median, usual_spread = np.array(list(CATEGORIES.values())).T[:, category]
    median, spread = np.where(ordinary, usual_median, median), np.where(ordinary, usual_spread, spread)
    hour = np.where(ordinary, rng.integers(9, 20, n), hour)
    amount = median * np.exp(spread * rng.standard_normal(n))
    time_s = day * DAY_S + hour * HOUR_S + rng.integers(0, HOUR_S, n)
    return _Payments(card, time_s, category, amount, np.ones(n, np.int64))


def _frame(
    rng: np.random.Generator, config: CardPaymentsConfig, n_cards: int, payments: _Payments
) -> pd.DataFrame:
    n, card = len(payments.card), payments.card
    start = config.start if config.start.tzinfo is None else config.start.astimezone(UTC).replace(tzinfo=None)
    when = pd.Timestamp(start) + pd.to_timedelta(payments.time_s, unit="s")
    merchant = payments.category * MERCHANTS_OF_A_CATEGORY + rng.integers(0, MERCHANTS_OF_A_CATEGORY, n)
    latitude, longitude = rng.uniform(30, 48, n_cards).round(4), rng.uniform(-120, -75, n_cards).round(4)
    names = np.array(list(CATEGORIES))
    city = np.array([f"town {k}" for k in rng.integers(0, max(3, n_cards // 3), n_cards)])
    job = np.array([f"job {k}" for k in rng.integers(0, 50, n_cards)])
    born = pd.Timestamp("1940-01-01") + pd.to_timedelta(rng.integers(0, 22_000, n_cards), unit="D")
    return pd.DataFrame(
        {
            "payment_id": [f"p{number:09d}" for number in rng.permutation(n)],
            "paid_at": when.strftime("%Y-%m-%d %H:%M:%S").to_numpy(dtype=object),
            "card_number": 4_000_000_000_000_000 + 7_919 * card.astype(np.int64),
            "merchant": _messy(rng, np.array([f"merchant {k}" for k in merchant], dtype=object), config),
            "category": _messy(rng, names[payments.category].astype(object), config),
            "amount": np.maximum(1.0, payments.amount).round(2),
            "city": city[card].astype(object),
            "population": rng.integers(100, 3_000_000, n_cards)[card],
            "job": job[card].astype(object),
            "birth_date": born.strftime("%Y-%m-%d").to_numpy(dtype=object)[card],
            "latitude": latitude[card],
            "longitude": longitude[card],
            "merchant_latitude": (latitude[card] + rng.uniform(-1, 1, n)).round(4),
            "merchant_longitude": (longitude[card] + rng.uniform(-1, 1, n)).round(4),
            "is_fraud": payments.is_fraud,
        }
    )


def _messy(rng: np.random.Generator, texts: np.ndarray, config: CardPaymentsConfig) -> np.ndarray:
    """Some texts in capitals, some with a space behind them."""
    kind = np.where(rng.random(len(texts)) < config.messy_rate, rng.integers(1, 3, len(texts)), 0)
    return np.where(kind == 1, [text.upper() for text in texts], np.where(kind == 2, texts + " ", texts))
