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

from datetime import UTC, datetime

import numpy as np
import pandas as pd

from tsa_model.settings.simulation import SimulationConfig
from tsa_model.simulation.features import (
    CARD,
    CARD_TEST,
    CUSTOMER,
    DAY_S,
    GENUINE,
    HOUR_S,
    NO_EPISODE,
    ORDER,
    UNEXPLAINED,
    Causes,
    Customers,
    Events,
    fill_features,
    make_customers,
)
from tsa_model.simulation.stopping import stop_orders

ORDERS_PER_CUSTOMER = 18

CARD_CHOICE = (0.7, 0.2, 0.1)
"""How often a customer takes the first, second and third card."""


def simulate_orders(config: SimulationConfig) -> pd.DataFrame:
    """Simulate an event log, one row per order, sorted by time.

    Args:
        config: size, time span, seed and fraud rates.

    Returns:
        Frame with `order_id`, `customer_id` (int64), `card_id` (Int64, null = no card), `order_time`
        (int64, epoch seconds UTC), `label` (Int8: 0 genuine, 1 fraud, null not yet known),
        9 categorical (str), 10 numerical and 4 engineered features (float64); with a policy of stopping also
        `stopped` (int8) and `stop_probability` (float64), and no label of stopped orders.
    """
    return simulate_orders_and_patterns(config)[0]


def simulate_orders_and_patterns(config: SimulationConfig) -> tuple[pd.DataFrame, np.ndarray]:
    """As `simulate_orders`, with the hidden pattern of each order.

    Returns:
        The frame, and an int8 array [orders] of indices into `PATTERNS`.
    """
    frame, events = _simulate(config)
    return frame, events.pattern.astype(np.int8)


def simulate_orders_and_causes(config: SimulationConfig) -> tuple[pd.DataFrame, Causes]:
    """As `simulate_orders`, with the hidden reason of each order."""
    frame, events = _simulate(config)
    return frame, Causes(events.pattern.astype(np.int8), events.episode.astype(np.int32))


def _simulate(config: SimulationConfig) -> tuple[pd.DataFrame, Events]:
    rng = np.random.default_rng(config.seed)
    start_s = _epoch_s(config.start)
    customers = make_customers(rng, config.orders // ORDERS_PER_CUSTOMER)
    events = _make_events(rng, config, customers, start_s)
    by_time = np.argsort(events.time_s, kind="stable")
    events = Events(*(getattr(events, name)[by_time] for name in Events.__dataclass_fields__))
    frame = fill_features(rng, customers, events, start_s)
    frame["label"] = _labels(rng, config, events, start_s)
    if config.stopping is not None:
        frame = stop_orders(frame, is_fraud(events.pattern), config.stopping)
    return frame, events


def is_fraud(pattern: np.ndarray) -> np.ndarray:
    """Whether orders of these hidden patterns are fraud, [orders] bool."""
    return np.isin(pattern, (ORDER, CUSTOMER, CARD, UNEXPLAINED))


def _epoch_s(moment: datetime) -> int:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp())


def _make_events(
    rng: np.random.Generator, config: SimulationConfig, customers: Customers, start_s: int
) -> Events:
    n_order = round(config.orders * config.order_fraud_rate)
    takeovers = _episode_sizes(rng, round(config.orders * config.customer_fraud_rate), largest=3)
    cash_outs = _episode_sizes(rng, round(config.orders * config.card_fraud_rate), largest=4)
    tests = rng.integers(3, 7, len(cash_outs))
    n_genuine = config.orders - n_order - takeovers.sum() - cash_outs.sum() - tests.sum()

    genuine = _genuine_events(rng, config, customers, start_s, n_genuine)
    unexplained = rng.permutation(n_genuine)[: round(config.orders * config.unexplained_fraud_rate)]
    genuine.pattern[unexplained] = UNEXPLAINED
    parts = [
        genuine,
        _order_fraud(rng, config, customers, start_s, n_order),
        _account_takeovers(rng, customers, genuine, takeovers),
        _card_thefts(rng, customers, genuine, cash_outs, tests),
    ]
    return Events(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in Events.__dataclass_fields__)
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
    rng: np.random.Generator, config: SimulationConfig, customers: Customers, start_s: int, n: int
) -> Events:
    customer = rng.choice(len(customers.weight), n, p=customers.weight)
    style = customer.copy()
    household = rng.random(n) < 0.012
    style[household] = rng.integers(0, len(customers.weight), household.sum())
    card = customers.cards[customer, rng.choice(3, n, p=CARD_CHOICE)]
    time_s = _moments(rng, config, customers.hour[style], start_s)

    # Sprees: several orders of one customer on one card within an hour, all genuine.
    followers, leaders = np.split(rng.permutation(n)[: n // 8], [n // 10])
    leader = leaders[rng.integers(0, len(leaders), len(followers))]
    customer[followers], style[followers], card[followers] = customer[leader], style[leader], card[leader]
    time_s[followers] = time_s[leader] + rng.integers(30, HOUR_S, len(followers))

    card[rng.random(n) < 0.08] = -1
    return Events(customer, style, card, time_s, np.full(n, GENUINE), np.full(n, NO_EPISODE))


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
    rng: np.random.Generator, config: SimulationConfig, customers: Customers, start_s: int, n: int
) -> Events:
    customer = rng.choice(len(customers.weight), n, p=customers.weight)
    hour = np.where(rng.random(n) < 0.4, rng.normal(3.0, 2.0, n), customers.hour[customer])
    card = customers.cards[customer, rng.choice(3, n, p=CARD_CHOICE)]
    card[rng.random(n) < 0.08] = -1
    time_s = _moments(rng, config, hour, start_s)
    return Events(customer, customer.copy(), card, time_s, np.full(n, ORDER), np.full(n, NO_EPISODE))


def _account_takeovers(
    rng: np.random.Generator, customers: Customers, genuine: Events, sizes: np.ndarray
) -> Events:
    """Orders from a victim's account in the style, and with the card, of an intruder."""
    established = _n_earlier(genuine.customer, genuine.time_s) >= 5
    victim, began_s = _some_time_after(rng, genuine, established, len(sizes))
    intruder = rng.choice(len(customers.weight), len(sizes), p=customers.weight)

    episode = np.repeat(np.arange(len(sizes)), sizes)
    after_s = began_s[episode] + rng.integers(0, 3 * DAY_S, len(episode))
    time_s = _next_usual_moment(rng, after_s, customers.hour[intruder[episode]])
    card = customers.cards[intruder[episode], rng.choice(3, len(episode), p=CARD_CHOICE)]
    card[rng.random(len(episode)) < 0.08] = -1
    return Events(
        customer=genuine.customer[victim][episode],
        style=intruder[episode],
        card=card,
        time_s=time_s,
        pattern=np.full(len(episode), CUSTOMER),
        episode=episode,
    )


def _card_thefts(
    rng: np.random.Generator,
    customers: Customers,
    genuine: Events,
    cash_outs: np.ndarray,
    tests: np.ndarray,
) -> Events:
    """A burst of small orders by several accounts on one card, then ordinary orders by others."""
    has_history = (genuine.card >= 0) & (_n_earlier(genuine.card, genuine.time_s) >= 3)
    stolen, tested_s = _some_time_after(rng, genuine, has_history, len(cash_outs))

    test = np.repeat(np.arange(len(tests)), tests)
    cash_out = np.repeat(np.arange(len(cash_outs)), cash_outs)
    episode = np.concatenate([test, cash_out])
    account = rng.choice(len(customers.weight), len(episode), p=customers.weight)
    tests_s = tested_s[test] + rng.integers(0, 2 * HOUR_S, len(test))
    usual_hour = customers.hour[account[len(test) :]]
    cash_outs_s = _next_usual_moment(rng, tested_s[cash_out] + 2 * HOUR_S, usual_hour)
    return Events(
        customer=account,
        style=account.copy(),
        card=genuine.card[stolen][episode],
        time_s=np.concatenate([tests_s, cash_outs_s]),
        pattern=np.repeat([CARD_TEST, CARD], [len(test), len(cash_out)]),
        episode=episode,
    )


def _some_time_after(
    rng: np.random.Generator, genuine: Events, eligible: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw `n` eligible genuine orders, and a moment within four days after each; all end within the log."""
    in_time = genuine.time_s <= genuine.time_s.max() - 8 * DAY_S
    order = rng.choice(np.flatnonzero(eligible & in_time), n, replace=False)
    delay_days = np.minimum(rng.exponential(2.0, n), 4.0)
    return order, genuine.time_s[order] + (delay_days * DAY_S).astype(np.int64)


def _n_earlier(key: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """How many earlier orders each order has under its key, [orders]."""
    order = np.lexsort((time_s, key))
    ordered = key[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    length = np.diff(np.r_[first, len(key)])
    earlier = np.empty(len(key), dtype=np.int64)
    earlier[order] = np.arange(len(key)) - np.repeat(first, length)
    return earlier


def _labels(
    rng: np.random.Generator, config: SimulationConfig, events: Events, start_s: int
) -> pd.arrays.IntegerArray:
    fraud = is_fraud(events.pattern)
    age_days = config.days - (events.time_s - start_s) / DAY_S
    unknown_rate = np.maximum(
        config.unknown_label_rate, 1.0 - age_days / max(config.unknown_label_days, 1e-9)
    )
    label = pd.array(fraud.astype(np.int8), dtype="Int8")
    label[rng.random(len(fraud)) < unknown_rate] = pd.NA
    return label
