"""What a history store must keep for a model."""

from __future__ import annotations

from tsa_model.events.units import DAY_US
from tsa_model.online.derived import DerivedColumns
from tsa_model.online.history import KINDS, Columns, HistoryError
from tsa_model.settings.dataset import DatasetDescription

LATE_DAYS = 7.0
"""An order may come so much later than a younger one of its customer or card, unless it is said otherwise."""


def columns_of(description: DatasetDescription, late_days: float = LATE_DAYS) -> Columns:
    """What a store must keep for a model of this description.

    Raises:
        HistoryError: its orders are wide rows, which carry their own histories.
    """
    if description.layout == "wide":
        raise HistoryError("orders of the wide layout carry their own histories: no store is needed for them")
    derived = DerivedColumns.of(description)
    return Columns(
        order_id=description.order_id,
        customer_id=description.customer_id,
        card_id=description.card_id,
        fold_keys=description.fold_keys,
        categorical=description.raw_categorical,
        numerical=description.raw_numerical,
        derived=derived.kept,
        windows=tuple(each for each in description.windows if set(each.columns()) & set(derived.kept)),
        lags=tuple(each for each in description.lags if set(each.columns()) & set(derived.kept)),
        summed=derived.summed(),
        fraud_summed=derived.fraud_summed(),
        labelled=derived.labelled(),
        fold_text=description.fold_text,
        label_delay_us=round(description.label_delay_days * DAY_US),
        has_label_times=description.label_time is not None,
        latest=max(description.seq_len - 1, *map(derived.most_back, KINDS)),
        reach_us=max(derived.reach_us.values()),
        late_us=round(late_days * DAY_US),
    )


def check_fits(kept: Columns, wanted: Columns) -> None:
    """Refuse a store for a model.

    Args:
        kept: what the store keeps.
        wanted: what the model needs.

    Raises:
        HistoryError: it keeps something else, or too little.
    """
    free = {"late_us", "is_whole"}
    for name in Columns.model_fields:
        have, need = getattr(kept, name), getattr(wanted, name)
        if name in free or have == need or (name in ("latest", "reach_us") and have >= need):
            continue
        raise HistoryError(
            f"the history store was made with {name} {have!r}, the model needs {need!r}: load a store for it"
        )
