"""Orders that a policy in use stopped, whose label nobody knows."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from tsa_model.settings.base import Settings


class Stopping(Settings):
    """What was decided about each order, so that those that passed can stand for those that were stopped."""

    probability: str
    """Column with the probability with which the policy would have stopped the order, in [0, 1], of every
    order, also of those that passed; missing = the order could not have been stopped."""
    decision: str | None = None
    """Column that is 1 where the order was stopped and 0 or missing where it passed; a stopped order is no
    target, whatever its label. None = a stopped order has no label."""
    most_weight: float = Field(default=20.0, ge=1)
    """An order stands for at most so many: larger weights are cut: less noise, more bias."""
    weight_training: bool = True
    """Repeat training targets in proportion to their weights."""

    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return (self.probability,) if self.decision is None else (self.probability, self.decision)

    def check(self, layout: str, taken: Sequence[str]) -> None:
        """Refuse columns that have another role: a model must not read what was decided about the order.

        Args:
            layout: of the orders.
            taken: columns of keys and features.
        """
        both = sorted(set(self.columns()) & set(taken))
        if both:
            raise ValueError(f"stopping names {both[0]!r}, which is a key or a feature too")
        if layout == "wide":
            raise ValueError("stopping: wide rows do not say what was decided; give one row per order")
