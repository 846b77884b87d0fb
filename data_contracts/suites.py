"""The contracts as lists of sentences; each sentence is an expectation in words."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from data_contracts.columns import Column
from tsa_model.events.moments import EARLIEST_S, LATEST_S

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation


def raw_events(columns: Iterable[Column]) -> list[Expectation]:
    """Rules for every order by itself."""
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
    """Rules for the periods a model learns from; rows are periods."""
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
    """Rules for the periods a model is judged by; rows are periods."""
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


WHOSE = {"cid": "customer", "ccid": "card"}
"""Name of a sequence → the key of its history."""


def sequences(names: Iterable[str], n_embedding: int) -> list[Expectation]:
    """Rules for the sequences of a target; rows are targets.

    Args:
        names: the sequences: cid, or cid and ccid.
        n_embedding: V, the highest index a categorical value may have.
    """
    import great_expectations.expectations as gxe

    names = list(names)
    sentences: list[Expectation] = []
    for name in names:
        whose = f"in the {WHOSE[name]}'s sequence"
        for measure, low, high, sentence in (
            ("least_time_s", 0, None, f"{whose}, no order is later than the target"),
            ("greatest_time_s", None, 1e7, f"{whose}, no time exceeds 10^7 s"),
            ("time_of_last_s", 0, 0, f"{whose}, the last order is the target, at time 0"),
            ("step_back_s", None, 0, f"{whose}, orders stand oldest first"),
            ("last_padded", 0, 0, f"{whose}, the last place is no padding"),
            ("dummy_masked", 0, 0, f"{whose}, the dummy token's column is not masked"),
            ("holes", 0, 0, f"{whose}, padding stands on the left only"),
            ("filled_padding", 0, 0, f"{whose}, padding is all zeros"),
            ("least_index", 0, None, f"{whose}, no category has a negative index"),
            ("greatest_index", None, n_embedding, f"{whose}, no category has an index above {n_embedding}"),
            ("not_finite", 0, 0, f"{whose}, every number is finite"),
        ):
            sentences.append(
                gxe.ExpectColumnValuesToBeBetween(
                    column=f"{measure}_{name}", min_value=low, max_value=high, description=sentence
                )
            )
    if len(names) > 1:
        sentences.append(
            gxe.ExpectColumnValuesToBeBetween(
                column="differing_last",
                min_value=0,
                max_value=0,
                description="both sequences of a target end in the same order",
            )
        )
    return [
        *sentences,
        gxe.ExpectColumnValuesToBeBetween(
            column="engineered_not_finite",
            min_value=0,
            max_value=0,
            description="every engineered feature of the target is finite",
        ),
    ]


def targets() -> list[Expectation]:
    """Rules for the targets of a store; rows are targets."""
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToBeUnique(column="order_id", description="every target occurs once"),
        gxe.ExpectColumnValuesToBeInSet(
            column="label", value_set=[0, 1], description="every target has a known label"
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="outside_period_s",
            min_value=0,
            max_value=0,
            description="every target lies within its period",
        ),
    ]


def scores() -> list[Expectation]:
    """Rules for every scored order by itself."""
    import great_expectations.expectations as gxe

    sentences: list[Expectation] = [
        gxe.ExpectColumnValuesToNotBeNull(column="order_id", description="every score belongs to an order"),
        gxe.ExpectColumnValuesToBeUnique(column="order_id", description="every order is scored once"),
    ]
    for name in ("score", "percentile"):
        sentences += [
            gxe.ExpectColumnValuesToNotBeNull(column=name, description=f"every order has a {name}"),
            gxe.ExpectColumnValuesToBeBetween(
                column=name, min_value=0, max_value=1, description=f"every {name} lies in [0, 1]"
            ),
        ]
    return [
        *sentences,
        gxe.ExpectColumnValuesToBeBetween(
            column="calibrated_probability",
            min_value=0,
            max_value=1,
            description="every calibrated probability lies in [0, 1], where there is one",
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="label", value_set=[0, 1], description="every label is 0, 1 or not known"
        ),
    ]


def score_files() -> list[Expectation]:
    """Rules for the files of one period together; rows are periods."""
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToBeBetween(column=measure, min_value=0, max_value=0, description=sentence)
        for measure, sentence in (
            ("unscored", "every target of the store is scored"),
            ("foreign", "no order is scored that is no target of the store"),
            ("relabelled", "labels are those of the store"),
            ("line_differences", "the score file has the scores of the Parquet, line by line"),
            ("tag_differences", "the tag file has the labels of the Parquet, line by line"),
            ("percentile_inversions", "no higher score has a lower percentile"),
        )
    ]
