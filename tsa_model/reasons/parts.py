"""The parts of an order that a reason can be about: features and earlier orders, each on its side."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from tsa_model.sequences.features.preprocessing import Preprocessing
from tsa_model.settings.dataset import KNOWN_LABEL, DatasetDescription
from tsa_model.settings.derived import Lag, Window

Side = Literal["order", "customer", "card"]
"""The order's own features, the customer's history, the card's history."""
ALONE = 12
"""Latest orders of a history that stand by themselves; older ones are taken together."""


@dataclass(frozen=True)
class Part:
    """A player of the games in `attribution.py`: present as it is, or absent.

    Attributes:
        side: where it belongs.
        feature: name of a column or a group; None for earlier orders.
        categorical: its places among the categorical features.
        numbers: its places among the numerical and engineered features, one after the other.
        back: of earlier orders, how many orders back each of them is; 1 = the latest.
    """

    side: Side
    feature: str | None = None
    categorical: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()
    back: tuple[int, ...] = ()


def feature_parts(
    dataset: DatasetDescription,
    fitted: Preprocessing,
    groups: Mapping[str, tuple[str, ...]],
    following: Collection[str] = (),
) -> tuple[Part, ...]:
    """The features of the current order, a part for each column or group.

    A column that is computed from a history belongs to its side, because it says the same as its orders.

    Args:
        dataset: the columns' roles.
        fitted: the columns in the network's sequence.
        groups: name → columns.
        following: columns that are no parts, because they follow the orders of a history.

    Raises:
        ValueError: a group names an unknown column, or columns of two sides.
    """
    history = _columns_of_histories(dataset)
    numbers = [*fitted.numerical, *fitted.engineered]
    columns = [name for name in dict.fromkeys([*fitted.categorical, *numbers]) if name != KNOWN_LABEL]
    columns = [name for name in columns if name not in following]
    group_of = {column: group for group, members in groups.items() for column in members}
    strange = sorted(set(group_of) - set(columns))
    if strange:
        raise ValueError(
            f"reasons.groups names {strange}; columns that follow the orders of a history cannot be grouped, "
            f"and these can: {columns}"
        )
    members: dict[str, list[str]] = {}
    for column in columns:
        members.setdefault(group_of.get(column, column), []).append(column)
    parts = []
    for name, inside in members.items():
        sides = {history.get(column, "order") for column in inside}
        if len(sides) > 1:
            raise ValueError(f"the group {name!r} has columns of {' and '.join(sorted(sides))}: {inside}")
        parts.append(
            Part(
                side=sides.pop(),
                feature=name,
                categorical=tuple(k for k, column in enumerate(fitted.categorical) if column in inside),
                numbers=tuple(k for k, column in enumerate(numbers) if column in inside),
            )
        )
    return tuple(parts)


def order_parts(side: Side, earlier: int) -> tuple[Part, ...]:
    """The orders of a history: the latest ones alone, the older ones together.

    Args:
        side: whose history.
        earlier: its orders.
    """
    alone = earlier if earlier <= ALONE + 1 else ALONE
    parts = [Part(side, back=(back,)) for back in range(1, alone + 1)]
    if earlier > alone:
        parts.append(Part(side, back=tuple(range(alone + 1, earlier + 1))))
    return tuple(parts)


def _columns_of_histories(dataset: DatasetDescription) -> dict[str, Side]:
    found: dict[str, Side] = {}
    derived: tuple[Window | Lag, ...] = (*dataset.windows, *dataset.lags)
    for each in derived:
        found.update(dict.fromkeys(each.columns(), each.key))
    return found
