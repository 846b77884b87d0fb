"""One order as a game: the logit of every mixture of present and absent parts, from the exported model.

An absent earlier order is left out of its history, as if it had never been placed: the network sees padding.
Columns that are computed from a history are computed anew from the orders that are left of it (`derived.py`).
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

from tsa_model.batch import ENGINEERED, History, history_names, sequences_of
from tsa_model.export.background import ReasonsDescription
from tsa_model.export.session import ScoringSession
from tsa_model.reasons.derived import DerivedColumn, FollowedColumn, VisibleHistory, derived_columns
from tsa_model.reasons.parts import Part, Side, feature_parts, order_parts
from tsa_model.sequences.features.preprocessing import LABEL_VALUES, Preprocessing
from tsa_model.settings.dataset import KNOWN_LABEL, DatasetDescription

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
        following = {column.name for column in self.derived}
        return feature_parts(self.dataset, self.fitted, self.described.settings.groups, following)

    @cached_property
    def derived(self) -> tuple[DerivedColumn, ...]:
        """The columns that follow the orders of a history."""
        sides = HISTORY_SIDES[: len(self.names)]
        return tuple(each for each in derived_columns(self.dataset, self.fitted) if each.side in sides)

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
        sides = HISTORY_SIDES[: len(self.rules.names)]
        there: dict[Side, NDArray[np.bool_]] = {side: self._there(side, present) for side in sides}
        batch: dict[str, NDArray[Any]] = {}
        for side, names in zip(HISTORY_SIDES, self.rules.names, strict=False):
            batch |= zip(names, self._history(names, there[side]), strict=True)
        if ENGINEERED in self.row:
            batch[ENGINEERED] = np.repeat(self.row[ENGINEERED], len(present), axis=0)
        category, number = self._background
        for place, part in enumerate(self.parts):
            absent = np.flatnonzero(~present[:, place])
            if absent.size and part.feature is not None:
                for names in self.rules.names:
                    for column in part.categorical:
                        batch[names.cat][absent, -1, column] = category[draw[absent], column]
                for column in part.numbers:
                    self._put(batch, absent, column, number[draw[absent], column])
        for side in sides:
            cut = np.flatnonzero(~there[side].all(axis=1))
            left = there[side][cut]
            for each in self._followed[side] if cut.size else ():
                self._follow(batch, each, cut, left)
        return batch

    def column_effects(self, side: Side) -> dict[str, float]:
        """By how much the logit falls when one column of a side is as it were without any history.

        Args:
            side: whose columns; all else stays as it is.

        Returns:
            Name → log-odds.
        """
        columns = self._followed[side]
        if not columns:
            return {}
        batch = {name: np.repeat(values, len(columns) + 1, axis=0) for name, values in self.row.items()}
        nothing = np.zeros((1, self.earlier(side)), dtype=bool)
        for k, each in enumerate(columns):
            self._follow(batch, each, np.array([k]), nothing)
        logits = self.rules.session.run(batch)["logits"].astype(np.float64)
        fall = (logits[-1, 1] - logits[-1, 0]) - (logits[:, 1] - logits[:, 0])
        self.scored_rows += len(columns) + 1
        return {each.column.name: float(fall[k]) for k, each in enumerate(columns)}

    def _follow(
        self,
        batch: dict[str, NDArray[Any]],
        each: FollowedColumn,
        rows: NDArray[np.intp],
        there: NDArray[np.bool_],
    ) -> None:
        """Set a derived column in some rows, to what the orders that are there make of it."""
        values = each.values(there)
        for column, scaler in zip(each.column.places, each.column.scaler, strict=True):
            self._put(batch, rows, column, values * scaler.scale + scaler.min)

    def _put(
        self, batch: dict[str, NDArray[Any]], rows: NDArray[np.intp], column: int, values: NDArray[Any]
    ) -> None:
        """Set a numerical or engineered feature of the current order."""
        n_num = len(self.rules.fitted.numerical)
        if column >= n_num:
            batch[ENGINEERED][rows, column - n_num] = values
            return
        for names in self.rules.names:
            batch[names.num][rows, -1, column] = values

    @cached_property
    def _background(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        return self.rules.described.categories(), self.rules.described.numbers()

    def _actual(self, derived: DerivedColumn) -> float:
        """A derived column as the network sees it, not scaled."""
        place, scaler = derived.places[0], derived.scaler[0]
        n_num = len(self.rules.fitted.numerical)
        if place >= n_num:
            value = self.row[ENGINEERED][0, place - n_num]
        else:
            value = self.row[self.rules.names[0].num][0, -1, place]
        return (float(value) - scaler.min) / (scaler.scale or 1.0)

    @cached_property
    def _followed(self) -> dict[Side, list[FollowedColumn]]:
        """The derived columns of each history."""
        found: dict[Side, list[FollowedColumn]] = {}
        for side, names in zip(HISTORY_SIDES, self.rules.names, strict=False):
            visible = self._visible_of(names)
            found[side] = [
                FollowedColumn(column, visible, self._actual(column))
                for column in self.rules.derived
                if column.side == side
            ]
        return found

    def _visible_of(self, names: History[str]) -> VisibleHistory:
        """What the network sees of a history, the latest order first."""
        fitted = self.rules.fitted
        real = np.flatnonzero(~self.row[names.mask][0, :-1])[::-1]
        columns: dict[str, NDArray[np.float64]] = {}
        for k, name in enumerate(fitted.categorical):
            columns[name] = self.row[names.cat][0, real, k].astype(np.float64)
        for k, (name, scaler) in enumerate(fitted.numerical.items()):
            scaled = self.row[names.num][0, real, k].astype(np.float64)
            columns[name] = (scaled - scaler.min) / (scaler.scale or 1.0)
        label = np.full(real.size, np.nan)
        if KNOWN_LABEL in fitted.categorical:
            index = fitted.categorical[KNOWN_LABEL].values
            for value, word in enumerate(LABEL_VALUES[1:]):
                label[columns[KNOWN_LABEL] == index[word]] = value
        ago_s = self.row[names.time][0, real, 0].astype(np.float64)
        earlier = {name: values[1:] for name, values in columns.items()}
        return VisibleHistory(
            ago_s[1:], label[1:], earlier, {name: float(values[0]) for name, values in columns.items()}
        )

    def _there(self, side: Side, present: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which orders of a history are present, the latest first, [N, earlier orders]."""
        there = np.ones((len(present), self.earlier(side)), dtype=bool)
        for place, part in enumerate(self.parts):
            if part.side == side and part.back:
                there[:, np.array(part.back) - 1] = present[:, place, None]
        return there

    def _history(self, names: History[str], there: NDArray[np.bool_]) -> Sequence[NDArray[Any]]:
        """One history's tensors, [N, ...], with the orders that are present at its end."""
        if there.all():
            return [np.repeat(self.row[name], len(there), axis=0) for name in names]
        mask = self.row[names.mask][0]
        length, earlier = mask.size - 1, there.shape[1]
        kept = np.zeros((len(there), length), dtype=bool)
        kept[:, -1] = True
        kept[:, length - 1 - earlier : -1] = there[:, ::-1]
        moved = np.argsort(kept, axis=1, kind="stable")  # what is absent goes to the front, as padding
        real = np.take_along_axis(kept, moved, axis=1)
        moved[~real] = length  # the row of nothing behind all others
        values = []
        for name in names[:3]:
            orders = self.row[name][0]
            nothing = np.zeros((1, *orders.shape[1:]), dtype=orders.dtype)
            values.append(np.take(np.concatenate([orders, nothing]), moved, axis=0))
        return [*values, np.concatenate([~real, np.zeros((len(there), 1), dtype=bool)], axis=1)]
