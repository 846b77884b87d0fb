"""The histories of wide rows: both sides speak of the same orders, and no order is in its own."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from data_contracts.findings import MAX_EXAMPLES, Example, Finding
from tsa_model.events.wide.histories import UnusableRows, WideLayout, match_histories
from tsa_model.events.wide.matching import Matching
from tsa_model.events.wide.texts import TextRows
from tsa_model.settings.dataset import DatasetDescription


class Histories:
    """Looks at parts of validated wide rows; an event log has no histories to look at."""

    def __init__(self, dataset: DatasetDescription) -> None:
        self._layout = WideLayout.of(dataset)
        keys = [key for key in (dataset.customer_id, dataset.card_id) if key is not None]
        self._matching = {key: Matching() for key in keys if dataset.layout == "wide"}
        self._rows = 0
        self._inside: dict[str, list[Example]] = {key: [] for key in self._matching}

    def note(self, origin: str, part: pa.Table) -> None:
        """Look at one part; rows whose histories cannot be cut are named when sequences are built."""
        if not self._matching or not part.num_rows:
            return
        self._rows += part.num_rows
        for key in self._matching:
            names = [f"{kind}_objectId_by_{key}" for kind in ("cat", "num")]
            rows = part.select([self._layout.order_id, *names])
            while rows.num_rows:
                try:
                    texts = TextRows(rows, rows.column_names, origin)
                    matching, inside = match_histories(texts, self._layout, key)
                except UnusableRows as error:
                    keep = np.ones(rows.num_rows, dtype=bool)
                    keep[error.rows] = False
                    rows = rows.filter(pa.array(keep))
                    continue
                self._matching[key] += matching
                orders = rows[self._layout.order_id].filter(pa.array(inside)).to_pylist()
                self._inside[key] += [Example(f"order {order}", order) for order in orders]
                break

    def findings(self) -> list[Finding]:
        """Rules about the histories of every key."""
        findings = []
        for key, matching in self._matching.items():
            sentence = f"both sides of the histories by {key} name the same orders"
            findings.append(Finding(sentence, detail=matching.problem(key)))
            inside = self._inside[key]
            findings.append(
                Finding(
                    "no order is in its own history",
                    f"cat_objectId_by_{key}",
                    self._rows,
                    len(inside),
                    tuple(inside[:MAX_EXAMPLES]),
                    "warn",
                )
            )
        return findings
