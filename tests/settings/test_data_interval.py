"""The window of a scheduled run: its arithmetic across months and leap days, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from tsa_model.settings.data_interval import SCHEDULED_TIME, interval_end
from tsa_model.settings.run import RunConfig

DEMO = RunConfig.load("demo")
NAMES = tuple(type(DEMO.dataset.split).model_fields)


def boundaries(run: RunConfig) -> list[datetime]:
    return [getattr(run.dataset.split, name) for name in NAMES]


def lengths(run: RunConfig) -> list[timedelta]:
    return [after - before for before, after in pairwise(boundaries(run))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-04-24", "2025-04-24T00:00:00+00:00"),
        ("2025-04-24T06:30:00Z", "2025-04-24T06:30:00+00:00"),
        ("2025-04-24 06:30", "2025-04-24T06:30:00+00:00"),
        ("2025-03-01T00:30:00+02:00", "2025-02-28T22:30:00+00:00"),  # another zone, another month
        ("20250424020000", "2025-04-24T00:00:00+00:00"),  # as Kubeflow writes a scheduled time
        ("20240229235959", "2024-02-29T00:00:00+00:00"),
        ("20250101000000", "2025-01-01T00:00:00+00:00"),
    ],
)
def test_moments_are_understood_in_utc(text: str, expected: str) -> None:
    assert interval_end(text) == datetime.fromisoformat(expected)
    assert interval_end(text).tzinfo is UTC  # type: ignore[union-attr]


def test_nothing_given_leaves_the_dates_as_they_are() -> None:
    assert interval_end("") is None
    assert DEMO.at(None) is DEMO


@pytest.mark.parametrize("text", ["tomorrow", "20251332000000", "2025-02-29", "[[CurrentTime]]", "202504"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no moment"):
        interval_end(text)


def test_where_kubeflow_replaces_nothing_the_clock_stands_in_and_says_so() -> None:
    now = datetime(2024, 3, 1, 1, 30, tzinfo=UTC).astimezone()
    with pytest.warns(UserWarning, match="2024-03-01"):
        assert interval_end(SCHEDULED_TIME, now) == datetime(2024, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("end", "test_start", "cali_end", "train_start"),
    [
        # The demo: 61 days of training, 10 of validation, 10 of calibration, 5 of label delay, 13 of test,
        # which ends 5 days before the data do. Counted by hand on a calendar.
        ("2025-04-29", "2025-04-11", "2025-04-06", "2025-01-15"),  # the dates in the file
        ("2025-03-31", "2025-03-13", "2025-03-08", "2024-12-17"),  # February has 28 days; a new year
        ("2024-03-31", "2024-03-13", "2024-03-08", "2023-12-18"),  # ... and 29
        ("2024-03-19", "2024-03-01", "2024-02-25", "2023-12-06"),  # the gap holds the leap day
        ("2024-03-18", "2024-02-29", "2024-02-24", "2023-12-05"),  # the test period begins on it
        ("2100-03-19", "2100-03-01", "2100-02-24", "2099-12-05"),  # 2100 has none
    ],
)
def test_the_window_by_the_calendar(end: str, test_start: str, cali_end: str, train_start: str) -> None:
    split = DEMO.at(interval_end(end)).dataset.split
    assert [
        f"{moment:%Y-%m-%dT%H:%M%z}" for moment in (split.test_start, split.cali_end, split.train_start)
    ] == [f"{day}T00:00+0000" for day in (test_start, cali_end, train_start)]


@pytest.mark.slow
def test_every_day_of_four_years_keeps_lengths_gaps_and_midnights() -> None:
    day = datetime(2023, 12, 30, tzinfo=UTC)
    while day < datetime(2028, 3, 2, tzinfo=UTC):
        run = DEMO.at(interval_end(f"{day:%Y%m%d}023000"))
        assert lengths(run) == lengths(DEMO)
        assert run.dataset.split.test_end == day - timedelta(days=DEMO.dataset.label_delay_days)
        assert {moment.timestamp() % 86400 for moment in boundaries(run)} == {0.0}
        day += timedelta(days=1)


def test_simulated_orders_move_with_the_split() -> None:
    run = DEMO.at(datetime(2026, 1, 1, tzinfo=UTC))
    assert DEMO.simulation is not None
    assert run.simulation is not None
    assert run.simulation.start - DEMO.simulation.start == (
        run.dataset.split.test_end - DEMO.dataset.split.test_end
    )
    assert run.simulation.start < run.dataset.split.train_start


def test_the_moved_description_survives_its_way_through_the_pipeline() -> None:
    run = DEMO.at(datetime(2024, 3, 18, tzinfo=UTC))
    assert RunConfig.load(run.model_dump_json(exclude_unset=True)) == run
    assert run.at(datetime(2024, 3, 18, tzinfo=UTC)) == run
