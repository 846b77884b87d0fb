"""A value that is cast by itself becomes what a column of it becomes."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsa_model.events.cast import Cast
from tsa_model.events.casting import cast_moment, cast_number
from tsa_model.events.ids import IdForm, cast_id
from tsa_model.events.plain import plain_id, plain_moment, plain_number

WORDS = ("None", "n/a", "-1")
two = st.integers(0, 99).map("{:02d}".format)
zones = st.one_of(
    st.sampled_from(["", "Z", " UTC", "+00:00", "z"]),
    st.builds("{}{}:{}".format, st.sampled_from("+-"), two, two),
)
fractions = st.one_of(st.just(""), st.text("0123456789", min_size=1, max_size=9).map(".{}".format))
dates = st.builds("{}-{}-{}".format, st.integers(1998, 2102), two, two)
moments = st.builds(
    "{}{}{}:{}:{}{}{}".format, dates, st.sampled_from(["T", " ", "t", "_"]), two, two, two, fractions, zones
)
good = st.datetimes().map(lambda moment: moment.replace(year=2000 + moment.year % 100))
anything = st.one_of(st.text(max_size=6), st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.none())


def agrees(value: Any, found: Any, cast: Cast) -> None:
    """The quick answer is the cast's, to the bit."""
    assert not cast.bad.any(), value
    assert repr(cast.values[0].as_py()) == repr(found), value


@given(st.one_of(moments, good.map(str), good.map(lambda m: m.isoformat() + "Z"), anything))
def test_moments(value) -> None:
    found = plain_moment(value)
    if found is not None:
        agrees(value, found, cast_moment(pa.array([value])))


@given(st.one_of(st.integers(946_684_790, 946_684_810), st.integers(4_102_444_790, 4_102_444_810)))
def test_seconds_at_the_borders(value) -> None:
    cast = cast_moment(pa.array([value]))
    assert (plain_moment(value) is None) == bool(cast.bad[0])


@given(anything)
def test_numbers(value) -> None:
    found = plain_number(value)
    if found is not None:
        agrees(value, found, cast_number(pa.array([value])))


ids = st.one_of(
    anything,
    st.integers(-99, 99).map(str),
    st.from_regex(r"[A-Za-z0-9_.:+-]{1,6}", fullmatch=True),
    st.sampled_from(["None", "NONE", " -1 ", "-1", "1.0", "1E5", "007", "", "My Text String", "-0", "0"]),
)


@given(ids, st.booleans(), st.booleans(), st.booleans())
def test_ids(value, is_whole, has_exponents, is_folded) -> None:
    form = IdForm(is_whole=is_whole, has_exponents=has_exponents, is_folded=is_folded)
    found = plain_id(value, form, {word.lower() for word in WORDS})
    if found is not None:
        agrees(value, found, cast_id(pa.array([value]), form, WORDS))


@pytest.mark.parametrize(
    "value", ["2025-04-11T09:30:00Z", "2025-04-11 09:30:00.25", "2025-04-11T09:30:00+02:00", 1_744_363_800]
)
def test_the_usual_forms_are_quick(value) -> None:
    assert plain_moment(value) is not None


def test_usual_numbers_and_ids_are_quick() -> None:
    assert plain_number(7.5) == 7.5
    assert plain_id("C-17", IdForm(is_whole=False), {"none"}) == "C-17"
    assert plain_id("17", IdForm(), {"none"}) == 17
    assert plain_id("none", IdForm(is_whole=False), {"none"}) is None
