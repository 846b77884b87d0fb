"""Periods, sampling and training of a first run, from how many orders and frauds there are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from tsa_model.advice.profile import Events, quoted
from tsa_model.advice.roles import Roles

MOST_ROWS_A_CORE = 25_000
"""Training rows that one core works through in some minutes."""
LEAST_RATE, HIGHEST_RATE = 0.06, 0.2
"""More genuine orders help until frauds are about one in seventeen; beyond one in five too few are left."""
STEPS_WANTED = 1_600
"""Optimiser steps after which the demo's and the handbook's networks stop gaining."""
LEAST_FRAUDS = 20
"""In a period, so that its figures mean something."""


@dataclass(frozen=True)
class Plan:
    """What a run description says besides the roles."""

    delay_days: float
    split: dict[str, datetime]
    shares: dict[str, tuple[int, int]]
    """Period → labelled orders and frauds."""
    rate: float | None
    n_train: int
    seq_len: int
    batch_size: int
    epochs: int
    warnings: tuple[str, ...]


def make_plan(events: Events, roles: Roles, delay_days: float | None, cores: int) -> Plan:
    """Split the time, and choose sizes.

    Args:
        events: the table.
        roles: who is who.
        delay_days: days until a label is known; None = a week, or less where the events are short.
        cores: of this machine.

    Raises:
        ValueError: the events cover too little time, or have too few frauds to train on.
    """
    first, last = events.one(f"SELECT min({roles.moment}), max({roles.moment}) FROM events")
    days = (last - first).total_seconds() / 86_400
    if days < 4:
        raise ValueError(f"the orders cover {days:.1f} days, and a split by time needs at least four")
    if delay_days is None:
        delay_days = 7.0 if days >= 60 else max(0.0, math.floor(days / 10))
    split = _split(first, last, days, delay_days)
    shares = {period: _count(events, roles, split, period) for period in ("train", "vali", "cali", "test")}
    warnings = [
        f"{period} has {frauds} frauds among {n:,} orders: its figures will say little"
        for period, (n, frauds) in shares.items()
        if frauds < LEAST_FRAUDS
    ]
    n, frauds = shares["train"]
    if frauds < 2:
        raise ValueError(f"the first {days:.0f} days have {frauds} frauds to train on: give more orders")
    rate = min(HIGHEST_RATE, max(LEAST_RATE, frauds / (MOST_ROWS_A_CORE * cores)))
    if frauds / n >= rate:
        rate_wanted, n_train = None, n
    else:
        rate_wanted, n_train = round(rate, 3), round(frauds / rate)
    batch_size = 256 if n_train >= 20_000 else 128
    epochs = max(6, min(20, round(STEPS_WANTED * batch_size / n_train)))
    return Plan(
        delay_days,
        split,
        shares,
        rate_wanted,
        n_train,
        _length(events, roles),
        batch_size,
        epochs,
        tuple(warnings),
    )


def _split(first: datetime, last: datetime, days: float, delay: float) -> dict[str, datetime]:
    """A fifth for test, a tenth each for validation and calibration, a label delay before vali and test."""
    start = first.replace(hour=0, minute=0, second=0, microsecond=0)
    end = last.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    test = max(1, round(0.2 * days))
    tenth = max(1, round(0.1 * days))
    gap = timedelta(days=math.ceil(delay))
    test_start = end - timedelta(days=test)
    cali_end = test_start - gap
    cali_start = cali_end - timedelta(days=tenth)
    vali_start = cali_start - timedelta(days=tenth)
    train_end = vali_start - gap
    if train_end - start < timedelta(days=max(1, 0.25 * days)):
        raise ValueError(
            f"{days:.0f} days of orders with a label delay of {delay:g} days leave too little to train on:"
            " give more orders, or a shorter --label-delay"
        )
    moments = (start, train_end, vali_start, cali_start, cali_start, cali_end, test_start, end)
    names = (f"{period}_{edge}" for period in ("train", "vali", "cali", "test") for edge in ("start", "end"))
    return dict(zip(names, moments, strict=True))


def _count(events: Events, roles: Roles, split: dict[str, datetime], period: str) -> tuple[int, int]:
    label = f"({quoted(roles.label)})::INT"
    n, frauds = events.one(
        f"SELECT count(*) FILTER ({label} IN (0, 1)), count(*) FILTER ({label} = 1) FROM events WHERE"
        f" {roles.moment} >= '{split[f'{period}_start']}' AND {roles.moment} < '{split[f'{period}_end']}'"
    )
    return int(n), int(frauds)


def _length(events: Events, roles: Roles) -> int:
    """Orders per sequence that hold nine of ten customers' whole histories, from 11 to 51."""
    (wanted,) = events.one(
        f"SELECT quantile_cont(n, 0.9) FROM (SELECT count(*) n FROM events GROUP BY {quoted(roles.customer)})"
    )
    return int(min(51, max(11, math.ceil(float(wanted)) + 1)))
