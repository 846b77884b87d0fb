"""Rows that carry their own histories give the tensors that a store of them gives."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.online import assert_same

from tsa_model.online.cells import WrongOrder
from tsa_model.online.wide import WideRows, positional
from tsa_model.sequences import SequenceStore

CASES = Path(__file__).parents[1] / "cases"


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> SequenceStore:
    folder = tmp_path_factory.mktemp("wide") / "store"
    return SequenceStore.build(CASES / "wide.parquet", CASES / "wide.yaml", folder)


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    found = pq.read_table(CASES / "wide.parquet").to_pylist()
    return [{n: v.isoformat() if hasattr(v, "isoformat") else v for n, v in row.items()} for row in found]


@pytest.fixture(scope="module")
def wide(store) -> WideRows:
    return WideRows(store.description, store.preprocessing, "dual")


def test_rows_alone_and_together(store, rows, wide) -> None:
    some = rows[:: max(1, len(rows) // 60)]
    ids = [row["order_id"] for row in some]
    assert_same(wide.batch(some), store.batch(ids))
    for row in some[:20]:
        assert_same(wide.batch([row]), store.batch([row["order_id"]]), row["order_id"])


@pytest.mark.parametrize(
    ("change", "column", "words"),
    [
        ({"amount": "much"}, "amount", "is not a finite number"),
        ({"amount": ["1"]}, "amount", "is a list, not a single value"),
        ({"orderDate": "soon"}, "orderDate", "is not a moment"),
        ({"cat_objectId_by_cid": "1~2~3~4~5~6~7~8~9"}, "cat_orderDate_by_cid", "not as many values"),
        ({"product": "x\x00"}, "product", "none of them zero"),
    ],
)
def test_a_wrong_row_is_named(rows, wide, change, column, words) -> None:
    with pytest.raises(WrongOrder, match=words) as caught:
        wide.batch([rows[0], rows[1] | change])
    assert (caught.value.row, caught.value.column) == (1, column)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-7, "0.0000001"), (0.5, "0.5"), (1.0, "1"), (0.1 + 0.2, "0.30000000000000004")],
)
def test_numbers_are_positional(value: float, text: str) -> None:
    assert positional(value) == text
    assert float(text) == value
