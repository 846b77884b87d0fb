"""Properties of the simulated customers and of their orders (docs/SIMULATION.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

DAY_S = 86_400
HOUR_S = 3_600

VALUES = {
    "product": [
        "grocery",
        "fashion",
        "electronics",
        "home",
        "toys",
        "books",
        "beauty",
        "garden",
        "sport",
        "games",
    ],
    "channel": ["web", "app", "phone", "marketplace"],
    "device": ["android", "iphone", "tablet", "windows", "mac"],
    "browser": ["chrome", "safari", "firefox", "edge", "in_app"],
    "country": ["DE", "FR", "GB", "ES", "IT", "PL", "NL", "SE"],
    "shipping": ["standard", "express", "pickup", "locker", "digital"],
    "email_domain": ["mailbox", "provider", "company", "university", "free", "disposable"],
    "referrer": ["direct", "search", "newsletter", "advert", "partner"],
    "payment": ["card", "wallet", "invoice"],
}
"""Categorical features and their values."""

PATTERNS = ("genuine", "order", "customer", "card", "unexplained", "card_test")
"""Pattern of an order, by its code; only 1 to 4 are fraud."""

GENUINE, ORDER, CUSTOMER, CARD, UNEXPLAINED, CARD_TEST = range(6)

NO_EPISODE = -1
"""Of an order that belongs to no takeover and no theft."""

HABITUAL = ("product", "channel", "device", "browser", "country", "email_domain")
"""Features in which a customer has a habit of their own."""

SEGMENTS = 6


@dataclass(frozen=True)
class Customers:
    """Habits and cards, one row per customer."""

    habit: dict[str, np.ndarray]
    log_amount: np.ndarray
    hour: np.ndarray
    session: np.ndarray
    digital: np.ndarray
    """Share of this customer's orders that are digital goods."""
    cards: np.ndarray
    """[customers, 3] card numbers, repeated where a customer has fewer."""
    weight: np.ndarray
    """Probability that an order is this customer's."""


@dataclass(frozen=True)
class Events:
    """Customer, card and style of each order; one row per order, not yet sorted by time."""

    customer: np.ndarray
    style: np.ndarray
    """Customer whose habits the order follows; another one's when an account is taken over."""
    card: np.ndarray
    """Card number, -1 for none."""
    time_s: np.ndarray
    pattern: np.ndarray
    episode: np.ndarray
    """Number of the takeover (pattern `customer`) or of the theft (`card`, `card_test`), -1 for none."""


@dataclass(frozen=True)
class Causes:
    """Why each order is what it is; one entry per row of the log."""

    pattern: np.ndarray
    """[orders] int8 places in `PATTERNS`."""
    episode: np.ndarray
    """[orders] int32 number of the takeover or theft the order belongs to, counted for each; -1 for none."""


def make_customers(rng: np.random.Generator, n: int) -> Customers:
    """Draw `n` customers."""
    segment = rng.integers(0, SEGMENTS, n)
    habit = {}
    for name in HABITUAL:
        n_values = len(VALUES[name]) - (name == "email_domain")  # a disposable address is no customer's habit
        favourite = rng.permutation(n_values)[np.arange(SEGMENTS) % n_values]
        follows = rng.random(n) < 0.75
        habit[name] = np.where(follows, favourite[segment], rng.integers(0, n_values, n))
    level = rng.permutation(np.linspace(2.9, 4.6, SEGMENTS))
    weight = rng.gamma(3.0, 1.0, n)
    return Customers(
        habit=habit,
        log_amount=level[segment] + rng.normal(0.0, 0.25, n),
        hour=rng.permutation(np.linspace(8.0, 21.0, SEGMENTS))[segment] + rng.normal(0.0, 1.0, n),
        session=rng.permutation(np.linspace(1.2, 2.8, SEGMENTS))[segment] + rng.normal(0.0, 0.2, n),
        digital=np.where(rng.random(n) < 0.1, 0.5, 0.05),
        cards=_make_cards(rng, n),
        weight=weight / weight.sum(),
    )


def _make_cards(rng: np.random.Generator, n: int) -> np.ndarray:
    """Give every customer one to three cards; every sixth customer shares the first card of another."""
    n_cards = rng.choice([1, 2, 3], n, p=[0.6, 0.3, 0.1])
    own = np.arange(3 * n).reshape(n, 3)
    cards = np.where(np.arange(3) < n_cards[:, None], own, own[:, :1])
    shares = rng.random(n) < 1 / 6
    cards[shares, 0] = own[rng.integers(0, n, shares.sum()), 0]
    return cards


def fill_features(
    rng: np.random.Generator, customers: Customers, events: Events, start_s: int
) -> pd.DataFrame:
    """Draw the features of the orders; the frame has every column, the labels still 0."""
    n = len(events.time_s)
    is_fraud_order = events.pattern == ORDER
    is_test = events.pattern == CARD_TEST
    digital = is_test | (rng.random(n) < customers.digital[events.style])
    code = _categorical_codes(rng, customers, events, digital)

    product_level = np.linspace(-0.4, 0.4, len(VALUES["product"]))[code["product"]]
    log_amount = customers.log_amount[events.style] + product_level + rng.normal(0.0, 0.35, n)
    log_amount = np.where(digital, 1.6 + rng.normal(0.0, 0.5, n), log_amount)
    log_amount += is_fraud_order * rng.normal(0.8, 0.6, n)
    amount = np.round(np.clip(np.exp(log_amount), 0.5, 2_500.0), 2)
    items = np.where(digital, 1, 1 + rng.poisson(1.2, n))
    far = rng.random(n) < np.where(is_fraud_order, 0.5, 0.08)
    distance_km = np.where(digital, 0.0, rng.exponential(np.where(far, 400.0, 30.0)))
    session = np.exp(customers.session[events.style] + rng.normal(0.0, 0.35, n) - 0.5 * is_fraud_order)
    discount = np.where(rng.random(n) < 0.25, rng.uniform(0.05, 0.4, n), 0.0)
    fee = np.array([3.9, 9.9, 0.0, 1.9, 0.0])[code["shipping"]]
    hour = (events.time_s % DAY_S) / HOUR_S
    weekday = ((events.time_s - start_s) // DAY_S + _weekday(start_s)) % 7

    frame = {
        "order_id": np.arange(1, n + 1),
        "customer_id": events.customer + 1,
        "card_id": pd.array(events.card + 1, dtype="Int64"),
        "order_time": events.time_s,
        "label": np.zeros(n),
    }
    frame["card_id"][events.card < 0] = pd.NA
    frame |= {name: np.array(values, dtype=object)[code[name]] for name, values in VALUES.items()}
    frame |= {
        "amount": amount,
        "log_amount": np.log(amount),
        "items": items.astype(float),
        "discount": discount,
        "shipping_fee": fee,
        "distance_km": np.minimum(distance_km, 2_000.0),
        "session_minutes": np.minimum(session, 120.0),
        "address_age_days": rng.exponential(np.where(is_fraud_order, 150.0, 300.0)),
        "payment_attempts": 1.0 + rng.poisson(np.where(is_fraud_order, 0.6, 0.1)),
        "hour": hour,
        "amount_per_item": amount / items,
        "relative_price": np.log(amount) - product_level,
        "is_night": (hour < 6).astype(float),
        "is_weekend": (weekday >= 5).astype(float),
    }
    table = pd.DataFrame(frame)
    return table.astype(dict.fromkeys(VALUES, "str"))


def _weekday(epoch_s: int) -> int:
    """0 Monday … 6 Sunday; the epoch began on a Thursday."""
    return (epoch_s // DAY_S + 3) % 7


def _categorical_codes(
    rng: np.random.Generator, customers: Customers, events: Events, digital: np.ndarray
) -> dict[str, np.ndarray]:
    n = len(events.time_s)
    loyalty = dict(zip(HABITUAL, (0.5, 0.8, 0.85, 0.85, 0.95, 0.95), strict=True))
    is_fraud_order = events.pattern == ORDER
    code = {}
    for name in HABITUAL:
        # An order that leaves the habit takes somebody else's, which keeps every value's overall frequency.
        somebody = rng.integers(0, len(customers.weight), n)
        person = np.where(rng.random(n) < loyalty[name], events.style, somebody)
        code[name] = customers.habit[name][person]
    disposable = rng.random(n) < np.where(is_fraud_order, 0.35, 0.02)
    code["email_domain"] = np.where(disposable, len(VALUES["email_domain"]) - 1, code["email_domain"])

    express = rng.random(n) < np.where(is_fraud_order, 0.6, 0.2)
    other = rng.choice([0, 2, 3], n, p=[0.7, 0.15, 0.15])
    code["shipping"] = np.where(digital, 4, np.where(express, 1, other))
    has_card = events.card >= 0
    code["referrer"] = rng.choice(len(VALUES["referrer"]), n, p=[0.35, 0.3, 0.15, 0.15, 0.05])
    code["payment"] = np.where(has_card, (rng.random(n) < 0.25).astype(np.int64), 2)
    return code
