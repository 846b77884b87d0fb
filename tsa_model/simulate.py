"""The demo's orders: a seeded simulator with three kinds of fraud, described in docs/SIMULATION.md.

Every customer belongs to a segment and has habits drawn from it. A genuine order follows its customer's
habits most of the time. Fraud comes in three patterns, and each is visible in one place only:

- `order`: the order itself is unusual (large, far away, disposable e-mail, at night, ...);
- `customer`: somebody else orders from the account, in that person's own ordinary style, so only the
  account's history shows the change;
- `card`: a stolen card is tried with a burst of small orders from other accounts and then cashed out with
  an ordinary order, so only the card's history shows it.

A few frauds (`unexplained`) look genuine everywhere, so no model can be perfect.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeInt, PositiveInt

from tsa_model.settings import Settings

DAY_S = 86_400
HOUR_S = 3_600
SMALLEST_RUN = 2_000

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

HABITUAL = ("product", "channel", "device", "browser", "country", "email_domain")
"""Features in which a customer has a habit of their own."""

PATTERNS = ("genuine", "order", "customer", "card", "unexplained", "card_test")
"""What lies behind an order, by the code in `simulate_orders_and_patterns`; only 1 to 4 are fraud."""

SEGMENTS = 6
_GENUINE, _ORDER, _CUSTOMER, _CARD, _UNEXPLAINED, _CARD_TEST = range(6)


class SimulationConfig(Settings):
    """How many orders, over which time, with how much fraud of each pattern."""

    orders: int = Field(default=60_000, ge=SMALLEST_RUN)
    """Rows of the event log."""
    seed: NonNegativeInt = 7
    """Same seed, same orders."""
    start: datetime = datetime(2025, 1, 1, tzinfo=UTC)
    """Moment of the first possible order, UTC."""
    days: PositiveInt = 120
    """Length of the log in days."""
    order_fraud_rate: float = Field(default=0.040, ge=0.0, le=0.1)
    """Share of orders that are fraud of the `order` pattern."""
    customer_fraud_rate: float = Field(default=0.015, ge=0.0, le=0.1)
    """Share of orders that are fraud of the `customer` pattern."""
    card_fraud_rate: float = Field(default=0.015, ge=0.0, le=0.1)
    """Share of orders that are fraud of the `card` pattern."""
    unexplained_fraud_rate: float = Field(default=0.003, ge=0.0, le=0.1)
    """Share of orders that are fraud and look genuine everywhere."""
    unknown_label_days: NonNegativeInt = 7
    """Orders of the last days lose their label, the later the more often."""
    unknown_label_rate: float = Field(default=0.01, ge=0.0, le=1.0)
    """Share of all older orders whose label is still unknown."""


@dataclass(frozen=True)
class _Customers:
    """Habits and cards, one row per customer."""

    habit: dict[str, np.ndarray]
    log_amount: np.ndarray
    hour: np.ndarray
    session: np.ndarray
    digital: np.ndarray
    """Share of this customer's orders that are digital goods."""
    opened_s: np.ndarray
    cards: np.ndarray
    """[customers, 3] card numbers, repeated where a customer has fewer."""
    weight: np.ndarray
    """Probability that an order is this customer's."""


@dataclass(frozen=True)
class _Events:
    """Who orders what, in whose style; one row per order, not yet in time order."""

    customer: np.ndarray
    style: np.ndarray
    """Customer whose habits the order follows; another one's when an account is taken over."""
    card: np.ndarray
    """Card number, -1 for none."""
    time_s: np.ndarray
    pattern: np.ndarray


def simulate_orders(config: SimulationConfig) -> pd.DataFrame:
    """Simulate an event log, one row per order, sorted by time.

    Args:
        config: size, time span, seed and fraud rates.

    Returns:
        Frame with `order_id`, `customer_id` (int64), `card_id` (Int64, null = no card), `order_time`
        (int64, epoch seconds UTC), `label` (Int8: 0 genuine, 1 fraud, null not yet known),
        9 categorical (str), 10 numerical and 4 engineered features (float64).
    """
    return simulate_orders_and_patterns(config)[0]


def simulate_orders_and_patterns(config: SimulationConfig) -> tuple[pd.DataFrame, np.ndarray]:
    """As `simulate_orders`, with the hidden pattern of each order.

    Returns:
        The frame, and an int8 array [orders] of indices into `PATTERNS`.
    """
    rng = np.random.default_rng(config.seed)
    start_s = _epoch_s(config.start)
    customers = _make_customers(rng, config, start_s)
    events = _make_events(rng, config, customers, start_s)
    by_time = np.argsort(events.time_s, kind="stable")
    events = _Events(*(getattr(events, name)[by_time] for name in _Events.__dataclass_fields__))
    frame = _fill_features(rng, customers, events, start_s)
    frame["label"] = _labels(rng, config, events, start_s)
    return frame, events.pattern.astype(np.int8)


def _epoch_s(moment: datetime) -> int:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp())


def _make_customers(rng: np.random.Generator, config: SimulationConfig, start_s: int) -> _Customers:
    n = config.orders // 18
    segment = rng.integers(0, SEGMENTS, n)
    habit = {}
    for name in HABITUAL:
        n_values = len(VALUES[name]) - (name == "email_domain")  # nobody's habit is a disposable address
        favourite = rng.permutation(n_values)[np.arange(SEGMENTS) % n_values]
        follows = rng.random(n) < 0.75
        habit[name] = np.where(follows, favourite[segment], rng.integers(0, n_values, n))
    level = rng.permutation(np.linspace(2.9, 4.6, SEGMENTS))
    weight = rng.gamma(3.0, 1.0, n)
    return _Customers(
        habit=habit,
        log_amount=level[segment] + rng.normal(0.0, 0.25, n),
        hour=rng.permutation(np.linspace(8.0, 21.0, SEGMENTS))[segment] + rng.normal(0.0, 1.0, n),
        session=rng.permutation(np.linspace(1.2, 2.8, SEGMENTS))[segment] + rng.normal(0.0, 0.2, n),
        digital=np.where(rng.random(n) < 0.1, 0.5, 0.05),
        opened_s=start_s - (rng.exponential(500.0, n) * DAY_S).astype(np.int64),
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


def _make_events(
    rng: np.random.Generator, config: SimulationConfig, customers: _Customers, start_s: int
) -> _Events:
    n_order = round(config.orders * config.order_fraud_rate)
    takeovers = _episode_sizes(rng, round(config.orders * config.customer_fraud_rate), largest=3)
    cash_outs = _episode_sizes(rng, round(config.orders * config.card_fraud_rate), largest=4)
    tests = rng.integers(3, 7, len(cash_outs))
    n_genuine = config.orders - n_order - takeovers.sum() - cash_outs.sum() - tests.sum()

    genuine = _genuine_events(rng, config, customers, start_s, n_genuine)
    unexplained = rng.permutation(n_genuine)[: round(config.orders * config.unexplained_fraud_rate)]
    genuine.pattern[unexplained] = _UNEXPLAINED
    parts = [
        genuine,
        _order_fraud(rng, config, customers, start_s, n_order),
        _account_takeovers(rng, customers, genuine, takeovers),
        _card_thefts(rng, customers, genuine, cash_outs, tests),
    ]
    return _Events(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in _Events.__dataclass_fields__)
    )


def _episode_sizes(rng: np.random.Generator, total: int, largest: int) -> np.ndarray:
    """Sizes of 1 to `largest` that add up to `total`."""
    sizes = rng.integers(1, largest + 1, total)
    ends = np.cumsum(sizes)
    sizes = sizes[: np.searchsorted(ends, total) + 1]
    if len(sizes):
        sizes[-1] -= sizes.sum() - total
    return sizes


def _genuine_events(
    rng: np.random.Generator, config: SimulationConfig, customers: _Customers, start_s: int, n: int
) -> _Events:
    customer = rng.choice(len(customers.weight), n, p=customers.weight)
    style = customer.copy()
    household = rng.random(n) < 0.012
    style[household] = rng.integers(0, len(customers.weight), household.sum())
    card = customers.cards[customer, rng.choice(3, n, p=[0.7, 0.2, 0.1])]
    time_s = _moments(rng, config, customers.hour[style], start_s)

    # Sprees: several orders of one customer on one card within an hour, all genuine.
    followers, leaders = np.split(rng.permutation(n)[: n // 8], [n // 10])
    leader = leaders[rng.integers(0, len(leaders), len(followers))]
    customer[followers], style[followers], card[followers] = customer[leader], style[leader], card[leader]
    time_s[followers] = time_s[leader] + rng.integers(30, HOUR_S, len(followers))

    card[rng.random(n) < 0.08] = -1
    return _Events(customer, style, card, time_s, np.full(n, _GENUINE))


def _moments(
    rng: np.random.Generator, config: SimulationConfig, usual_hour: np.ndarray, start_s: int
) -> np.ndarray:
    """Epoch seconds spread over the days, each around its customer's usual hour."""
    day = rng.integers(0, config.days, len(usual_hour))
    return start_s + day * DAY_S + _second_of_day(rng, usual_hour)


def _second_of_day(rng: np.random.Generator, usual_hour: np.ndarray) -> np.ndarray:
    n = len(usual_hour)
    hour = np.where(rng.random(n) < 0.1, rng.uniform(0.0, 24.0, n), rng.normal(usual_hour, 2.5)) % 24.0
    return (hour * HOUR_S).astype(np.int64)


def _next_usual_moment(rng: np.random.Generator, after_s: np.ndarray, usual_hour: np.ndarray) -> np.ndarray:
    """Within a day after `after_s`, so that the hour of a fraud says no more than that of a genuine order."""
    moment_s = after_s // DAY_S * DAY_S + _second_of_day(rng, usual_hour)
    return moment_s + DAY_S * (moment_s < after_s)


def _order_fraud(
    rng: np.random.Generator, config: SimulationConfig, customers: _Customers, start_s: int, n: int
) -> _Events:
    customer = rng.choice(len(customers.weight), n, p=customers.weight)
    hour = np.where(rng.random(n) < 0.4, rng.normal(3.0, 2.0, n), customers.hour[customer])
    card = customers.cards[customer, rng.choice(3, n, p=[0.7, 0.2, 0.1])]
    card[rng.random(n) < 0.08] = -1
    time_s = _moments(rng, config, hour, start_s)
    return _Events(customer, customer.copy(), card, time_s, np.full(n, _ORDER))


def _account_takeovers(
    rng: np.random.Generator, customers: _Customers, genuine: _Events, sizes: np.ndarray
) -> _Events:
    """Orders from a victim's account in the style, and with the card, of an intruder."""
    eligible = np.flatnonzero(_n_earlier(genuine.customer, genuine.time_s) >= 5)
    anchor = rng.choice(eligible, len(sizes), replace=False)
    intruder = rng.choice(len(customers.weight), len(sizes), p=customers.weight)
    began_s = genuine.time_s[anchor] + (rng.exponential(2.0, len(sizes)) * DAY_S).astype(np.int64)

    episode = np.repeat(np.arange(len(sizes)), sizes)
    time_s = _next_usual_moment(rng, began_s[episode], customers.hour[intruder[episode]])
    card = customers.cards[intruder[episode], 0]
    card[rng.random(len(episode)) < 0.08] = -1
    return _Events(
        customer=genuine.customer[anchor][episode],
        style=intruder[episode],
        card=card,
        time_s=_until_end(time_s, genuine),
        pattern=np.full(len(episode), _CUSTOMER),
    )


def _card_thefts(
    rng: np.random.Generator,
    customers: _Customers,
    genuine: _Events,
    cash_outs: np.ndarray,
    tests: np.ndarray,
) -> _Events:
    """A burst of small orders by several accounts on one card, then ordinary orders by others."""
    has_history = (genuine.card >= 0) & (_n_earlier(genuine.card, genuine.time_s) >= 3)
    anchor = rng.choice(np.flatnonzero(has_history), len(cash_outs), replace=False)
    tested_s = genuine.time_s[anchor] + (rng.exponential(2.0, len(cash_outs)) * DAY_S).astype(np.int64)

    test = np.repeat(np.arange(len(tests)), tests)
    cash_out = np.repeat(np.arange(len(cash_outs)), cash_outs)
    episode = np.concatenate([test, cash_out])
    account = rng.choice(len(customers.weight), len(episode), p=customers.weight)
    tests_s = tested_s[test] + rng.integers(0, 2 * HOUR_S, len(test))
    usual_hour = customers.hour[account[len(test) :]]
    cash_outs_s = _next_usual_moment(rng, tested_s[cash_out] + 2 * HOUR_S, usual_hour)
    return _Events(
        customer=account,
        style=account.copy(),
        card=genuine.card[anchor][episode],
        time_s=_until_end(np.concatenate([tests_s, cash_outs_s]), genuine),
        pattern=np.repeat([_CARD_TEST, _CARD], [len(test), len(cash_out)]),
    )


def _until_end(time_s: np.ndarray, genuine: _Events) -> np.ndarray:
    return np.minimum(time_s, genuine.time_s.max())


def _n_earlier(key: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """How many earlier orders each order has under its key, [orders]."""
    order = np.lexsort((time_s, key))
    ordered = key[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    length = np.diff(np.r_[first, len(key)])
    earlier = np.empty(len(key), dtype=np.int64)
    earlier[order] = np.arange(len(key)) - np.repeat(first, length)
    return earlier


def _fill_features(
    rng: np.random.Generator, customers: _Customers, events: _Events, start_s: int
) -> pd.DataFrame:
    n = len(events.time_s)
    is_fraud_order = events.pattern == _ORDER
    is_test = events.pattern == _CARD_TEST
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
        "account_age_days": (events.time_s - customers.opened_s[events.customer]) / DAY_S,
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
    rng: np.random.Generator, customers: _Customers, events: _Events, digital: np.ndarray
) -> dict[str, np.ndarray]:
    n = len(events.time_s)
    loyalty = dict(zip(HABITUAL, (0.5, 0.8, 0.85, 0.85, 0.95, 0.95), strict=True))
    is_fraud_order = events.pattern == _ORDER
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


def _labels(
    rng: np.random.Generator, config: SimulationConfig, events: _Events, start_s: int
) -> pd.arrays.IntegerArray:
    fraud = np.isin(events.pattern, (_ORDER, _CUSTOMER, _CARD, _UNEXPLAINED))
    age_days = config.days - (events.time_s - start_s) / DAY_S
    unknown_rate = np.maximum(
        config.unknown_label_rate, 1.0 - age_days / max(config.unknown_label_days, 1e-9)
    )
    label = pd.array(fraud.astype(np.int8), dtype="Int8")
    label[rng.random(len(fraud)) < unknown_rate] = pd.NA
    return label
