"""What a value means: moments, numbers and labels of every type."""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from tsa_model.events.casting import cast_category, cast_label, cast_moment, cast_number

MOMENT_US = 1_735_689_613_000_000


@pytest.mark.parametrize(
    "text",
    [
        "2025-01-01 00:00:13",
        "2025-01-01T00:00:13Z",
        "2025-01-01 00:00:13 UTC",
        "2025-01-01 00:00:13.000 UTC",
        "2025-01-01 01:00:13+01:00",
        "2024-12-31T19:00:13-0500",
        " 2025-01-01 00:00:13 ",
        "1735689613",
        "1735689613.0",
        "1.735689613E+09",
    ],
)
def test_a_moment_has_many_spellings(text):
    alone = cast_moment(pa.array([text, None]))
    beside = cast_moment(pa.array([text, "2025-01-01T00:00:13 GMT", ""]))
    assert alone.values.to_pylist() == [MOMENT_US, None]
    assert beside.values.to_pylist() == [MOMENT_US, MOMENT_US, None]
    assert not alone.bad.any()
    assert not beside.bad.any()


@pytest.mark.parametrize(
    "value",
    ["soon", "1735689613000", "0x6774B54D", "1.73569E+09", "20250101", "2025-13-01", "1999-12-31", "12"],
)
def test_what_is_no_moment_is_refused(value):
    assert cast_moment(pa.array([value])).bad.tolist() == [True]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1_735_689_613.25]),
        pa.array([Decimal("1735689613.250000")]),
        pa.array([1_735_689_613_250], pa.timestamp("ms")),
        pa.array([1_735_689_613_250_000_999], pa.timestamp("ns", "Asia/Tokyo")),
        pa.array(["1735689613.25"]),
        pa.array(["2025-01-01 00:00:13.25 UTC"]),
    ],
)
def test_a_fraction_of_a_second_is_kept(values):
    assert cast_moment(values).values.to_pylist() == [MOMENT_US + 250_000]


def test_a_date_is_its_midnight():
    assert cast_moment(pa.array([datetime.date(2025, 1, 1)])).values.to_pylist() == [MOMENT_US - 13_000_000]


@pytest.mark.parametrize("values", [pa.array([True]), pa.array([[1]]), pa.array([1_735_689_613_000])])
def test_a_type_or_size_that_is_no_moment_is_refused(values):
    assert cast_moment(values).bad.tolist() == [True]


def test_decimals_are_the_nearest_floats():
    rng = np.random.default_rng(0)
    for digits, scale in ((15, 2), (30, 9), (38, 20), (20, 0)):
        numbers = [Decimal(int(rng.integers(10**14))).scaleb(-scale) for _ in range(500)]
        cast = cast_number(pa.array([*numbers, None], pa.decimal128(digits, scale)))
        assert cast.values.to_pylist() == [*map(float, numbers), None]


@pytest.mark.parametrize(
    ("text", "decimal", "number"),
    [
        ("5.67", ".", 5.67),
        (" 5.67 ", ".", 5.67),
        ("5,67", ",", 5.67),
        ("-5", ",", -5.0),
        ("1e3", ".", 1000.0),
        ("true", ".", 1.0),
        ("False", ".", 0.0),
        ("", ".", None),
        ("nan", ".", None),
    ],
)
def test_a_number_has_many_spellings(text, decimal, number):
    cast = cast_number(pa.array([text, "7"]), decimal)
    assert cast.values.to_pylist() == [number, 7.0]
    assert not cast.bad.any()


@pytest.mark.parametrize(
    ("value", "decimal"),
    [
        ("5,67", "."),
        ("5.67", ","),
        ("1.234,5", ","),
        ("1_000", "."),
        ("NA", "."),
        (1.7e308, "."),
        (np.inf, "."),
    ],
)
def test_what_is_no_number_is_refused(value, decimal):
    cast = cast_number(pa.array([value]), decimal)
    assert (cast.values.to_pylist(), cast.bad.tolist()) == ([None], [True])


@pytest.mark.parametrize(
    "values",
    [
        pa.array([True, False, None]),
        pa.array([Decimal(1), Decimal(0), Decimal(-1)], pa.decimal128(20, 0)),
        pa.array(["1", "0", ""]),
        pa.array(["True", "FALSE", "-1"]),
        pa.array([1.0, 0.0, np.nan]),
    ],
)
def test_a_label_has_many_types(values):
    cast = cast_label(values)
    assert cast.values.to_pylist() == [1, 0, -1]
    assert not cast.bad.any()


def test_only_the_empty_text_is_a_missing_category():
    values = pa.array(["", "NULL", "nan", "a "])
    assert cast_category(values).values.to_pylist() == [None, "NULL", "nan", "a "]
    assert cast_category(pa.array([Decimal("3.00"), Decimal("1.50")])).values.to_pylist() == ["3", "1.5"]
