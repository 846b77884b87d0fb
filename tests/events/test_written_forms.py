"""The same orders give the same store, byte by byte, however they are written, through the contract too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.written_forms import CASES, DIALECTS, FORMS, csv, orders

from data_contracts.events import validate_events
from data_contracts.findings import ContractViolation
from tsa_model.events.errors import BadEvents
from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig

RUN = RunConfig.load(CASES / "run.yaml")


def with_settings(**dataset) -> RunConfig:
    return RUN.changed(dataset=RUN.dataset.changed(**dataset))


def files(store: SequenceStore) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in store.directory.iterdir()}


def validated(path: Path, folder: Path, run: RunConfig = RUN) -> tuple[Path, dict]:
    """Where the contract writes the orders, and its result."""
    validate_events(str(path), run, folder / "e.parquet", folder / "report.html", folder / "result.json")
    return folder / "e.parquet", json.loads((folder / "result.json").read_text())


def broken(result: dict) -> dict[str, dict]:
    return {finding["sentence"]: finding for finding in result["findings"] if not finding["passed"]}


def mean_history(store: SequenceStore) -> list[float]:
    ends = [np.load(store.directory / f"{key}_end.npy") for key in store.keys]
    starts = [np.load(store.directory / f"{key}_start.npy") for key in store.keys]
    return [round(float((end - start).mean()), 2) for end, start in zip(ends, starts, strict=True)]


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> dict[str, str]:
    store = SequenceStore.build(
        CASES / "orders.parquet", RUN.dataset, tmp_path_factory.mktemp("expected") / "store"
    )
    assert mean_history(store) == [5.04, 5.72]
    return files(store)


QUICK = ("string_view", "text numbers", "parts of different types", "parts that overlap", "csv, UTC")
DIRECT = (
    *QUICK,
    "binary",
    "dictionary",
    "timestamp in Tokyo",
    "decimal epoch seconds",
    "bool labels",
    "decimal amounts",
    "hive",
    "csv, CRLF and byte order mark",
    "csv, epoch with fraction",
)


def slow_but(quick: Sequence[str]) -> list[Any]:
    """All forms; those that are not named run with the slow tests."""
    return [form if form in quick else pytest.param(form, marks=pytest.mark.slow) for form in FORMS]


@pytest.mark.parametrize("form", slow_but(DIRECT))
def test_every_form_gives_the_same_bytes(form, expected, tmp_path):
    path = FORMS[form](orders(), tmp_path / "orders")
    assert files(SequenceStore.build(path, RUN.dataset, tmp_path / "direct")) == expected


@pytest.mark.parametrize("form", slow_but(QUICK))
def test_the_contract_reads_every_form_as_the_build_does(form, expected, tmp_path):
    path = FORMS[form](orders(), tmp_path / "orders")
    events, result = validated(path, tmp_path / "contract")
    assert files(SequenceStore.build(events, RUN.dataset, tmp_path / "checked")) == expected
    assert set(broken(result)) <= {"no row stands in the input twice"}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_dialect_of_csv_is_recognised_and_read_as_it_is_set(dialect, expected, tmp_path):
    delimiter, decimal = DIALECTS[dialect]
    path = csv(orders(), tmp_path / "orders", delimiter, decimal)
    shown = delimiter.replace("\t", "\\t")
    hint = f'delimiter: "{shown}"' + (', decimal: ","' if decimal == "," else "")
    with pytest.raises(BadEvents) as caught:
        SequenceStore.build(path, RUN.dataset, tmp_path / "direct")
    assert hint in str(caught.value)
    with pytest.raises(ContractViolation) as caught:
        validated(path, tmp_path / "contract")
    assert hint in str(caught.value)
    run = with_settings(csv={"delimiter": delimiter, "decimal": decimal})
    events, _ = validated(path, tmp_path / "contract", run)
    for place, source in enumerate((path, events)):
        got = files(SequenceStore.build(source, run.dataset, tmp_path / f"store{place}"))
        different = {name for name in expected if got[name] != expected[name]}
        assert different == {"manifest.json", "manifest.sha256"}  # they say how the files are written


def test_a_decimal_comma_alone_is_recognised(tmp_path):
    run = with_settings(csv={"delimiter": ";"})
    path = CASES / "semicolon" / "csv_semi.csv"
    with pytest.raises(BadEvents, match=r'set csv: \{decimal: ","\}.*5,67.*order 000000'):
        SequenceStore.build(path, run.dataset, tmp_path / "store")
    with pytest.raises(ContractViolation, match=r'set csv: \{decimal: ","\}.*5,67.*order 000000'):
        validated(path, tmp_path / "contract", run)


@pytest.mark.parametrize("word", ["N", "null"])
def test_a_word_for_a_missing_key_is_a_missing_key_and_counted(word, tmp_path):
    path = CASES / "missing_words" / f"csv_{word}.csv"
    assert mean_history(SequenceStore.build(path, RUN.dataset, tmp_path / "direct")) == [5.04, 5.72]
    _, result = validated(path, tmp_path / "contract")
    keys = broken(result)["every missing card_id is an empty text, not a word for one"]
    assert (keys["bad_rows"], keys["severity"]) == (79, "warn")
    assert keys["examples"][0]["value"] in ("\\N", "NULL")
    category = broken(result)["no category is a word for a missing value"]
    assert (category["column"], category["bad_rows"]) == ("product", 160)
    other = with_settings(missing_words=["-"])
    assert mean_history(SequenceStore.build(path, other.dataset, tmp_path / "other")) == [5.04, 7.65]


@pytest.mark.parametrize("name", ["decimal_ids", "decimal_label"])
def test_decimals_without_a_fraction_are_whole_numbers(name, tmp_path):
    path = CASES / "decimals" / f"{name}.parquet"
    direct = SequenceStore.build(path, RUN.dataset, tmp_path / "direct")
    assert mean_history(direct) == [5.04, 5.72]
    events, result = validated(path, tmp_path / "contract")
    assert files(SequenceStore.build(events, RUN.dataset, tmp_path / "checked")) == files(direct)
    assert not broken(result)


@pytest.mark.parametrize("case", ["ids_written_twice", "hive", "text_view", "times/csv_bq.csv"])
def test_cases_give_the_histories_of_the_plain_orders(case, expected, tmp_path):
    events, _ = validated(CASES / case, tmp_path / "contract")
    for place, source in enumerate((CASES / case, events)):
        assert files(SequenceStore.build(source, RUN.dataset, tmp_path / f"store{place}")) == expected


def test_an_extreme_number_is_named_or_set_aside(tmp_path):
    path = CASES / "extreme_amount" / "dblmax_in_test.parquet"
    with pytest.raises(BadEvents, match=r"column amount: not a finite .*order 001444"):
        SequenceStore.build(path, RUN.dataset, tmp_path / "store")
    with pytest.raises(ContractViolation, match=r"column amount: 1 of 1,600 rows .*order 001444"):
        validated(path, tmp_path / "contract")
    run = with_settings(on_bad_rows="quarantine")
    store = SequenceStore.build(path, run.dataset, tmp_path / "aside")
    assert (len(store), store.manifest.quarantined) == (1_599, 1)


def test_a_number_that_overflows_once_it_is_scaled_is_named(tmp_path):
    store = SequenceStore.build(CASES / "orders.parquet", RUN.dataset, tmp_path / "store")
    table = orders()
    amount = table["amount"].to_pylist()
    amount[1_500] = 1e29
    fitted = store.preprocessing.model_dump()
    fitted["numerical"]["amount"]["scale"] = 1e12
    path = tmp_path / "orders.parquet"
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(table.set_column(7, "amount", pa.array(amount)), path)
    with pytest.raises(BadEvents, match=r"column amount: 1e\+29 \(order 001500\) is too large"):
        SequenceStore.build(path, RUN.dataset, tmp_path / "later", preprocessing=fitted)
