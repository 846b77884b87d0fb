"""Ways to make an order's tensors wrongly: the comparison must find each, or it would find nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from tsa_model.batch import Sequences as SequencesKind
from tsa_model.events.units import DAY_US, MICROSECONDS
from tsa_model.online.derived import ABOUT_LABELS, Past
from tsa_model.online.history import KINDS, Transaction
from tsa_model.online.inputs import InputBuilder, Target
from tsa_model.online.orders import CleanOrder
from tsa_model.online.proof.verdict import CONTROLS
from tsa_model.online.scorer import OnlineScorer
from tsa_model.sequences import Preprocessing

HOUR_US = 3600 * MICROSECONDS
Plant = Callable[[CleanOrder, Target], dict[str, np.ndarray]]


class Faults:
    """The faults that the orders of a description can show.

    Args:
        scorer: makes the tensors rightly.
        sequences: the histories that the network reads.
    """

    def __init__(self, scorer: OnlineScorer, sequences: SequencesKind) -> None:
        self._histories, d = scorer.histories, scorer.description
        self._inputs = scorer.histories.inputs
        fitted = Preprocessing.load(scorer.model.preprocessing_path)
        scalers = {name: each.changed(scale=each.scale * 1.001) for name, each in fitted.numerical.items()}
        self._scaled = InputBuilder(d, fitted.changed(numerical=scalers), sequences)
        plants: dict[str, Plant] = dict.fromkeys(CONTROLS, self._short)
        plants |= {CONTROLS[1]: self._older, CONTROLS[2]: self._window, CONTROLS[3]: self._early}
        plants |= {CONTROLS[4]: self._other_scaler, CONTROLS[5]: self._other_zone}
        windows = [window for kind in KINDS for window, _ in self._inputs.derived.windows[kind].values()]
        if not windows:
            del plants[CONTROLS[2]]
        has_label_windows = any(window.statistic in ABOUT_LABELS for window in windows)
        may_be_early = d.label_delay_days >= 1 or d.label_time is not None
        if not may_be_early or not (d.known_label or has_label_windows):
            del plants[CONTROLS[3]]
        elif d.known_label and d.label_time is None:
            hasty = d.changed(label_delay_days=d.label_delay_days - 1)
            self._hasty = InputBuilder(hasty, fitted, sequences)
        else:
            self._hasty = self._inputs
        self.by_name: Mapping[str, Plant] = plants

    def _short(self, _: CleanOrder, target: Target) -> dict[str, np.ndarray]:
        short = {kind: each.take(slice(1, len(each))) for kind, each in target.histories.items()}
        return self._inputs.batch([replace(target, histories=short)])

    def _older(self, _: CleanOrder, target: Target) -> dict[str, np.ndarray]:
        older = {
            kind: replace(each, time_us=each.time_us - HOUR_US) for kind, each in target.histories.items()
        }
        return self._inputs.batch([replace(target, histories=older)])

    def _window(self, order: CleanOrder, target: Target) -> dict[str, np.ndarray]:
        names = {name for kind in KINDS for name in self._inputs.derived.windows[kind]}
        return self._inputs.batch([self._derived(order, target, -HOUR_US, names)])

    def _early(self, order: CleanOrder, target: Target) -> dict[str, np.ndarray]:
        names = {
            name
            for kind in KINDS
            for name, (window, _) in self._inputs.derived.windows[kind].items()
            if window.statistic in ABOUT_LABELS
        }
        early = {
            kind: replace(each, known_us=each.known_us - DAY_US) for kind, each in target.histories.items()
        }
        return self._hasty.batch([replace(self._derived(order, target, DAY_US, names), histories=early)])

    def _other_scaler(self, _: CleanOrder, target: Target) -> dict[str, np.ndarray]:
        return self._scaled.batch([target])

    def _other_zone(self, _: CleanOrder, target: Target) -> dict[str, np.ndarray]:
        record = target.record
        return self._inputs.batch(
            [replace(target, record=replace(record, time_us=record.time_us + 2 * HOUR_US))]
        )

    def _derived(self, order: CleanOrder, target: Target, shift_us: int, names: set[str]) -> Target:
        """The order with some of its derived columns as they are at another moment."""
        inputs = self._inputs

        def look(transaction: Transaction) -> dict[str, float]:
            transaction.expect([(order.name, order.keys)])
            values: dict[str, float] = {}
            for kind, key in zip(inputs.kinds, order.keys, strict=False):
                past = Past(transaction, kind, key, order.time_us + shift_us)
                values |= inputs.derive(past, order.record, target.histories[kind])
            return values

        values = self._histories.store.read(look)
        derived = {name: values[name] if name in names else value for name, value in target.derived.items()}
        return Target(inputs.with_kept(target.record, derived), target.histories, derived)
