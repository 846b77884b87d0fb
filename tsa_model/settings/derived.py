"""Columns that are computed from a key's earlier orders: what a description says of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from tsa_model.settings.base import Settings

ABOUT_LABELS = ("label_rate", "label_count", "fraud_mean")
"""Statistics over labels that are known by then."""
OF_A_COLUMN = ("mean", "ratio", "difference", "fraud_mean")


class Window(Settings):
    """Columns `{name}_{days}d`: a statistic over the key's earlier orders, causal by construction.

    `count`, `mean`, `ratio` and `difference` look at the orders of the last `days` days strictly before the
    order; `label_rate`, `label_count` and `fraud_mean` at the labels known at the order's moment, so at the
    `days` days that end `label_delay_days` earlier. An empty window gives 0, but `ratio` 1.
    """

    name: str
    key: Literal["customer", "card"]
    statistic: Literal["count", "mean", "ratio", "difference", "label_rate", "label_count", "fraud_mean"]
    """`ratio` is the order's own value over the window's mean, `difference` is that value minus the mean;
    `label_count` counts known labels; `fraud_mean` is the mean of the known frauds' values."""
    column: str | None = None
    """The raw numerical column of `mean`, `ratio`, `difference` and `fraud_mean`."""
    days: tuple[PositiveFloat, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Window:
        if (self.statistic in OF_A_COLUMN) != (self.column is not None):
            raise ValueError(
                f"window {self.name!r}: statistic {self.statistic!r} with column={self.column!r}; "
                "mean, ratio, difference and fraud_mean need a column, the others take none"
            )
        return self

    @property
    def is_about_labels(self) -> bool:
        """Whether it looks at labels, and so at none that is not known yet."""
        return self.statistic in ABOUT_LABELS

    def columns(self) -> dict[str, float]:
        """Name of every column this window makes → its length in days."""
        return {f"{self.name}_{days:g}d": days for days in self.days}


class Lag(Settings):
    """Columns `{name}_{back}`: the key's earlier orders, one by one; the last strictly earlier one is 1 back.

    Where there are fewer, `gap` is 10^7 (so is a longer one), `value` the order's own, `difference` 0,
    `ratio` 1 and `same` 0. `position` is one column `{name}`.
    """

    name: str
    key: Literal["customer", "card"]
    statistic: Literal["gap", "value", "difference", "ratio", "same", "position"]
    """`gap`: seconds since that order; `value`: its number; `difference`, `ratio`: the order's own number
    minus it, over it; `same`: 1 where both have one category; `position`: number of earlier orders."""
    column: str | None = None
    """The raw numerical column of `value`, `difference` and `ratio`, or the categorical feature of `same`."""
    back: tuple[PositiveInt, ...] = Field(default=(1,), min_length=1)
    """How many orders back; `position` takes none."""
    log: bool = False
    """log(1 + x) of a gap, a position or a value, with the sign of x."""

    @model_validator(mode="after")
    def _check(self) -> Lag:
        if (self.statistic in ("gap", "position")) != (self.column is None):
            raise ValueError(
                f"lag {self.name!r}: statistic {self.statistic!r} with column={self.column!r}; "
                "gap and position take no column, the others need one"
            )
        if self.statistic == "position" and self.back != (1,):
            raise ValueError(f"lag {self.name!r}: position with back={list(self.back)}; it takes none")
        if self.log and self.statistic not in ("gap", "position", "value"):
            raise ValueError(f"lag {self.name!r}: log is for gap, position and value, not {self.statistic!r}")
        return self

    def columns(self) -> dict[str, int]:
        """Name of every column this makes → how many orders it looks back."""
        if self.statistic == "position":
            return {self.name: 1}
        return {f"{self.name}_{back}": back for back in self.back}
