"""Reasons in words: one template for each role and statistic, filled in from what the network saw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from tsa_model.reasons.game import HISTORY_SIDES, Case
from tsa_model.reasons.parts import Part, Side
from tsa_model.reasons.values import DAY, HOUR, MINUTE, Decoder, SeenOrder, duration, shown_number
from tsa_model.settings.dataset import DatasetDescription
from tsa_model.settings.derived import Lag, Window
from tsa_model.settings.reasons import WORDS, ReasonsConfig

UNUSUAL = 1.5
"""A number this many times the usual, or the inverse, is not about the usual."""
NO_GAP_S = 9.9e6
"""A gap that stands for no earlier order."""
SPANS = (20 * MINUTE, HOUR, 2 * HOUR, 6 * HOUR, DAY, 3 * DAY, 7 * DAY, 30 * DAY)
SHOWN_VALUES = 3
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
TELLING = 3
"""Values of an earlier order that are said of it."""


class Words:
    """Says what is to be said of one order.

    Args:
        case: the order.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        rules = case.rules
        self.dataset: DatasetDescription = rules.dataset
        self.settings: ReasonsConfig = rules.described.settings
        self._amount = rules.described.amount
        decoder = Decoder(rules.fitted)
        self.histories: dict[Side, list[SeenOrder]] = {
            side: decoder.history(case.row, names)
            for side, names in zip(HISTORY_SIDES, rules.names, strict=False)
        }
        """Side → the current order, then the earlier ones, the latest first."""
        self._derived = _derived(self.dataset)
        self._decoder = decoder

    @property
    def now(self) -> SeenOrder:
        """The order that is explained."""
        return self.histories["customer"][0]

    def of(self, part: Part) -> str:
        """What a part says."""
        if part.back:
            return self._of_orders(part)
        columns = self.columns(part)
        assert part.feature is not None
        if len(columns) == 1:
            return self.of_column(columns[0])
        values = ", ".join(f"{self.name(each)} {self.value(each)}" for each in columns[:SHOWN_VALUES])
        return self._fill("group", name=self.name(part.feature), values=values)

    def columns(self, part: Part) -> list[str]:
        """The columns of a feature."""
        fitted = self.case.rules.fitted
        numbers = [*fitted.numerical, *fitted.engineered]
        names = [list(fitted.categorical)[k] for k in part.categorical] + [numbers[k] for k in part.numbers]
        return list(dict.fromkeys(names))

    def name(self, column: str) -> str:
        """What people call a column or a group."""
        return self.settings.names.get(column, column.replace("_", " "))

    def value(self, column: str) -> str:
        """The value of a column of the current order."""
        if column in self.now.texts:
            return self.now.texts[column] or "not known from training"
        value = self.now.numbers[column]
        return shown_number(_exp(value) if column in self.dataset.log_columns else value)

    def side(self, side: Side) -> str:
        """What people call a side."""
        return self._fill(f"side_{side}")

    def whose(self, side: Side) -> str:
        """The customer's or the card's."""
        return self._fill("customer" if side == "customer" else "card")

    def of_column(self, column: str) -> str:
        """What one column of the current order says."""
        if column in self.settings.words:
            return self.settings.words[column].format(name=self.name(column), value=self.value(column))
        if column in self._derived:
            return self._of_derived(column)
        if column in self.dataset.calendar:
            return self._fill(column, value=self._calendar(column))
        return self._of_text(column) if column in self.now.texts else self._of_number(column)

    def burst(self, side: Side, newest: int) -> str:
        """How many orders there were lately.

        Args:
            side: whose history.
            newest: how far back the orders reach that speak for fraud.
        """
        earlier = self.histories[side][1:]
        if not earlier:
            return self._fill("no_history", whose=self.whose(side))
        reach = earlier[min(newest, len(earlier)) - 1].ago_s
        span = next((each for each in SPANS if reach <= each), None)
        if span is None:
            return self._fill("older", orders=len(earlier), whose=self.whose(side), ago=duration(reach))
        count = sum(order.ago_s <= span for order in earlier)
        return self._fill("burst", orders=count, whose=self.whose(side), span=duration(span))

    def _fill(self, template: str, **values: Any) -> str:
        text = self.settings.words.get(template, WORDS[template]).format(**values)
        return text.replace("1 orders", "1 order") if text.startswith("1 ") else text

    def _of_text(self, column: str) -> str:
        value, name = self.now.texts[column], self.name(column)
        if value is None:
            return self._fill("category_unknown", name=name)
        earlier = self.histories["customer"][1:]
        same = sum(order.texts[column] == value for order in earlier)
        if not earlier:
            return self._fill("category", name=name, value=value)
        if not same:
            return self._fill("category_first", name=name, value=value)
        return self._fill("category_usual", name=name, value=value, same=same, orders=len(earlier))

    def _of_number(self, column: str) -> str:
        value, name = self.now.numbers[column], self.name(column)
        is_log = column in self.dataset.log_columns

        def shown(number: float) -> str:
            return self._money(column, _exp(number) if is_log else number)

        earlier = [
            order.numbers[column] for order in self.histories["customer"][1:] if column in order.numbers
        ]
        if not earlier:
            return self._fill("number", name=name, value=shown(value), typical=shown(self._typical(column)))
        usual = float(np.median(earlier))
        raw, raw_usual = (_exp(value), _exp(usual)) if is_log else (value, usual)
        times = raw / raw_usual if raw_usual > 0 else math.inf
        if raw >= 0 and UNUSUAL <= times < math.inf:
            return self._fill("number_more", name=name, value=shown(value), times=_times(times))
        if raw == raw_usual or 1 / UNUSUAL < times < UNUSUAL:
            return self._fill("number_usual", name=name, value=shown(value), usual=shown(usual))
        return self._fill("number_less", name=name, value=shown(value), usual=shown(usual))

    def _money(self, column: str, value: float) -> str:
        return f"{value:,.2f}" if column == self._amount else shown_number(value)

    def _typical(self, column: str) -> float:
        return self._typical_numbers[column]

    @cached_property
    def _typical_numbers(self) -> dict[str, float]:
        """Medians of the background."""
        median = np.median(self.case.rules.described.numbers(), axis=0)
        n_num = len(self.case.rules.fitted.numerical)
        found = self._decoder.numbers(median[n_num:], engineered=True)
        return {**found, **self._decoder.numbers(median[:n_num])}

    def _calendar(self, column: str) -> str:
        value = self.now.texts.get(column)
        number = int(value) if value is not None else round(self.now.numbers.get(column, 0))
        if column == "weekday":
            return WEEKDAYS[number % 7]
        if column == "weekend":
            return "at the weekend" if number else "on a working day"
        if column == "night":
            return "at night" if number else "in daytime"
        return str(number)

    def _of_derived(self, column: str) -> str:
        made, extent = self._derived[column]
        value = self.now.numbers[column]
        whose = self.whose(made.key)
        of = self.name(made.column) if made.column is not None else ""
        if isinstance(made, Window):
            no_fraud = made.statistic == "fraud_mean" and shown_number(value) == "0"
            return self._fill(
                "fraud_none" if no_fraud else made.statistic,
                value=_times(value) if made.statistic == "ratio" else shown_number(value),
                percent=f"{value:.0%}",
                whose=whose,
                span=duration(extent * DAY),
                column=of,
            )
        value = _exp(value) if made.log else value
        template = {"difference": "lag_difference", "ratio": "lag_ratio"}.get(made.statistic, made.statistic)
        shown = _times(value) if made.statistic == "ratio" else shown_number(value)
        if made.statistic == "gap":
            template, shown = ("gap_none", "") if value >= NO_GAP_S else ("gap", duration(value))
        if made.statistic == "same":
            template = "same" if value > 0.5 else "other"
        if made.statistic == "position":
            shown = f"{round(value):,}"
        return self._fill(template, value=shown, whose=whose, column=of)

    def _of_orders(self, part: Part) -> str:
        history = self.histories[part.side]
        oldest = history[part.back[-1]]
        whose, ago = self.whose(part.side), duration(oldest.ago_s)
        if len(part.back) > 1:
            return self._fill("older", orders=len(part.back), whose=whose, ago=ago)
        return self._fill("order", ago=ago, whose=whose, about=self._about(oldest))

    def _about(self, order: SeenOrder) -> str:
        """What is told of an earlier order: that it was fraud, its amount, where it differs."""
        told: list[str] = []
        if order.is_known_fraud:
            told.append(self._fill("fraud"))
        if self._amount is not None and self._amount in order.numbers:
            told.append(f"{self.name(self._amount)} {self._money(self._amount, order.numbers[self._amount])}")
        differing = [c for c, text in order.texts.items() if text is not None and text != self.now.texts[c]]
        told += [f"{self.name(column)} {order.texts[column]}" for column in differing[: TELLING - len(told)]]
        return f" ({', '.join(told)})" if told else ""


def _derived(dataset: DatasetDescription) -> dict[str, tuple[Window | Lag, float]]:
    made: dict[str, tuple[Window | Lag, float]] = {}
    both: Sequence[Window | Lag] = (*dataset.windows, *dataset.lags)
    for each in both:
        made.update({name: (each, float(extent)) for name, extent in each.columns().items()})
    return made


def _times(value: float) -> str:
    return f"{value:,.0f}" if value >= 3 else f"{value:.1f}"


def _exp(value: float) -> float:
    """The inverse of log(1 + |x|) with the sign of x."""
    return math.copysign(math.expm1(min(abs(value), 700.0)), value)
