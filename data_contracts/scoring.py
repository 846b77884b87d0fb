"""What the contract of raw events says of orders that are scored outside a pipeline.

Rows that cannot be used were refused when their sequences were built. What is left is what the contract only
warns of: it is found by the same rules and said in the same words.
"""

from __future__ import annotations

from pathlib import Path

from data_contracts.columns import event_columns
from data_contracts.drift import count_words
from data_contracts.findings import Finding, merge
from data_contracts.histories import Histories
from data_contracts.oddities import MOST_WORDS, find_oddities
from data_contracts.parts import cast_part
from data_contracts.spellings import check_spellings
from data_contracts.whole import connect, repeated_orders
from data_contracts.writing import CanonicalFile, RowsAside, without_repeated
from tsa_model.events.ids import read_id_forms
from tsa_model.events.reading import Source
from tsa_model.settings.dataset import DatasetDescription


def notable(sources: list[Source], dataset: DatasetDescription, folder: Path) -> list[str]:
    """Look for what breaks no rule and is most likely not meant.

    Args:
        sources: raw orders, of which a store could be built.
        dataset: their description.
        folder: for work; DuckDB spills there.

    Returns:
        A sentence each, with count and example.
    """
    return [str(finding) for finding in _findings(sources, dataset, folder) if not finding.passed]


def _findings(sources: list[Source], dataset: DatasetDescription, folder: Path) -> list[Finding]:
    columns = event_columns(dataset)
    forms = read_id_forms(sources, dataset, [column.name for column in columns if column.kind == "id"])
    target = folder / "looked_at.parquet"
    about_rows: list[Finding] = []
    histories, rows, good_rows = Histories(dataset), 0, 0
    with CanonicalFile(target, compression="lz4") as file:  # read once and gone
        for source in sources:
            for raw in source.parts([column.name for column in columns]):
                good, findings = cast_part(raw, columns, dataset, forms, rows)
                about_rows = merge([*about_rows, *(one for one in findings if one.severity == "warn")])
                rows, good_rows = rows + raw.num_rows, good_rows + good.num_rows
                histories.note(str(source), good)
                file.write(str(source), good)
    repeated = repeated_orders(target, dataset.order_id, good_rows)
    if repeated.conflicting or repeated.duplicated:
        with RowsAside(dataset, folder / "looked_at.csv") as aside:
            without_repeated(target, dataset.order_id, repeated, aside)
    words = {
        name: count_words(target, name, dataset)
        for name in dataset.raw_categorical
        if name not in dataset.raw_numerical
    }
    few = {name: counts for name, counts in words.items() if len(counts) <= MOST_WORDS}
    with connect(target) as connection:
        oddities = find_oddities(connection, dataset, [], few)
    return [
        *check_spellings(forms),
        *about_rows,
        *repeated.findings[1:],
        *histories.findings(),
        *oddities,
    ]
