"""What the reasons of a score are about, and the words they are said in."""

from __future__ import annotations

import string

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from tsa_model.settings.base import Settings

WORDS = {
    "category": "{name} {value}",
    "category_unknown": "{name} that training orders hardly had",
    "category_first": "first order with {name} {value} from this customer",
    "category_usual": "{name} {value}, as in {same} of this customer's last {orders} orders",
    "number": "{name} {value}; genuine orders mostly {typical}",
    "number_usual": "{name} {value}, about this customer's usual {usual}",
    "number_more": "{name} {value}, {times} times this customer's usual",
    "number_less": "{name} {value}, this customer's usual is {usual}",
    "hour": "placed at {value} o'clock (UTC)",
    "weekday": "placed on a {value}",
    "weekend": "placed {value}",
    "night": "placed {value}",
    "count": "{value} earlier orders {whose} in the last {span}",
    "mean": "mean {column} {value} of the orders {whose} in the last {span}",
    "ratio": "{column} {value} times the mean of the orders {whose} in the last {span}",
    "difference": "{column} {value} away from the mean of the orders {whose} in the last {span}",
    "label_rate": "{percent} of the judged orders {whose} were fraud",
    "label_count": "{value} orders {whose} are judged by now",
    "fraud_mean": "mean {column} {value} of the known frauds {whose}",
    "fraud_none": "no known fraud {whose} of late",
    "gap": "{value} since the last order {whose}",
    "gap_none": "no earlier order {whose}",
    "value": "{column} {value} in the order before, {whose}",
    "lag_difference": "{column} {value} away from that of the order before, {whose}",
    "lag_ratio": "{column} {value} times that of the order before, {whose}",
    "same": "same {column} as the order before, {whose}",
    "other": "another {column} than the order before, {whose}",
    "position": "{value} earlier orders {whose}",
    "group": "{name}: {values}",
    "order": "the order {ago} before, {whose}{about}",
    "older": "{orders} older orders {whose}, up to {ago} before",
    "burst": "{orders} orders {whose} in the last {span}",
    "no_history": "no earlier order {whose}",
    "side_order": "the order itself",
    "side_customer": "the customer's history",
    "side_card": "the card's history",
    "customer": "by this customer",
    "card": "with this card",
    "fraud": "known to be fraud",
}
"""Template → the words of a reason; `customer` and `card` are what `{whose}` becomes."""


class ReasonsConfig(Settings):
    """How features are grouped and named where a score is explained (docs/REASONS.md)."""

    groups: dict[str, tuple[str, ...]] = {}
    """Name → columns of one side that are taken away together; every other column stands by itself. A side
    with at most ten groups and orders is computed exactly, a larger one is sampled."""
    names: dict[str, str] = {}
    """Column or group → what people call it; otherwise its own name with spaces for underscores."""
    words: dict[str, str] = {}
    """Template → other words for it. A column is a template too; it may hold `{name}` and `{value}`."""
    least_share: float = Field(default=0.05, ge=0, lt=1)
    """Reasons that raise the score by less than this share of all that raises it are not said."""
    most_said: PositiveInt = 5
    """Reasons that are said of an order at most, the one that speaks against fraud not counted."""
    most_alerts: NonNegativeInt = 500
    """Alerts of the test period that the scoring stage explains, the highest scores first; 0 = none."""
    most_minutes: PositiveFloat = 30.0
    """After so long it begins no further order."""
    background_orders: PositiveInt = 64
    """Genuine training orders that are recorded with a model: absent features take their values."""

    @model_validator(mode="after")
    def _check(self) -> ReasonsConfig:
        seen: dict[str, str] = {}
        for group, columns in self.groups.items():
            if not columns:
                raise ValueError(f"the group {group!r} has no columns")
            for column in columns:
                if column in seen:
                    raise ValueError(f"column {column!r} is in two groups: {seen[column]!r} and {group!r}")
                seen[column] = group
        for name, template in self.words.items():
            allowed = _fields(WORDS[name], name) if name in WORDS else {"name", "value"}
            strange = sorted(_fields(template, name) - allowed)
            if strange:
                raise ValueError(f"words.{name} has {strange}; there are {sorted(allowed)}: {template!r}")
        return self


def _fields(template: str, name: str) -> set[str]:
    """The names in a template's braces."""
    try:
        return {field for _, field, _, _ in string.Formatter().parse(template) if field is not None}
    except ValueError as error:
        raise ValueError(f"words.{name} is no template ({error}): {template!r}") from None
