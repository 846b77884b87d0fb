"""When a label became known: its own moment where the orders say it, the fixed delay elsewhere."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsa_model.events.arrays import flags
from tsa_model.events.units import DAY_US
from tsa_model.settings.dataset import DatasetDescription

TOO_EARLY = "before the order's own time"


def delay_us(description: DatasetDescription) -> int:
    """The fixed label delay in microseconds."""
    return round(description.label_delay_days * DAY_US)


def known_us(label_us: pa.Array, time_us: pa.Array, delay: int) -> pa.Array:
    """From when on each label is known, [n] int64 microseconds.

    Args:
        label_us: [n] the column `label_time`, cast; null = it says nothing, and the delay counts.
        time_us: [n] the orders' times.
        delay: microseconds; see `delay_us`.
    """
    return pc.coalesce(label_us, pc.add(time_us, delay))


def too_early(label_us: pa.Array, time_us: pa.Array) -> np.ndarray:
    """[n] bool, True where a label is said to be known before its order was placed."""
    return flags(pc.less(label_us, time_us))
