"""The same 1,600 orders in many written forms: types, parts, folders and dialects of CSV."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.dataset as pa_dataset
import pyarrow.parquet as pq

CASES = Path(__file__).parents[1] / "cases"
TEXTS = ("order_id", "customer_id", "card_id", "product", "country")


def orders() -> pa.Table:
    return pq.read_table(CASES / "orders.parquet")


def recast(*names: str, to: pa.DataType) -> Callable[[pa.Table, Path], Path]:
    def write(table: pa.Table, folder: Path) -> Path:
        for name in names:
            place = table.column_names.index(name)
            values = table[name].cast(pa.string()) if pa.types.is_dictionary(to) else table[name]
            table = table.set_column(place, name, values.cast(to))
        return parquet(table, folder)

    return write


def changed(name: str, change: Callable[[pa.ChunkedArray], pa.Array]) -> Callable[[pa.Table, Path], Path]:
    def write(table: pa.Table, folder: Path) -> Path:
        return parquet(table.set_column(table.column_names.index(name), name, change(table[name])), folder)

    return write


def parquet(table: pa.Table, folder: Path, name: str = "orders.parquet") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / name)
    return folder / name


def as_strings(table: pa.Table) -> pa.Table:
    """Every column as text, times as data frames write them."""
    seconds = pc.strftime(table["order_time"].cast(pa.timestamp("s", "UTC")), "%Y-%m-%d %H:%M:%S+00:00")
    columns = {name: table[name].cast(pa.string()) for name in table.column_names}
    return pa.table(columns | {"order_time": seconds})


def csv(
    table: pa.Table,
    folder: Path,
    delimiter: str = ",",
    decimal: str = ".",
    name: str = "orders.csv",
    quoting: str = "needed",
    change: Callable[[pa.Table], pa.Table] = lambda table: table,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = as_strings(table)
    amount = pc.replace_substring(text["amount"], ".", decimal)
    text = change(text.set_column(text.column_names.index("amount"), "amount", amount))
    options = pa_csv.WriteOptions(delimiter=delimiter, quoting_style=quoting, quoting_header=quoting)
    pa_csv.write_csv(text, folder / name, options)
    return folder / name


def gzipped(table: pa.Table, folder: Path) -> Path:
    path = csv(table, folder / "plain")
    target = folder / "orders.csv.gz"
    target.write_bytes(gzip.compress(path.read_bytes()))
    return target


def with_crlf_and_mark(table: pa.Table, folder: Path) -> Path:
    path = csv(table, folder)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    return path


def times_as(how: Callable[[pa.Table], pa.Array]) -> Callable[[pa.Table, Path], Path]:
    def write(table: pa.Table, folder: Path) -> Path:
        return csv(table, folder, change=lambda text: text.set_column(3, "order_time", how(table)))

    return write


def epoch(table: pa.Table) -> pa.ChunkedArray:
    return table["order_time"].cast(pa.timestamp("s", "UTC")).cast(pa.int64())


def in_parts(table: pa.Table, folder: Path) -> Path:
    """Parts that differ in how they hold texts, and one without rows; markers beside them."""
    folder.mkdir(parents=True)
    kinds = (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string()))
    for place, kind in enumerate(kinds):
        recast(*TEXTS, to=kind)(table.slice(400 * place, 400), folder / f"part{place}")
    parquet(table.slice(0, 0), folder, "empty.parquet")
    (folder / "_SUCCESS").touch()
    (folder / ".orders.crc").touch()
    return folder


def csv_parts(table: pa.Table, folder: Path) -> Path:
    csv(table.slice(0, 700), folder, name="a.csv")
    csv(table.slice(700, 0), folder, name="b.csv")
    csv(table.slice(700), folder, name="c.csv")
    return folder


def hive(table: pa.Table, folder: Path) -> Path:
    partition = pa_dataset.partitioning(pa.schema([("country", pa.string())]), flavor="hive")
    plain = table.set_column(6, "country", table["country"].cast(pa.string()))
    pa_dataset.write_dataset(plain, folder, format="parquet", partitioning=partition)
    return folder


def csv_hive(table: pa.Table, folder: Path) -> Path:
    for country in ("DE", "FR", "US"):
        rows = table.filter(pc.equal(table["country"], country))
        csv(rows.drop_columns("country"), folder / f"country={country}")
    return folder


def linked(table: pa.Table, folder: Path) -> Path:
    path = parquet(table, folder / "elsewhere")
    (folder / "orders").mkdir()
    os.symlink(path, folder / "orders" / "orders.parquet")
    return folder / "orders"


def shuffled(table: pa.Table, folder: Path) -> Path:
    return parquet(table.take(pa.array(list(range(1599, -1, -1)))), folder)


def doubled(table: pa.Table, folder: Path) -> Path:
    parquet(table.slice(0, 900), folder, "a.parquet")
    parquet(table.slice(800), folder, "b.parquet")
    return folder


def money(column: pa.ChunkedArray) -> pa.Array:
    return pa.array([Decimal(str(value)) for value in column.to_pylist()], pa.decimal128(12, 2))


def spaces(text: pa.Table) -> pa.Table:
    padded = pc.binary_join_element_wise("", text["customer_id"], " ", " ")
    return text.set_column(1, "customer_id", padded)


def utc(table: pa.Table, spelling: str) -> pa.Array:
    return pc.strftime(table["order_time"].cast(pa.timestamp("s", "UTC")), spelling)


def with_fraction(table: pa.Table) -> pa.Array:
    return pc.binary_join_element_wise(epoch(table).cast(pa.string()), "0", ".")


def true_and_false(text: pa.Table) -> pa.Table:
    return text.set_column(4, "label", pc.if_else(pc.equal(text["label"], "1"), "True", "False"))


def retimed(how: Callable[[pa.Table], pa.Array]) -> Callable[[pa.Table, Path], Path]:
    def write(table: pa.Table, folder: Path) -> Path:
        return parquet(table.set_column(3, "order_time", how(table)), folder)

    return write


def without_zone(table: pa.Table) -> pa.Array:
    return table["order_time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).cast(pa.timestamp("us"))


FORMS: dict[str, Callable[[pa.Table, Path], Path]] = {
    "as it is": parquet,
    "string": recast(*TEXTS, to=pa.string()),
    "string_view": recast(*TEXTS, to=pa.string_view()),
    "binary": recast(*TEXTS, to=pa.large_binary()),
    "dictionary": recast(*TEXTS, to=pa.dictionary(pa.int32(), pa.string())),
    "timestamp[s]": recast("order_time", to=pa.timestamp("s", "UTC")),
    "timestamp[ns]": recast("order_time", to=pa.timestamp("ns", "UTC")),
    "timestamp in Tokyo": recast("order_time", to=pa.timestamp("us", "Asia/Tokyo")),
    "timestamp without zone": retimed(without_zone),
    "epoch seconds": retimed(epoch),
    "float epoch seconds": retimed(lambda table: epoch(table).cast(pa.float64())),
    "decimal epoch seconds": retimed(lambda table: epoch(table).cast(pa.decimal128(20, 0))),
    "text times": retimed(lambda table: as_strings(table)["order_time"]),
    "bool labels": recast("label", to=pa.bool_()),
    "decimal labels": recast("label", to=pa.decimal128(20, 0)),
    "float labels": recast("label", to=pa.float32()),
    "decimal items": recast("items", to=pa.decimal128(20, 0)),
    "decimal amounts": changed("amount", money),
    "int8 items": recast("items", to=pa.int8()),
    "text numbers": lambda table, folder: parquet(as_strings(table), folder),
    "another order of rows": shuffled,
    "parts of different types": in_parts,
    "parts that overlap": doubled,
    "hive": hive,
    "a link": linked,
    "csv": csv,
    "csv, all quoted": lambda table, folder: csv(table, folder, quoting="all_valid"),
    "csv.gz": gzipped,
    "csv, CRLF and byte order mark": with_crlf_and_mark,
    "csv parts": csv_parts,
    "csv hive": csv_hive,
    "csv, spaces around keys": lambda table, folder: csv(table, folder, change=spaces),
    "csv, UTC": times_as(lambda table: utc(table, "%Y-%m-%d %H:%M:%S UTC")),
    "csv, Z": times_as(lambda table: utc(table, "%Y-%m-%dT%H:%M:%SZ")),
    "csv, epoch": times_as(lambda table: epoch(table).cast(pa.string())),
    "csv, epoch with fraction": times_as(with_fraction),
    "csv, true and false": lambda table, folder: csv(table, folder, change=true_and_false),
}
"""Name → how it is written; all are the same orders."""
DIALECTS = {"semicolon": (";", ","), "tab": ("\t", "."), "bar": ("|", ".")}
"""Name → what separates fields and fractions."""
