"""Which files of a folder are read, and what is said of the others."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pyarrow as pa
import pytest
from support.written_forms import CASES, as_strings, csv, orders, parquet

from tsa_model.events.errors import BadEvents
from tsa_model.events.files import folder_values, list_files
from tsa_model.events.reading import read_parts
from tsa_model.settings.csv_format import CsvFormat


def rows(events, columns=("order_id",), **options) -> int:
    return sum(part.num_rows for _, part in read_parts(events, columns, **options))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    parquet(orders().slice(0, 10), tmp_path / "orders", "a.parquet")
    return tmp_path / "orders"


def test_what_is_left_out_is_listed_with_its_reason(folder):
    for name in ("_SUCCESS", ".a.parquet.crc"):
        (folder / name).touch()
    parquet(orders().slice(10, 10), folder / "_temporary", "b.parquet")
    os.symlink(folder / "a.parquet", folder / "z.parquet")
    os.mkfifo(folder / "pipe.parquet")
    listing = list_files(folder)
    assert [file.path.name for file in listing.files] == ["a.parquet"]
    assert {path.name: reason for path, reason in listing.left_out} == {
        "_SUCCESS": "its name begins with _",
        ".a.parquet.crc": "hidden",
        "_temporary": "its name begins with _",
        "pipe.parquet": "not a regular file",
        "z.parquet": f"the same file as {folder / 'a.parquet'}",
    }


def test_links_are_followed_to_files_and_folders(folder, tmp_path):
    parquet(orders().slice(10, 10), tmp_path / "elsewhere", "b.parquet")
    os.symlink(tmp_path / "elsewhere", folder / "more")
    os.symlink(parquet(orders().slice(20, 5), tmp_path / "third"), folder / "c.parquet")
    assert rows(folder) == 25
    assert "a link to" in list_files(folder).files[1].note


def test_a_link_that_leads_nowhere_is_refused(folder):
    os.symlink(folder / "gone.parquet", folder / "b.parquet")
    with pytest.raises(BadEvents, match=r"b.parquet is a link to .*gone.parquet, which does not exist"):
        list_files(folder)
    with pytest.raises(BadEvents, match="which does not exist"):
        list_files(folder / "b.parquet")


def test_a_link_in_a_circle_is_refused(folder):
    os.symlink(folder, folder / "again")
    with pytest.raises(BadEvents, match="again is a link in a circle"):
        list_files(folder)


@pytest.mark.parametrize(
    ("log", "name"),
    [("_delta_log/00.json", "Delta"), (".hoodie/x", "Hudi"), ("metadata/v1.metadata.json", "Iceberg")],
)
@pytest.mark.parametrize("inside", [".", "tables/orders"])
def test_a_table_with_a_log_is_refused_by_name(log, name, inside, tmp_path):
    table = tmp_path / "lake" / inside
    parquet(orders(), table / "data")
    (table / log).parent.mkdir()
    (table / log).touch()
    for given in (tmp_path / "lake", table, table / "data"):
        with pytest.raises(BadEvents, match=f"is a {name} table"):
            list_files(given)


def test_folder_names_give_columns(tmp_path):
    path = tmp_path / "day=2025-01-01" / "country=A%20B" / "card_id=__HIVE_DEFAULT_PARTITION__" / "x.parquet"
    assert folder_values(path) == {"day": "2025-01-01", "country": "A B", "card_id": None}
    parquet(orders().slice(0, 3).drop_columns(["country", "card_id"]), path.parent, path.name)
    (_, part), *_ = read_parts(tmp_path, ["country", "card_id", "order_id"])
    assert part["country"].to_pylist() == ["A B"] * 3
    assert part["card_id"].null_count == 3
    assert rows(tmp_path, ["country"]) == 3


def test_a_file_that_contradicts_its_folder_is_refused(tmp_path):
    parquet(orders().slice(0, 3), tmp_path / "country=XX")
    with pytest.raises(
        BadEvents, match=r"column 'country' is '\w\w' in the file and 'XX' in its folder's name"
    ):
        rows(tmp_path, ["order_id", "country"])


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_header_without_rows_is_a_part_without_rows(end, packed, tmp_path):
    csv(orders().slice(0, 10), tmp_path, name="a.csv")
    header = ",".join(f'"{name}"' for name in orders().column_names) + end
    if packed:
        (tmp_path / "b.csv.gz").write_bytes(gzip.compress(header.encode()))
    else:
        (tmp_path / "b.csv").write_text(header, newline="")
    assert rows(tmp_path) == 10


def test_an_empty_part_of_another_type_does_not_decide_the_type(tmp_path):
    from tsa_model.sequences import SequenceStore
    from tsa_model.settings.run import RunConfig

    dataset = RunConfig.load(CASES / "run.yaml").dataset
    table = orders()
    nothing = pa.table({name: pa.nulls(0) for name in table.column_names})
    parquet(nothing, tmp_path / "orders", "0.parquet")
    parquet(table, tmp_path / "orders", "1.parquet")
    plain = SequenceStore.build(table, dataset, tmp_path / "plain")
    assert SequenceStore.build(tmp_path / "orders", dataset, tmp_path / "parts").digest == plain.digest


def test_a_column_without_values_may_have_any_type(tmp_path):
    from tsa_model.sequences import SequenceStore
    from tsa_model.settings.run import RunConfig

    dataset = RunConfig.load(CASES / "run.yaml").dataset
    digests = set()
    for place, type_ in enumerate((pa.null(), pa.string(), pa.int64(), pa.float64(), pa.string_view())):
        table = orders().set_column(2, "card_id", pa.nulls(1_600, type_))
        table = table.set_column(5, "product", pa.nulls(1_600, type_))
        digests.add(SequenceStore.build(table, dataset, tmp_path / str(place)).digest)
    assert len(digests) == 1


def csv_text() -> str:
    return as_strings(orders().slice(0, 50)).to_pandas().to_csv(index=False)


@pytest.mark.parametrize("column", ["product", "note"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_value_that_does_not_end_is_named_by_its_line(column, packed, tmp_path):
    lines = csv_text().splitlines()
    lines = [f"{line},{'note' if place == 0 else 'x'}" for place, line in enumerate(lines)]
    where = 5 if column == "product" else 9
    fields = lines[20].split(",")
    fields[where] = '"' + fields[where]
    lines[20] = ",".join(fields)
    path = tmp_path / ("orders.csv.gz" if packed else "orders.csv")
    data = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(BadEvents, match=r"a value that begins in line 21 does not end"):
        rows(path, ["order_id", "product"])


def test_a_value_that_outgrows_a_block_is_named(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_text(csv_text() + '000777,"' + ("x" * 70 + "\n") * 200_000)
    with pytest.raises(
        BadEvents, match=r"a value that begins .* does not end; a quote is probably left open"
    ):
        rows(path)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_text_in_another_encoding_is_named(encoding, tmp_path):
    path = tmp_path / "orders.csv"
    path.write_bytes(("order_id,product\n" + "1,phone\n" * 5_000 + "2,café\n").encode(encoding))
    with pytest.raises(BadEvents, match=r"orders.csv cannot be read.*save it as UTF-8"):
        rows(path, ["order_id", "product"])


def test_quotes_that_end_are_no_offence(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_text('order_id,note\n1,"two\nlines, and ""quotes"""\n2,5" wide\n')
    assert rows(path) == 2


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("order_id," + "x" * 200_000, "holds a name that does not end"),
        ('order_id,"name', "holds a name that does not end"),
        ("order_id," + ",".join("x" * 99 for _ in range(60_000)), "first line is longer than"),
    ],
)
def test_a_header_that_does_not_end_is_named(header, message, tmp_path):
    path = tmp_path / "orders.csv"
    path.write_text(header + "\n1,2\n")
    with pytest.raises(BadEvents, match=rf"orders.csv.*{message}"):
        rows(path)


def test_a_header_of_many_names_is_read(tmp_path):
    path = tmp_path / "orders.csv"
    names = ["order_id", *(f"column_{place:06}" for place in range(20_000))]
    path.write_text(",".join(names) + "\n" + ",".join("1" * 20_001) + "\n")
    assert path.stat().st_size > 2**17
    assert rows(path) == 1


@pytest.mark.parametrize(
    "fault", [{"delimiter": ""}, {"delimiter": ";;"}, {"delimiter": "a"}, {"decimal": ";"}, {"decimal": ","}]
)
def test_a_form_of_csv_that_cannot_be_is_refused(fault):
    with pytest.raises(ValueError, match=next(iter(fault))):
        CsvFormat(**fault)
