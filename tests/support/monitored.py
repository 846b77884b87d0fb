"""Scored orders drawn from a known truth, as monitoring reads them, and a reference of the same truth."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from tsa_model.monitoring.calendar import moment
from tsa_model.monitoring.daily import DailySignals
from tsa_model.monitoring.documents import Monitoring, Signal
from tsa_model.monitoring.monitor import judge
from tsa_model.monitoring.orders import ScoredDays
from tsa_model.monitoring.periods import Periods
from tsa_model.monitoring.reference import PastScores, Reference
from tsa_model.settings.monitoring import MonitoringConfig

DAY_US = 86_400_000_000
FIRST = 20_000
"""Day of the first order of the reference; a Wednesday in 2024."""
REFERENCE_DAYS = 28
CONFIG = MonitoringConfig(resamples=60)
DELAY = 5.0


def scores(n: int, fraud_rate: float, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores that rank frauds high; the score is the probability at a rate of 5 %."""
    label = (generator.random(n) < fraud_rate).astype(np.int8)
    place = generator.normal(2.5 * label, 1.0)
    odds = 2.5 * place - 2.5**2 / 2 + np.log(0.05 / 0.95)
    return label, 1 / (1 + np.exp(-odds))


def reference(per_day: int = 600) -> Reference:
    """Four weeks of orders: two for calibration, two for the test."""
    generator = np.random.default_rng(0)
    periods = {}
    for k, name in enumerate(("cali", "test")):
        start, n = (FIRST + 14 * k) * DAY_US, 14 * per_day
        label, score = scores(n, 0.05, generator)
        time = start + np.sort(generator.integers(0, 14 * DAY_US, n))
        periods[name] = PastScores(time, score, score, label)
    periods["vali"] = PastScores(*(np.zeros(0, kind) for kind in (np.int64, float, float, np.int8)))
    unopened = cast(Any, None)
    return Reference.of(periods, 0.5, 0.05, CONFIG, unopened, unopened, unopened, unopened)


def production(
    days: int,
    per_day: int = 600,
    fraud_rate: float = 0.05,
    seed: int = 1,
    first: int = FIRST + REFERENCE_DAYS,
) -> ScoredDays:
    """Days of the same truth after the reference; every label is known."""
    generator = np.random.default_rng(seed)
    n = days * per_day
    label, score = scores(n, fraud_rate, generator)
    time = first * DAY_US + np.sort(generator.integers(0, days * DAY_US, n))
    return ScoredDays(np.arange(n), time, score, score, label, np.full(n, -1), {}, ())


def daily(scored: ScoredDays, against: Reference) -> DailySignals:
    """The looks at its days, once the weeks are known."""
    end = float(scored.time_us[-1] // DAY_US + 1)
    periods = Periods(against, scored, None, CONFIG, DELAY, end)
    return DailySignals(against, scored, None, CONFIG, DELAY, periods.corrections[7])


def levels(found: tuple[Signal, ...]) -> dict[str, str]:
    """Title → level of signals that are not fine."""
    return {one.title: one.level for one in found if one.level != "fine"}


def judged(scored: ScoredDays, against: Reference | None = None) -> Monitoring:
    """What monitoring finds in them, without raw orders."""
    given = against or reference()
    manifest = SimpleNamespace(model_digest="a" * 64, sha256="b" * 64)
    dataset = SimpleNamespace(label_delay_days=DELAY, name="shop")
    given = replace(given, manifest=cast(Any, manifest), dataset=cast(Any, dataset))
    end = int(scored.time_us[-1] // DAY_US + 1)
    return judge(given, scored, None, CONFIG, moment(end))


def faulty(days: int = 40) -> ScoredDays:
    """Days of which the last two have six times the fraud."""
    quiet = production(days - 2)
    shifted = production(2, fraud_rate=0.3, seed=2, first=FIRST + REFERENCE_DAYS + days - 2)
    names = ("time_us", "score", "probability", "label", "waited_us")
    both = {name: np.concatenate([getattr(quiet, name), getattr(shifted, name)]) for name in names}
    return replace(quiet, order_id=np.arange(both["score"].size), **both)
