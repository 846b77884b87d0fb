"""Slices: the groups of orders for which figures are shown and held beside those of all orders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from pydantic import Field, PositiveInt, model_validator

from tsa_model.settings.base import Settings

BuiltIn = Literal["customer_history", "card_history", "new_customer", "new_card", "amount_band", "weekday"]


class SliceColumn(Settings):
    """A slice by the values of one column, which need not be a feature."""

    column: str
    """Read as text, or as a number where `edges` or `bins` are given."""
    name: str = ""
    """Name of the slice; empty = the column's."""
    top: PositiveInt = Field(default=8, le=50)
    """Groups of their own: the most frequent values of the training period; all others are "other"."""
    edges: tuple[float, ...] = ()
    """Bounds between groups of numbers; a value equal to a bound belongs to the upper group."""
    bins: int | None = Field(default=None, ge=2, le=20)
    """Groups of numbers that hold equally many orders of the training period."""
    protected: bool = False
    """Its groups must be treated alike: the report compares their false-positive rates."""

    @model_validator(mode="after")
    def _check(self) -> SliceColumn:
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError(f"slice of {self.column!r}: edges must rise: {list(self.edges)}")
        if self.edges and self.bins is not None:
            raise ValueError(f"slice of {self.column!r}: give edges or bins, not both")
        return self

    @property
    def title(self) -> str:
        """Name of the slice."""
        return self.name or self.column

    @property
    def is_number(self) -> bool:
        """Whether the column is read as numbers."""
        return bool(self.edges) or self.bins is not None


class Slices(Settings):
    """Which groups of orders a report looks at one by one.

    Neither the store nor the weights depend on it; no digest covers it.
    """

    columns: tuple[SliceColumn, ...] = ()
    built_in: tuple[BuiltIn, ...] | None = None
    """Slices that need no column of their own; None = every one that the description of the orders allows.
    `customer_history`, `card_history`: earlier orders of the key; `new_customer`, `new_card`: whether there
    is one; `amount_band`: fifths of the training period's amounts; `weekday`: of the order's time, UTC."""
    fewest_frauds: PositiveInt = 20
    """A group with fewer frauds, or with fewer genuine orders, is named as too small: its figures are not
    shown, and it neither stops nor earns a promotion."""

    @model_validator(mode="after")
    def _check(self) -> Slices:
        titles = [one.title for one in self.columns]
        built_in = get_args(BuiltIn) if self.built_in is None else self.built_in
        twice = sorted({name for name in titles if titles.count(name) > 1 or name in built_in})
        if twice:
            raise ValueError(f"two slices are called {twice[0]!r}: give one of them a name of its own")
        return self

    def chosen(self, has_card: bool, has_amount: bool) -> list[BuiltIn]:
        """The built-in slices of a data set.

        Args:
            has_card: whether orders have a second key.
            has_amount: whether a column has the role of the amount.

        Raises:
            ValueError: a slice is asked for that this data set cannot have.
        """
        lacking: dict[str, str] = {}
        if not has_card:
            lacking |= dict.fromkeys(("card_history", "new_card"), "card_id is not set")
        if not has_amount:
            lacking["amount_band"] = "amount names no column"
        if self.built_in is None:
            return [name for name in get_args(BuiltIn) if name not in lacking]
        refused = [name for name in self.built_in if name in lacking]
        if refused:
            raise ValueError(f"slices.built_in asks for {refused[0]!r}, but {lacking[refused[0]]}")
        return list(self.built_in)

    def check_columns(self, layout: str, taken: Sequence[str]) -> None:
        """Refuse columns that cannot make a slice.

        Args:
            layout: of the orders.
            taken: columns of the order's id, time and label.
        """
        if layout == "wide" and self.columns:
            raise ValueError(
                f"slices.columns names {self.columns[0].column!r}: wide rows have the built-in slices only"
            )
        for one in self.columns:
            if one.column in taken:
                raise ValueError(
                    f"slices.columns names {one.column!r}: an order's id, time and label make no groups"
                )
