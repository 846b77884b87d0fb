"""Signals: what is looked at on a day, from where on it is worth a look or an action, and why, in words.

A level counts beyond chance only. What a day alone shows is `look`; it becomes `act` when the day before
showed it too. Figures of seven days act at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tsa_model.evaluation.intervals import Interval
from tsa_model.monitoring.documents import Level, Signal
from tsa_model.monitoring.reference import UsualDays
from tsa_model.settings.monitoring import FallingLevels, RisingLevels

BEYOND_DAYS = 2.6
"""Standard deviations that a day's share must be from the usual one: one day in a hundred by chance."""
BEYOND_TO_ACT = 4.0
"""The same of two days that call for action: how far days differ is itself known from a fortnight alone, for
which 4.1 of Student's standard deviations are what 3.3 of the normal distribution are."""
BEYOND = 3.3
"""Standard deviations that a ratio must be from 1: once in a thousand days by chance."""
DRIFT = "drift of column"
SCORE_DRIFT = "drift of the scores"
UNKNOWN = "unknown categories in"
HISTORY = "history length by"
WITHOUT_HISTORY = "orders without history by"
ALERT_RATE = "alert rate"
EXPECTED_FRAUD = "expected fraud"
LATE = "late orders"
NO_ORDERS = "missing days"
LABEL_LACK = "missing labels"
LOSS = "loss of"
CALIBRATION = "calibration"
KEYS = {"cid": "customer", "ccid": "card"}
LOSSES = {
    "auc": ("ROC AUC", 0.5),
    "average_precision": ("average precision", 0.0),
    "recall_at_rate": ("recall at the alert rate", 0.0),
    "reached_at_rate": ("frauds found at the alert rate", 0.0),
}
"""Figure → its name, and its value for scores that say nothing."""
FULL = 1.5
"""Frauds per alert from which on recall says how much fraud there is rather than what the model is worth."""


def rising(value: float, levels: RisingLevels) -> Level:
    """The level of a figure that is worse the larger it is."""
    return "act" if value >= levels.act else "look" if value >= levels.look else "fine"


def falling(value: float, levels: FallingLevels) -> Level:
    """The level of a figure that is worse the smaller it is."""
    return "act" if value <= levels.act else "look" if value <= levels.look else "fine"


def drift(
    name: str,
    subject: str,
    day: tuple[float, float],
    week: tuple[float, float],
    whole: bool,
    levels: RisingLevels,
) -> Signal:
    """The stability index of a column or of the scores.

    Args:
        name: `DRIFT` or `SCORE_DRIFT`.
        subject: the column.
        day: index of the day, and the largest one that says nothing.
        week: the same of the seven days that end with it.
        whole: whether all seven days are there; without, a weekday's own ways are not known.
        levels: of the index.
    """
    beyond = all(value > noise for value, noise in (day, week))
    value = min(day[0], week[0])
    level = rising(value, levels) if beyond else "fine"
    if level == "act" and not whole:
        level = "look"
    words = f"stability index {day[0]:.2f} on the day and {week[0]:.2f} over seven days against training"
    floor = f"chance alone gives up to {max(day[1], 0):.2f} and {week[1]:.2f}"
    told = f"look from {levels.look:g}, act from {levels.act:g}"
    return Signal(name=name, subject=subject, value=value, level=level, reason=f"{words}; {floor}; {told}")


def unknown_share(column: str, share: float, n_orders: int, levels: RisingLevels) -> Signal:
    """Orders whose category the model never learned."""
    noise = BEYOND * np.sqrt(share * (1 - share) / max(n_orders, 1))
    level = rising(share, levels) if share - noise > 0 else "fine"
    words = f"{share:.1%} of the orders have a value that training hardly knew"
    told = f"look from {levels.look:.0%}, act from {levels.act:.0%}"
    return Signal(name=UNKNOWN, subject=column, value=share, level=level, reason=f"{words}; {told}")


def history_length(key: str, found: float, usual: float, levels: FallingLevels) -> Signal:
    """How long histories are, against the training period's."""
    ratio = found / usual
    words = f"{found:.2f} earlier orders of the same {KEYS.get(key, key)} on average, {usual:.2f} in training"
    told = f"look from {levels.look:.0%} of that down, act from {levels.act:.0%}"
    return Signal(
        name=HISTORY,
        subject=KEYS.get(key, key),
        value=ratio,
        level=falling(ratio, levels),
        reason=f"{words}; {told}",
    )


def without_history(key: str, share: float, usual: float, n_orders: int, levels: RisingLevels) -> Signal:
    """Orders that have no history, against the four weeks before."""
    more = share - usual
    noise = BEYOND * np.sqrt(max(usual * (1 - usual), 1 / max(n_orders, 1)) / max(n_orders, 1))
    level = rising(max(more, 0.0), levels) if more > noise else "fine"
    words = f"{share:.1%} of the orders have no earlier one of the same {KEYS.get(key, key)}"
    told = (
        f"{usual:.1%} in the four weeks before; look from {levels.look:.0%} more, act from {levels.act:.0%}"
    )
    return Signal(
        name=WITHOUT_HISTORY,
        subject=KEYS.get(key, key),
        value=share,
        level=level,
        reason=f"{words}, {told}",
    )


class Share(NamedTuple):
    """The mean of a figure over some orders."""

    value: float
    n_orders: int


def against_usual(
    name: str, what: str, day: Share, two: Share | None, usual: UsualDays, levels: RisingLevels
) -> Signal | None:
    """A daily share against the reference's; None where the reference has none.

    Args:
        name: of the signal.
        what: the share in words.
        day: of the day.
        two: of the day and the one before, together, which alone call for action; None = that had no orders.
        usual: of the reference's days.
        levels: of the ratio, or its inverse.
    """
    if usual.mean <= 0:
        return None
    level = _beyond_usual(day, usual, levels, BEYOND_DAYS)
    if level == "act":
        level = "look"
    if level == "look" and two is not None and _beyond_usual(two, usual, levels, BEYOND_TO_ACT) == "act":
        level = "act"
    ratio = day.value / usual.mean
    words = f"{what} {day.value:.2%}, {ratio:.2f} times the reference's {usual.mean:.2%}"
    both = f"; {two.value / usual.mean:.2f} times with the day before" if two is not None else ""
    told = f"look from {levels.look:g} times up or down, act from {levels.act:g} over two days"
    return Signal(name=name, value=ratio, level=level, reason=f"{words}{both}; {told}")


def _beyond_usual(share: Share, usual: UsualDays, levels: RisingLevels, beyond: float) -> Level:
    own = usual.deviation / share.n_orders**0.5
    sure = beyond * np.hypot(own, usual.spread * usual.mean)
    # Days differ by factors: a share is never below nothing, but may be a tenth. None of n is at most 3 / n.
    factor = np.log(usual.mean / max(share.value, 3 / share.n_orders))
    if abs(share.value - usual.mean) <= sure and factor <= sure / usual.mean:
        return "fine"
    ratio = share.value / usual.mean
    return rising(max(ratio, 1 / ratio) if ratio > 0 else levels.act, levels)


def share_signal(
    name: str, words: str, share: float, n_orders: int, levels: RisingLevels, needs_labels: bool = False
) -> Signal:
    """A share of orders that should be near 0; one order in a small day is chance."""
    noise = BEYOND * np.sqrt(max(share * (1 - share), 0.0) / max(n_orders, 1))
    level = rising(share, levels) if share > noise else "fine"
    told = f"look from {levels.look:.0%}, act from {levels.act:.0%}"
    return Signal(
        name=name, value=share, level=level, reason=f"{share:.1%} {words}; {told}", needs_labels=needs_labels
    )


def losses(baseline: Mapping[str, Interval]) -> Iterator[str]:
    """The figures whose loss is looked at: recall at the alert rate, or what of the possible was reached.

    Args:
        baseline: figures of the reference.
    """
    recall, reached = (baseline.get(name) for name in ("recall_at_rate", "reached_at_rate"))
    is_full = bool(recall and reached and reached.value >= FULL * recall.value)
    left_out = "recall_at_rate" if is_full else "reached_at_rate"
    yield from (name for name in LOSSES if name in baseline and name != left_out)


def loss(figure: str, found: Interval, baseline: Interval, levels: RisingLevels) -> Signal:
    """How much of a figure's worth a week has lost against the reference."""
    name, nothing = LOSSES[figure]
    worth = baseline.value - nothing
    lost = (baseline.value - found.value) / worth if worth > 0 else 0.0
    is_apart = found.high < baseline.low
    level = rising(max(lost, 0.0), levels) if is_apart else "fine"
    words = f"{name} {found.value:.3f} [{found.low:.3f}, {found.high:.3f}] over seven labelled days"
    before = f"the reference had {baseline.value:.3f} [{baseline.low:.3f}, {baseline.high:.3f}]"
    told = f"look from {levels.look:.0%} lost, act from {levels.act:.0%}"
    chance = "" if is_apart else "; the intervals meet"
    return Signal(
        name=LOSS, subject=name, value=lost, level=level, needs_labels=True,
        reason=f"{words}, {before}{chance}; {told}",
    )  # fmt: skip


def calibration(frauds: int, promised: float, spread: float, levels: RisingLevels) -> Signal:
    """Frauds against the sum of their probabilities.

    Args:
        frauds: of seven labelled days.
        promised: sum of the probabilities of the same orders.
        spread: standard deviation of the logarithm of this ratio between weeks.
        levels: of the ratio, or its inverse.
    """
    ratio = (frauds + 0.5) / (promised + 0.5)
    is_chance = abs(np.log(ratio)) <= BEYOND * np.hypot(spread, (frauds + 0.5) ** -0.5)
    level: Level = "fine" if is_chance else rising(max(ratio, 1 / ratio), levels)
    words = f"{frauds:,} frauds in seven labelled days, the probabilities promised {promised:,.0f}"
    told = f"look from {levels.look:g} times up or down, act from {levels.act:g}"
    chance = "; within what weeks differ by chance" if is_chance else ""
    return Signal(
        name=CALIBRATION, value=ratio, level=level, reason=f"{words}{chance}; {told}", needs_labels=True
    )


def lasting(today: Sequence[Signal], before: Sequence[Signal]) -> tuple[Signal, ...]:
    """The signals of a day, where one that calls for action alone, without the day before, is for a look.

    Args:
        today: of the day, as its own figures have it.
        before: of the day before, as its own figures have it.
    """
    acted = {one.title for one in before if one.level == "act"}
    return tuple(
        one.changed(level="look", reason=f"{one.reason}; on one day so far")
        if one.level == "act" and one.title not in acted and not _spans_days(one)
        else one
        for one in today
    )


def _spans_days(one: Signal) -> bool:
    return one.needs_labels or one.name in (DRIFT, SCORE_DRIFT, ALERT_RATE, EXPECTED_FRAUD)
