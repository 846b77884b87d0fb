"""From a declared space to values, and from values to a run description."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsa_model.settings.dataset import DatasetDescription
from tsa_model.settings.run import RunConfig
from tsa_model.settings.tuning import Choices, Span, Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Space = dict[str, Span | Choices]


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """The space as Optuna's distributions."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    def one(what: Span | Choices) -> BaseDistribution:
        if isinstance(what, Choices):
            return CategoricalDistribution(what.choices)
        if what.whole:
            return IntDistribution(int(what.low), int(what.high), log=what.log)
        return FloatDistribution(what.low, what.high, log=what.log)

    return {path: one(what) for path, what in space.items()}


def own_values(run: RunConfig, space: Space) -> dict[str, Value]:
    """The description's own values of the searched settings."""
    values: dict[str, Value] = {}
    for path in space:
        section, _, name = path.partition(".")
        values[path] = getattr(getattr(run, section), name)
    return values


def with_own(run: RunConfig, space: Space) -> Space:
    """The space, made as wide as it must be to hold the description's own values.

    Raises:
        ValueError: an own value is no number, and the space asks for numbers.
    """
    wide: Space = {}
    for path, own in own_values(run, space).items():
        what = space[path]
        if isinstance(what, Choices):
            wide[path] = what if own in what.choices else Choices(choices=(*what.choices, own))
        elif not isinstance(own, int | float) or isinstance(own, bool):
            raise ValueError(
                f"tuning.space: {path} is {own!r} in the description, not a number: give choices"
            )
        else:
            wide[path] = what.changed(low=min(what.low, own), high=max(what.high, own))
    return wide


def with_values(run: RunConfig, values: dict[str, Value]) -> RunConfig:
    """The description with other values.

    Args:
        run: a run description.
        values: `section.setting` → value.

    Raises:
        ValueError: the settings do not go together, such as heads that do not divide a width.
    """
    sections: dict[str, dict[str, Value]] = {}
    for path, value in values.items():
        section, _, name = path.partition(".")
        sections.setdefault(section, {})[name] = value
    return run.changed(**{section: getattr(run, section).changed(**own) for section, own in sections.items()})


def inner_weeks(dataset: DatasetDescription) -> DatasetDescription:
    """The same data, with the validation and the calibration period together as what trials are judged by.

    The test period stays where it is, and nobody looks at it before the search is over.
    """
    split = dataset.split
    judged = split.changed(vali_end=split.cali_end, cali_start=split.cali_end)
    return dataset.changed(split=judged)
