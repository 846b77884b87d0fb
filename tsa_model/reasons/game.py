"""One order as a game: the logit of every mixture of present and absent parts, from the exported model.

An absent earlier order is left out of its history, as if it had never been placed: the network sees padding.
An absent feature takes the value that a genuine training order has there; where a mixture needs such orders,
its worth is the mean over some of them. The rows of one order are scored among themselves, so that it does
not matter which other orders are explained with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsa_model.batch import ENGINEERED, History, histories, history_names, sequences_of
from tsa_model.export.background import ReasonsDescription
from tsa_model.export.session import ScoringSession
from tsa_model.reasons.parts import Part, Side, feature_parts, order_parts
from tsa_model.sequences.features.preprocessing import Preprocessing
from tsa_model.settings.dataset import DatasetDescription

CHUNK = 2048
"""Rows assembled at a time."""
HISTORY_SIDES: tuple[Side, Side] = ("customer", "card")


@dataclass(frozen=True)
class Rules:
    """What explaining with one model needs, whatever the order.

    Attributes:
        session: the exported model.
        dataset: the columns' roles.
        fitted: vocabulary and scalers.
        described: groups, words and background.
    """

    session: ScoringSession
    dataset: DatasetDescription
    fitted: Preprocessing
    described: ReasonsDescription

    @cached_property
    def features(self) -> tuple[Part, ...]:
        """Every feature of the current order."""
        return feature_parts(self.dataset, self.fitted, self.described.settings.groups)

    @cached_property
    def names(self) -> tuple[History[str], ...]:
        """The tensor names of each history."""
        return history_names(sequences_of(self.session.input_names))


class Case:
    """One order, its parts, and the logit of any mixture of them.

    Args:
        rules: of the model.
        row: the order as a batch of one row, arrays or tensors under the names of TSA spec, section 1.
    """

    def __init__(self, rules: Rules, row: Mapping[str, Any]) -> None:
        self.rules = rules
        self.row = {name: np.asarray(row[name]) for name in rules.session.input_names}
        self.scored_rows = 0
        """So far, for this order."""
        sides = HISTORY_SIDES[: len(rules.names)]
        orders = [part for side in sides for part in order_parts(side, self.earlier(side))]
        self.parts: tuple[Part, ...] = (*rules.features, *orders)
        self._is_feature = np.array([part.feature is not None for part in self.parts])

    def earlier(self, side: Side) -> int:
        """Orders in a side's history, the current one left out."""
        mask = self.row[self.rules.names[HISTORY_SIDES.index(side)].mask]
        return int((~mask[0, :-1]).sum()) - 1

    @property
    def sides(self) -> tuple[Side, ...]:
        """Those that the model reads."""
        return ("order", *HISTORY_SIDES[: len(self.rules.names)])

    def members(self, side: Side) -> NDArray[np.intp]:
        """Places of a side's parts among all."""
        return np.flatnonzero([part.side == side for part in self.parts])

    def logits(self, present: NDArray[np.bool_], draw: NDArray[np.int64]) -> NDArray[np.float64]:
        """The logit of each mixture with one background order.

        Args:
            present: [N, parts].
            draw: [N] place of the background order from which absent features come.

        Returns:
            [N] log-odds of fraud.
        """
        draw = np.where(present[:, self._is_feature].all(axis=1), 0, draw)  # nothing of it is seen then
        keys = np.column_stack([np.packbits(present, axis=1), draw])
        _, first, back = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        found = [
            self._score(present[some], draw[some])
            for some in np.split(first, range(CHUNK, first.size, CHUNK))
            if some.size
        ]
        self.scored_rows += first.size
        return np.concatenate(found)[back.reshape(-1)]

    def _score(self, present: NDArray[np.bool_], draw: NDArray[np.int64]) -> NDArray[np.float64]:
        logits = self.rules.session.run(self.rows(present, draw))["logits"].astype(np.float64)
        return logits[:, 1] - logits[:, 0]

    def rows(self, present: NDArray[np.bool_], draw: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """The batch of some mixtures; see `logits`."""
        batch: dict[str, NDArray[Any]] = {}
        for side, names in zip(HISTORY_SIDES, self.rules.names, strict=False):
            batch |= zip(names, self._history(side, names, present), strict=True)
        engineered = None
        if ENGINEERED in self.row:
            engineered = batch[ENGINEERED] = np.repeat(self.row[ENGINEERED], len(present), axis=0)
        category, number = self._categories[draw], self._numbers[draw]
        whole = histories(batch, sequences_of(self.rules.session.input_names))
        n_num = whole[0].num.shape[-1]
        for place, part in enumerate(self.parts):
            absent = np.flatnonzero(~present[:, place])
            if not absent.size:
                continue
            for history in whole:
                for column in part.categorical:
                    history.cat[absent, -1, column] = category[absent, column]
                for column in part.numbers:
                    if column < n_num:
                        history.num[absent, -1, column] = number[absent, column]
            for column in part.numbers:
                if column >= n_num and engineered is not None:
                    engineered[absent, column - n_num] = number[absent, column]
        return batch

    @cached_property
    def _categories(self) -> NDArray[np.int64]:
        return self.rules.described.categories()

    @cached_property
    def _numbers(self) -> NDArray[np.float32]:
        return self.rules.described.numbers()

    def _history(self, side: Side, names: History[str], present: NDArray[np.bool_]) -> Sequence[NDArray[Any]]:
        """One history's tensors, [N, ...], with the orders that are present at its end."""
        mask = self.row[names.mask][0]
        length = mask.size - 1
        kept = np.repeat(~mask[None, :-1], len(present), axis=0)
        for place, part in enumerate(self.parts):
            if part.side == side and part.back:
                kept[np.ix_(~present[:, place], length - 1 - np.array(part.back))] = False
        moved = np.argsort(kept, axis=1, kind="stable")  # what is absent goes to the front, as padding
        real = np.take_along_axis(kept, moved, axis=1)
        values = [self.row[name][0][moved] * real[..., None] for name in names[:3]]
        ignored = np.concatenate([~real, np.repeat(mask[None, -1:], len(present), axis=0)], axis=1)
        return [
            *(v.astype(self.row[name].dtype) for v, name in zip(values, names[:3], strict=True)),
            ignored,
        ]
