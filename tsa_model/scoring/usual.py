"""Are the orders to score like those the model learned from? Asked before any score is believed.

The contract of raw events asks the same of the periods of a run (`drift` in the dataset description). Here
the orders of one file are held against what the model folder says of the training period.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsa_model.evaluation.rival import CHUNK
from tsa_model.scoring.model import ScoringModel
from tsa_model.sequences import SequenceStore
from tsa_model.settings.dataset import KNOWN_LABEL, DatasetDescription

Tell = Callable[[str], None]
FEW_LABELS = 0.5
"""With labels known of fewer earlier orders than this share, a model that reads them is warned about."""
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
    drift = model.dataset.drift
    vocabularies = {
        name: each for name, each in store.preprocessing.categorical.items() if name != KNOWN_LABEL
    }
    unknown = np.array([vocabulary.unknown for vocabulary in vocabularies.values()])
    counts = np.zeros(len(vocabularies), np.int64)
    for start in range(0, rows.size, CHUNK):
        categories = store.own_values(rows[start : start + CHUNK])[0]
        counts += (categories == unknown).sum(axis=0)
    for name, share in zip(vocabularies, (counts / max(rows.size, 1)).tolist(), strict=True):
        if share <= drift.unknown_warn:
            continue
        words = f"{share:.1%} of the orders have a value of {name!r} that training hardly knew"
        if drift.unknown_stop is not None and share > drift.unknown_stop:
            raise UnusualOrders(
                f"{words}: is the column written in another way than before? Where it is right, retrain, or"
                " raise drift.unknown_stop in the model's description"
            )
        tell(f"{words}: scores are less certain")


def check_columns(store: SequenceStore, rows: NDArray[Any], model: ScoringModel, tell: Tell) -> None:
    """Compare the values of every column with the training period's, as the contract of raw events does.

    Args:
        store: the orders.
        rows: [n] row numbers of the orders to score.
        model: holds the histograms of its training period, and says how far later orders may differ.
        tell: takes warnings.

    Raises:
        UnusualOrders: a column's index is above `drift.psi_stop`.
    """
    drift, training = model.dataset.drift, model.training_orders()
    if training is None:
        tell(
            "the model folder is of a former version and holds no histograms of its training period: the "
            "columns of the orders were not compared with it"
        )
        return
    for name, psi in training.compare(store, rows).items():
        if psi <= drift.psi_warn:
            continue
        words = (
            f"column {name!r} is distributed otherwise than in training: population stability index "
            f"{psi:.2f}, expected at most {drift.psi_warn:g}"
        )
        if drift.psi_stop is not None and psi > drift.psi_stop:
            raise UnusualOrders(
                f"{words}, and from {drift.psi_stop:g} on nothing is scored: is the column in another unit, "
                "or written in another way? Where it is right, retrain, or raise drift.psi_stop in the "
                "model's description"
            )
        tell(f"{words}: scores are less certain")


def check_labels(
    store: SequenceStore, rows: NDArray[Any], dataset: DatasetDescription, allow_short: bool, tell: Tell
) -> None:
    """Look for the labels of earlier orders where the model reads them.

    An unknown label is never a genuine order: `known_label` says "not yet known", windows leave it out. But
    where no label is known at all, every window is empty, and such orders were rare in training.

    Args:
        store: the orders and their histories.
        rows: [n] row numbers of the orders to score.
        dataset: which features read labels, and how late these are known.
        allow_short: warn where the check would stop.
        tell: takes warnings.

    Raises:
        UnusualOrders: no label is known.
    """
    readers = [KNOWN_LABEL] if dataset.known_label else []
    readers += [window.name for window in dataset.windows if window.statistic.startswith("label_")]
    if not readers or not rows.size:
        return
    times = store.times_of(np.arange(len(store)))
    delay = np.timedelta64(round(dataset.label_delay_days * 86_400_000_000), "us")
    old_enough = int(np.searchsorted(times, times[rows].max() - delay, side="right"))
    known = int((store.labels_of(np.arange(old_enough)) >= 0).sum())
    if not old_enough or known >= FEW_LABELS * old_enough:
        return
    words = (
        f"the model reads the labels of earlier orders ({', '.join(readers)}), and {known:,} of the "
        f"{old_enough:,} orders that are old enough for one have it; the others count as not known"
    )
    if known or allow_short:
        tell(f"{words}: scores are less certain")
        return
    raise UnusualOrders(
        f"{words}. Give the earlier orders with the column {dataset.label!r} as --history FILE, or say "
        "--allow-short-histories if no label is known yet"
    )
