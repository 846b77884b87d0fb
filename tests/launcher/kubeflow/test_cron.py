"""Cron expressions, held to moments counted by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from launcher.kubeflow.cron import fire_times, six_fields

AFTER = datetime(2024, 2, 28, 12, tzinfo=UTC)


def times(cron: str, after: datetime = AFTER, number: int = 3) -> list[str]:
    return [f"{moment:%m-%d %H:%M:%S}" for moment in fire_times(six_fields(cron), number, after)]


def test_five_fields_get_the_second_in_front() -> None:
    assert six_fields("0 2 * * 1") == "0 0 2 * * 1"
    assert six_fields("  15   0 2 * * MON ") == "15 0 2 * * MON"


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 2 * * *", ["02-29 02:00:00", "03-01 02:00:00", "03-02 02:00:00"]),  # a leap day
        ("30 0 2 * * *", ["02-29 02:00:30", "03-01 02:00:30", "03-02 02:00:30"]),
        ("0 0 2 29 2 ?", ["02-29 02:00:00", "02-29 02:00:00", "02-29 02:00:00"]),  # every four years
        ("0 0 1 * *", ["03-01 00:00:00", "04-01 00:00:00", "05-01 00:00:00"]),
        ("0 0 31 * *", ["03-31 00:00:00", "05-31 00:00:00", "07-31 00:00:00"]),  # months without one
        ("0 6-8/2 * * SUN", ["03-03 06:00:00", "03-03 08:00:00", "03-10 06:00:00"]),
        ("0 0 13 * 5", ["03-01 00:00:00", "03-08 00:00:00", "03-13 00:00:00"]),  # either day will do
        ("*/20 * * * *", ["02-28 12:20:00", "02-28 12:40:00", "02-28 13:00:00"]),
    ],
)
def test_fire_times(cron: str, expected: list[str]) -> None:
    assert times(cron) == expected


def test_times_are_utc_whatever_the_zone_of_the_start() -> None:
    east = AFTER.astimezone(timezone(timedelta(hours=9)))
    assert times("0 2 * * *", east) == times("0 2 * * *")
    assert all(moment.utcoffset() == timedelta(0) for moment in fire_times("0 0 2 * * *", 3, east))


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("0 2 * *", "has 4 fields"),
        ("", "has 0 fields"),
        ("@daily", "has 1 fields"),
        ("0 0 2 * * 1 2025", "has 7 fields"),
        ("60 2 * * *", "bad minute"),
        ("0 24 * * *", "bad hour"),
        ("0 2 30 2 *", "day-of-month"),
        ("0 2 * * 7", "day of week '7' is not understood by Kubeflow"),
        ("0 2 * * 5-7", "Sunday is 0"),
        ("0 2 L * *", "day of month 'L' is not understood"),
        ("0 2 * * 5L", "day of week '5L' is not understood"),
        ("0 2 * * 1#2", "day of week '1#2' is not understood"),
        ("0 2 * * FOO", "bad day-of-week"),
    ],
)
def test_what_kubeflow_would_not_understand_is_refused(cron: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        six_fields(cron)
