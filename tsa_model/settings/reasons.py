"""What the reasons of a score are about, and the words they are said in."""

from __future__ import annotations

from pydantic import Field, PositiveInt, model_validator

from tsa_model.settings.base import Settings


class ReasonsConfig(Settings):
    """How features are grouped and named where a score is explained (docs/REASONS.md)."""

    groups: dict[str, tuple[str, ...]] = {}
    """Name → columns of one side that are taken away together; every other column stands by itself. A side
    with at most ten groups and orders is computed exactly, a larger one is sampled."""
    names: dict[str, str] = {}
    """Column or group → what people call it."""
    least_share: float = Field(default=0.05, ge=0, lt=1)
    """Reasons that raise the score by less than this share of all that raises it are not said."""
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
        return self
