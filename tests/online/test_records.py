"""Orders as arrays, as bytes of a block, and as the model's inputs."""

from __future__ import annotations

import numpy as np
import pytest
from support.online import description

from tsa_model.online.blocks import Block
from tsa_model.online.encoded import EncodedCategories
from tsa_model.online.layouts import Layout
from tsa_model.online.records import NO_CATEGORY, Records, hash_text, no_records
from tsa_model.online.totals import running_totals, totals_of
from tsa_model.sequences import Preprocessing

LAYOUT = Layout(n_categories=2, n_numbers=3, summed=(2, 0))


def records(time_us: list[int], ids: list) -> Records:
    random, n = np.random.default_rng(sum(time_us)), len(time_us)
    numbers = random.standard_normal((n, 3)) * 10.0 ** random.integers(-9, 9, (n, 3))
    numbers[random.random((n, 3)) < 0.2] = np.nan
    return Records(
        np.array(time_us, np.int64),
        np.array(time_us, np.int64) + 5,
        random.integers(-1, 2, n).astype(np.int8),
        random.integers(0, 2**63, (n, 2)).astype(np.uint64),
        numbers,
        np.array(ids),
    )


def arrays(found: Records) -> list[tuple]:
    names = ("time_us", "known_us", "label", "categories", "numbers", "order_id")
    return [(getattr(found, name).tolist().__repr__(), getattr(found, name).dtype) for name in names]


@pytest.mark.parametrize("ids", [([1, 2], [3]), ([b"a", b"bc"], [b"longer"]), ([b"longer", b"b"], [b"c"])])
def test_orders_packed_behind_others_are_those_that_were_joined(ids) -> None:
    parts = [records([1, 2], ids[0]), no_records(2, 3), records([3], ids[1])]
    joined = Records.joined(parts)
    assert parts[0].packed(*parts[1:]) == joined.packed()
    assert arrays(Records.unpacked(b"head" * 2 + joined.packed(), 2, 3, 8)) == arrays(joined)


@pytest.mark.parametrize(("time_us", "place"), [(5, 0), (10, 1), (25, 2), (30, 3), (40, 3)])
def test_a_block_takes_an_order_where_it_belongs(time_us, place) -> None:
    held, one = records([10, 20, 30], [b"b", b"b", b"b"]), records([time_us], [b"c"])
    block = Block.unpacked(Block.first(held, LAYOUT).packed(), LAYOUT).inserted(one)
    ids = Block.unpacked(block.packed(), LAYOUT).records.order_id.tolist()
    assert ids.index(b"c") == place
    assert block.records.order_id.tolist() == ids


def test_totals_before_moments_are_sums_of_what_each_order_adds() -> None:
    held = records([10, 20, 20, 30], [1, 2, 3, 4])
    before = np.arange(LAYOUT.width)
    summands = totals_of(held, LAYOUT)
    wanted = before + np.array([summands[:n].sum(axis=0) for n in range(5)])
    np.testing.assert_array_equal(running_totals(before, held, LAYOUT), wanted)
    block, moments = Block(before, (held,), LAYOUT), np.array([31, 20, 0, 21])
    np.testing.assert_array_equal(block.totals(moments), wanted[[4, 1, 0, 3]])
    np.testing.assert_array_equal(block.counts(moments), wanted[[4, 1, 0, 3], 0])


def test_a_category_is_looked_up_in_its_own_column() -> None:
    shop, country = {"a": 2, "1": 3}, {"1": 5, "2": 6}
    fitted = Preprocessing.model_validate(
        {
            "n_embedding": 20,
            "categorical": {
                "shop": {"values": shop, "unknown": 1, "default": "a"},
                "country": {"values": country, "unknown": 4},
            },
            "numerical": {},
        }
    )
    texts = [("a", "1"), ("1", "2"), ("2", "a"), (None, None), ("c", "c")]
    given = description(categorical=["shop", "country"], calendar=[], known_label=False)
    raw = given.raw_categorical
    table = records(list(range(5)), list(range(5)))
    hashes = np.zeros((5, len(raw)), np.uint64)
    for row, (of_shop, of_country) in enumerate(texts):
        for name, text in (("shop", of_shop), ("country", of_country)):
            hashes[row, raw.index(name)] = NO_CATEGORY if text is None else hash_text(text)
    table = Records(table.time_us, table.known_us, table.label, hashes, table.numbers, table.order_id)
    assert EncodedCategories(given, fitted)(table).tolist() == [[2, 5], [3, 6], [1, 4], [2, 4], [1, 4]]
