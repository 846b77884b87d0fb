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
