"""Genuine training orders that stand for "no such feature" where a score is explained.

They are part of an exported model, because a reason is a difference from something: with other orders it
would be another reason.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from tsa_model.evaluation.rival import current_orders
from tsa_model.export.file_names import REASONS_FILE
from tsa_model.files import write_json
from tsa_model.sealed import read_document
from tsa_model.settings import Settings
from tsa_model.settings.reasons import ReasonsConfig

if TYPE_CHECKING:
    from tsa_model.sequences import SequenceStore
    from tsa_model.settings.run import RunConfig


class BackgroundOrder(Settings):
    """What a network sees of one order, without its histories."""

    order_id: int | str
    categorical: tuple[int, ...]
    """Vocabulary indices."""
    numbers: tuple[float, ...]
    """Numerical, then engineered features, scaled; float32."""


class ReasonsDescription(Settings):
    """The content of `reasons.json`."""

    format: Literal[1] = 1
    settings: ReasonsConfig
    """Groups and words of the run description."""
    amount: str | None = None
    """The column with an order's value in money."""
    background: tuple[BackgroundOrder, ...]
    """In the sequence of their hashes, so that the first ones are a sample too."""

    @classmethod
    def of(cls, store: SequenceStore, run: RunConfig) -> ReasonsDescription:
        """Draw the background from a store's training period.

        Orders are drawn by the SHA-256 of their ids: the same ones wherever and whenever a model of the same
        orders is exported.
        """
        rows = store.targets("train")
        rows = rows[store.labels_of(rows) == 0]
        ids = store.ids_of(rows).tolist()
        ranked = sorted(range(len(ids)), key=lambda place: _hash(ids[place]))
        chosen = ranked[: run.reasons.background_orders]
        orders: list[BackgroundOrder] = []
        if chosen:
            categories, values = current_orders(store, rows[np.array(chosen)])
            orders = [
                BackgroundOrder(
                    order_id=ids[place],
                    categorical=tuple(categories[k].tolist()),
                    numbers=tuple(values[k].tolist()),
                )
                for k, place in enumerate(chosen)
            ]
        return cls(settings=run.reasons, amount=run.dataset.amount, background=tuple(orders))

    def categories(self) -> NDArray[np.int64]:
        """[n, Fc] vocabulary indices."""
        return np.array([order.categorical for order in self.background], dtype=np.int64)

    def numbers(self) -> NDArray[np.float32]:
        """[n, Fn + Fe] scaled values."""
        return np.array([order.numbers for order in self.background], dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Write `reasons.json`, which the folder's manifest then lists with its digest."""
        write_json(folder / REASONS_FILE, self.model_dump(mode="json"))

    @classmethod
    def load(cls, folder: Path) -> ReasonsDescription:
        """Read what `save` wrote.

        Raises:
            ValueError: the file is missing, as in model folders of former versions, or holds no order.
        """
        path = folder / REASONS_FILE
        found = read_document(path, cls, "the background of reasons", "export the model again")
        if not found.background:
            raise ValueError(f"{path} holds no orders: the training period had no genuine ones")
        return found


def _hash(order_id: int | str) -> str:
    return hashlib.sha256(str(order_id).encode()).hexdigest()
