"""Every expectation of every suite has a frame that breaks it, and only it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from data_contracts import suites
from data_contracts.columns import event_columns
from data_contracts.context import check
from tsa_model.settings.run import RunConfig


def broken(frame: pd.DataFrame, suite: list) -> list[str]:
    return [finding.sentence for finding in check(frame, suite) if not finding.passed]


def changed(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(**{column: [value, *frame[column][1:]]})

    return change


RAW_EVENTS = {
    "every order has order": changed("order", None),
    "every order has customer": changed("customer", None),
    "every order has time": changed("time", None),
    "every time lies between 2000 and 2100, in epoch seconds": changed("time", 1_740_787_200_000),
    "every fraud is 0, 1, or missing or -1 while not yet known": changed("fraud", 0.5),
    "every order has amount": changed("amount", None),
    "every amount is finite": changed("amount", np.inf),
    "every order has items": changed("items", None),
    "every items is finite": changed("items", -np.inf),
    "every order has night": changed("night", None),
    "every night is finite": changed("night", np.inf),
}


def test_raw_events_hold(events: pd.DataFrame, run: RunConfig) -> None:
    suite = suites.raw_events(event_columns(run.dataset))
    assert [expectation.description for expectation in suite] == list(RAW_EVENTS)
    assert broken(events, suite) == []


@pytest.mark.parametrize("sentence", RAW_EVENTS)
def test_raw_events_break(events: pd.DataFrame, run: RunConfig, sentence: str) -> None:
    suite = suites.raw_events(event_columns(run.dataset))
    assert broken(RAW_EVENTS[sentence](events), suite) == [sentence]


PERIODS = pd.DataFrame({"period": ["train", "vali"], "known_labels": 9, "frauds": [3, 4], "genuine": [6, 5]})


@pytest.mark.parametrize(
    ("suite", "column"),
    [
        (suites.learnable_periods, "frauds"),
        (suites.learnable_periods, "genuine"),
        (suites.scorable_periods, "known_labels"),
    ],
)
def test_periods(suite: Callable, column: str) -> None:
    assert broken(PERIODS, suite()) == []
    assert len(broken(PERIODS.assign(**{column: [1, 0]}), suite())) == 1


def test_columns_are_described_once(run: RunConfig) -> None:
    columns = event_columns(run.dataset)
    names = [column.name for column in columns]
    assert names == ["order", "customer", "card", "time", "fraud", "amount", "items", "night", "product"]
    assert {column.name for column in columns if column.nullable} == {"card", "fraud", "product"}
    both = run.dataset.model_copy(update={"categorical": ("product", "items", "customer")})
    assert [column.name for column in event_columns(both)] == names
    wrong = run.dataset.model_copy(update={"numerical": ("amount", "customer")})
    with pytest.raises(ValueError, match="'customer' is described as id and as number"):
        event_columns(wrong)


def test_columns_that_may_be_missing_may_be_missing(run: RunConfig) -> None:
    dataset = run.dataset.model_copy(update={"may_be_missing": ("amount",)})
    sentences = [expectation.description for expectation in suites.raw_events(event_columns(dataset))]
    assert "every order has amount" not in sentences
    assert "every amount is finite" in sentences


def test_examples_name_order_value_and_row(events: pd.DataFrame, run: RunConfig) -> None:
    events.index += 1_000
    events.loc[1_004, "amount"] = np.inf
    suite = suites.raw_events(event_columns(run.dataset))
    (finding,) = [f for f in check(events, suite, name="order") if not f.passed]
    assert finding.bad_rows == 1
    assert str(finding.examples[0]) == "inf (order 5)"
    assert finding.examples[0].row == 1_005
