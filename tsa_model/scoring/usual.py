"""Are the orders to score like those the model learned from? Asked before any score is believed.

The contract of raw events asks the same of the periods of a run (`drift` in the dataset description). Here
the orders of one file are held against what the model folder says of the training period.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsa_model.evaluation.rival import current_orders
from tsa_model.scoring.model import ScoringModel
from tsa_model.sequences import SequenceStore
from tsa_model.settings.dataset import KNOWN_LABEL

Tell = Callable[[str], None]
WHOSE = {"cid": "customer", "ccid": "card"}


class UnusualOrders(ValueError):
    """The orders differ so much from the training period that their scores would mean nothing."""


def check_histories(
    store: SequenceStore, rows: NDArray[Any], model: ScoringModel, allow_short: bool, tell: Tell
) -> None:
    """Compare the length of histories with the training period's.

    Args:
        store: the orders and their histories.
        rows: [n] row numbers of the orders to score.
        model: says how long histories were in training, and how much shorter they may be.
        allow_short: warn where the check would stop.
        tell: takes warnings.

    Raises:
        UnusualOrders: histories are below `drift.history_stop` of their usual length.
    """
    drift = model.dataset.drift
    for key, lengths in store.history_lengths(rows).items():
        usual = model.description.training_history.get(key, 0.0)
        if not usual or not lengths.size:
            continue
        found = float(lengths.mean())
        if found >= drift.history_warn * usual:
            continue
        words = (
            f"the {rows.size:,} orders to score have {found:.2f} earlier orders of the same {WHOSE[key]} on "
            f"average, those of the training period had {usual:.2f}"
        )
        if drift.history_stop is None or found >= drift.history_stop * usual or allow_short:
            tell(f"{words}: scores are less certain")
            continue
        raise UnusualOrders(
            f"{words}: their histories are missing. Give the file with the earlier orders as --history FILE, "
            "or say --allow-short-histories if these orders really have no past"
        )


def check_categories(store: SequenceStore, rows: NDArray[Any], model: ScoringModel, tell: Tell) -> None:
    """Compare the share of categories that the vocabulary does not know with what is allowed.

    Args:
        store: the orders.
        rows: [n] row numbers of the orders to score.
        model: says how large the share may be.
        tell: takes warnings.

    Raises:
        UnusualOrders: a column's share is above `drift.unknown_stop`.
    """
    drift, categories = model.dataset.drift, current_orders(store, rows)[0]
    for place, (name, vocabulary) in enumerate(store.preprocessing.categorical.items()):
        share = float(np.mean(categories[:, place] == vocabulary.unknown)) if rows.size else 0.0
        if name == KNOWN_LABEL or share <= drift.unknown_warn:
            continue
        words = f"{share:.1%} of the orders have a value of {name!r} that training hardly knew"
        if drift.unknown_stop is not None and share > drift.unknown_stop:
            raise UnusualOrders(
                f"{words}: is the column written in another way than before? Where it is right, retrain, or"
                " raise drift.unknown_stop in the model's description"
            )
        tell(f"{words}: scores are less certain")
