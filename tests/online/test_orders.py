"""What a raw order's values mean online is what they mean to the batch."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.online import description, orders

from tsa_model.events.cleaning import clean, wanted_columns
from tsa_model.events.ids import IdForm
from tsa_model.online.cells import WrongOrder
from tsa_model.online.orders import OrderReader
from tsa_model.online.records import NO_CATEGORY, hash_text, id_bytes

D = description(categorical=["shop", "country", "hour", "items", "who"])
FORMS = {name: IdForm(is_whole=False) for name in ("id", "who", "card")}
WHOLE = {name: IdForm() for name in ("id", "who", "card")}
GOOD = orders(1)[0]

odd_numbers = st.sampled_from([2**53 + 1, 2**70, -(2**70), 1e30, 1.1e30, 1e308, -0.0, 0.1])
numbers = st.one_of(
    st.integers(-(10**6), 10**6), st.floats(allow_nan=False, allow_infinity=False), odd_numbers
)
texts = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.sampled_from(
        ["", " 7 ", "007", "7.0", "1e3", "1.23457E+11", "nan", "NULL", "My Text String", "x" * 300]
    ),
    st.sampled_from(
        ["2024-03-02", "2024-03-02T10:00:00Z", "2024-03-02 10:00:00+01:00", "1709373600.5", "a\x00b"]
    ),
)
values = st.one_of(st.none(), st.booleans(), numbers, texts)
times = st.one_of(values, st.integers(1709251200, 1710000000), st.floats(1709251200, 1710000000))


def by_the_batch(row: dict, forms) -> tuple | str:
    """The row as `clean` reads a table of it; or the column that it refuses."""
    columns = {name: pa.array([value]) for name, value in row.items()}
    for name, value in row.items():
        if value is None:
            columns[name] = pa.nulls(1)
    part = pa.table({name: columns[name] for name in wanted_columns(D)})
    (found,) = clean(part, D, forms).to_pylist()
    if found["problem"] is not None:
        return found["problem"].removeprefix("column ").partition(":")[0]
    categories = [found[f"c{place}"] for place in range(len(D.raw_categorical))]
    numeric = [found[f"n{place}"] for place in range(len(D.raw_numerical))]
    return (
        found["order_id"],
        found["customer"],
        found["card"],
        found["time_us"],
        found["label"],
        categories,
        numeric,
    )


def online(row: dict, forms) -> tuple | str:
    try:
        (order,) = OrderReader(D, forms, 2).read([row])
    except WrongOrder as error:
        return error.column
    record = order.record
    return (
        order.order_id,
        *order.keys,
        order.time_us,
        int(record.label[0]),
        record.categories[0],
        record.numbers[0],
    )


@given(
    st.fixed_dictionaries(
        dict.fromkeys(("id", "who", "card", "fraud", "shop", "country", "amount", "items"), values)
        | {"when": times}
    ),
    st.lists(st.sampled_from(sorted(GOOD)), min_size=6),
    st.sampled_from([FORMS, WHOLE]),
)
def test_every_value_means_what_the_batch_takes_it_for(odd, good, forms) -> None:
    row = odd | {name: GOOD[name] for name in good}
    try:
        json.dumps(row, allow_nan=False).encode()
        wanted = by_the_batch(row, forms)
    except (OverflowError, pa.ArrowException):
        return  # no table can hold it
    found = online(row, forms)
    if isinstance(wanted, str):
        assert isinstance(found, str), (wanted, found)
        return
    assert not isinstance(found, str), found
    order_id, customer, card, time_us, label, categories, numeric = wanted
    assert found[:5] == (
        order_id,
        id_bytes(customer),
        b"" if card is None else id_bytes(card),
        time_us,
        label,
    )
    hashes = [NO_CATEGORY if text is None else hash_text(text) for text in categories]
    assert found[5].tolist() == hashes
    missing = [np.nan if number is None else number for number in numeric]
    np.testing.assert_array_equal(found[6][: len(missing)], missing)
    assert np.isnan(found[6][len(missing) :]).all()


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("amount", "abc", "'abc' is not a finite number"),
        ("amount", None, "is missing"),
        ("amount", [1], "is a list, not a single value"),
        ("amount", 10**40, "not a finite number of at most"),
        ("when", 1.7e12, "not a moment between 2000 and 2100"),
        ("when", "yesterday", "not a moment"),
        ("when", True, "not a moment"),
        ("fraud", 2, "not 0, 1, -1 or missing"),
        ("who", None, "is missing"),
        ("shop", "x" * 300, "not a category of at most 256 bytes"),
        ("shop", "\ud800", "half a character"),
        ("id", 1.5, "not a whole number"),
    ],
)
def test_a_wrong_value_is_named_with_what_to_do(column, value, words) -> None:
    with pytest.raises(WrongOrder, match=words) as caught:
        OrderReader(D, FORMS, 0).read([GOOD, GOOD | {column: value}])
    assert (caught.value.row, caught.value.column) == (1, column)
    assert caught.value.remedy in str(caught.value)


def test_a_column_that_is_left_out_is_no_missing_value() -> None:
    without = {name: value for name, value in GOOD.items() if name != "shop"}
    with pytest.raises(WrongOrder, match="column shop: is not there"):
        OrderReader(D, FORMS, 0).read([without])
    assert OrderReader(D, FORMS, 0).read([{n: v for n, v in GOOD.items() if n != "fraud"}])


def test_the_service_and_its_proof_do_not_load_torch() -> None:
    """It takes longer to load than all the rest together, and nothing of it is needed."""
    words = "import sys, tsa_model.online.service.server, tsa_model.online.proof.stage"
    subprocess.run([sys.executable, "-c", f"{words}; assert 'torch' not in sys.modules"], check=True)


def test_the_row_of_a_wrong_label_is_named() -> None:
    reader = OrderReader(D, FORMS, 0)
    good = ("a", 1, 1_750_000_000)
    with pytest.raises(WrongOrder, match="order 2 of the request, column label"):
        reader.read_labels([good, good, ("a", 7, 1_750_000_000)])


def test_what_a_reader_has_seen_does_not_change_what_it_reads() -> None:
    """Values that Python takes for equal are different ones in JSON."""
    reader = OrderReader(D, FORMS, 0)
    for value in (1, True, 1.0, "1", None, "", 1, True, 1.0, "1", "", None, 2**63):
        row = GOOD | {"shop": value}
        (wanted,), (found,) = OrderReader(D, FORMS, 0).read([row]), reader.read([row])
        assert found.record.categories.tolist() == wanted.record.categories.tolist(), value
    for wrong in ([], {}, "x" * 300, "\ud800"):
        with pytest.raises(WrongOrder):
            reader.read([GOOD | {"shop": wrong}])
