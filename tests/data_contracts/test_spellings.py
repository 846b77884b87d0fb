"""Ids that are written in two ways and read as one are said."""

from __future__ import annotations

from pathlib import Path

from data_contracts.spellings import check_spellings
from tsa_model.events.ids import read_id_forms
from tsa_model.settings.run import RunConfig

CASES = Path(__file__).parents[1] / "cases"


def test_numbers_with_and_without_a_fraction_are_shown() -> None:
    dataset = RunConfig.load(CASES / "run.yaml").dataset
    found = {one.column: one for one in check_spellings(read_id_forms(CASES / "ids_written_twice", dataset))}
    assert [column for column, one in found.items() if not one.passed] == ["customer_id"]
    assert not found["customer_id"].stops
    assert "written as '9' and as '25.0'" in str(found["customer_id"])
    plain = check_spellings(read_id_forms(CASES / "orders.parquet", dataset))
    assert all(one.passed for one in plain)
