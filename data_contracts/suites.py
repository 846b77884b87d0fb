"""The contracts as lists of sentences; each is an expectation that says in words what it asks."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from data_contracts.columns import Column

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

EARLIEST_S = 946_684_800
"""2000-01-01 UTC."""
LATEST_S = 4_102_444_800
"""2100-01-01 UTC; milliseconds taken for seconds lie far beyond."""


def raw_events(columns: Iterable[Column]) -> list[Expectation]:
    """What every order must satisfy by itself."""
    import great_expectations.expectations as gxe

    sentences: list[Expectation] = []
    for column in columns:
        name = column.name
        if not column.nullable:
            sentences.append(
                gxe.ExpectColumnValuesToNotBeNull(column=name, description=f"every order has {name}")
            )
        if column.kind == "time":
            sentences.append(
                gxe.ExpectColumnValuesToBeBetween(
                    column=name,
                    min_value=EARLIEST_S,
                    max_value=LATEST_S,
                    description=f"every {name} lies between 2000 and 2100, in epoch seconds",
                )
            )
        if column.kind == "label":
            sentences.append(
                gxe.ExpectColumnValuesToBeInSet(
                    column=name,
                    value_set=[0, 1, -1],
                    description=f"every {name} is 0, 1, or missing or -1 while not yet known",
                )
            )
        if column.kind == "number":
            sentences.append(
                gxe.ExpectColumnValuesToBeBetween(
                    column=name,
                    min_value=-sys.float_info.max,
                    max_value=sys.float_info.max,
                    description=f"every {name} is finite",
                )
            )
    return sentences


def learnable_periods() -> list[Expectation]:
    """What the periods a model learns from must contain; rows are periods."""
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToBeBetween(
            column="frauds", min_value=1, description="training and validation contain known frauds"
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="genuine", min_value=1, description="training and validation contain known genuine orders"
        ),
    ]


def scorable_periods() -> list[Expectation]:
    """What the periods a model is judged by should contain; rows are periods."""
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToBeBetween(
            column="known_labels", min_value=1, description="calibration and test contain known labels"
        ),
    ]


def steady_features(psi: float | None, unknown: float | None) -> list[Expectation]:
    """How little features may move away from the training period; rows are features in periods.

    Args:
        psi: highest population stability index; None = no such rule.
        unknown: highest share of orders with a category unknown to training; None = no such rule.
    """
    import great_expectations.expectations as gxe

    sentences: list[Expectation] = []
    if psi is not None:
        sentences.append(
            gxe.ExpectColumnValuesToBeBetween(
                column="psi",
                max_value=psi,
                description=f"every feature is distributed as in training (PSI up to {psi:g})",
            )
        )
    if unknown is not None:
        sentences.append(
            gxe.ExpectColumnValuesToBeBetween(
                column="unknown_rate",
                max_value=unknown,
                description=f"every feature has values known from training (but for {unknown:.0%} of orders)",
            )
        )
    return sentences


def steady_periods(history: float | None, label: float | None) -> list[Expectation]:
    """How little histories and labels may move away from the training period; rows are periods.

    Args:
        history: lowest ratio of the mean history lengths; None = no such rule.
        label: highest ratio of the fraud rates, whichever is larger; None = no such rule.
    """
    import great_expectations.expectations as gxe

    sentences: list[Expectation] = []
    if history is not None:
        sentences.append(
            gxe.ExpectColumnValuesToBeBetween(
                column="history_ratio",
                min_value=history,
                description=f"histories have at least {history:g} times the training period's mean length",
            )
        )
    if label is not None:
        sentences.append(
            gxe.ExpectColumnValuesToBeBetween(
                column="label_ratio",
                max_value=label,
                description=f"the fraud rate is within a factor of {label:g} of the training period's",
            )
        )
    return sentences
