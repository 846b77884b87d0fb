"""Dataset description: which column plays which role, when labels become known, how time is split."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import NonNegativeFloat, PositiveInt, model_validator

from tsa_model.settings import Settings


class Split(Settings):
    """Half-open time windows [start, next start); timestamps are UTC. The gaps before `vali`, `cali`
    and `test` may be covered by setting `train_end` etc. when labels are late."""

    train_start: datetime
    train_end: datetime
    vali_start: datetime
    vali_end: datetime
    cali_start: datetime
    cali_end: datetime
    test_start: datetime
    test_end: datetime

    @model_validator(mode="after")
    def _check(self) -> Split:
        order = [getattr(self, name) for name in type(self).model_fields]
        if order != sorted(order):
            raise ValueError(f"split boundaries must not go back in time: {[str(t) for t in order]}")
        return self


class DatasetDescription(Settings):
    """The role of every column of an event log."""

    name: str
    order_id: str
    customer_id: str
    """CID key of the first history."""
    card_id: str
    """CCID key of the second history; null in a row = no card, no card history."""
    order_time: str
    label: str
    """0 genuine, 1 fraud; null or -1 = not yet known: history, never a target."""
    categorical: tuple[str, ...]
    numerical: tuple[str, ...]
    engineered: tuple[str, ...] = ()
    label_delay_days: NonNegativeFloat = 0.0
    """Days until an order's label becomes known."""
    seq_len: PositiveInt = 51
    target_positive_rate: float | None = None
    """Negatives of the training targets are downsampled to this rate; None keeps all."""
    split: Split

    @classmethod
    def load(cls, source: DatasetDescription | dict | str | Path) -> DatasetDescription:
        raise NotImplementedError
