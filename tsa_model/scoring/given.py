"""The raw orders that `score` was given: opened, built into a store, and what is to be said of them."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from tsa_model.events.cleaning import wanted_columns
from tsa_model.events.errors import BadEvents
from tsa_model.events.ids import cast_id, read_id_forms
from tsa_model.events.quarantine import QUARANTINE
from tsa_model.events.reading import Opened, Source, open_events, read_parts
from tsa_model.scoring.model import ScoringModel
from tsa_model.scoring.usual import Tell
from tsa_model.sequences import SequenceStore
from tsa_model.settings.dataset import DatasetDescription

Look = Callable[[list[Source], DatasetDescription, Path], Iterable[str]]
"""From raw orders, their description and a folder for work to what is notable of them."""
SHOWN = 3


@dataclass
class Notes:
    """Passes on what is said, and keeps it."""

    tell: Tell
    said: list[str] = field(default_factory=list)

    def __call__(self, words: str) -> None:
        """Say it once."""
        if words not in self.said:
            self.said.append(words)
            self.tell(words)


@dataclass(frozen=True)
class GivenOrders:
    """Orders to score, and the earlier ones that came apart from them."""

    dataset: DatasetDescription
    events: Opened
    history: Opened | None

    @classmethod
    def open(cls, events: Any, history: Any, dataset: DatasetDescription) -> GivenOrders:
        """Open both; neither needs the column of labels.

        Raises:
            BadEvents: one of them cannot be opened.
        """
        columns = wanted_columns(dataset) if dataset.layout == "events" else None

        def opened(given: Any) -> Opened:
            found = open_events(given, dataset.csv, columns, optional=dataset.label_columns)
            for source in found.sources:
                if source.lacking == {dataset.label_time}:
                    raise BadEvents(
                        f"{source}: the column {dataset.label_time!r} is missing, which says since when each "
                        f"{dataset.label!r} is known; give both columns or none"
                    )
            return found

        return cls(dataset, opened(events), None if history is None else opened(history))

    @property
    def sources(self) -> list[Source]:
        """All of them, the earlier ones first."""
        return [*(self.history.sources if self.history is not None else ()), *self.events.sources]

    def build_store(self, model: ScoringModel, folder: Path) -> SequenceStore:
        """Make sequences of all of them, encoded as the model's training orders were.

        Raises:
            BadEvents: they do not fit; where orders are in both places and differ, an example is named.
        """
        try:
            return SequenceStore.build(
                self.sources, self.dataset, folder, preprocessing=model.preprocessing_path
            )
        except BadEvents as error:
            if self.history is None or not (both := self._words_on_both("differ in their rows")):
                raise
            raise BadEvents(f"{error}\n{both}") from error

    def order_ids(self, opened: Opened | None = None) -> NDArray[Any]:
        """Order ids of the orders to score, or of some others, as the store reads them."""
        column, sources = self.dataset.order_id, (opened or self.events).sources
        form = read_id_forms(self.sources, self.dataset, [column])[column]
        parts = [
            pc.drop_null(cast_id(part[column], form, self.dataset.missing_words).values)
            for _, part in read_parts(sources, [column], csv=self.dataset.csv)
        ]
        return np.concatenate([part.to_numpy(zero_copy_only=False) for part in parts])

    def words(self, store: SequenceStore) -> Iterator[str]:
        """What is left out and what is there twice."""
        left_out = [*self.events.left_out, *(self.history.left_out if self.history is not None else ())]
        if left_out:
            shown = "; ".join(f"{path}: {reason}" for path, reason in left_out[:SHOWN])
            yield f"{len(left_out):,} files or folders were not read: {shown}{_more(len(left_out))}"
        if self.history is not None and (both := self._words_on_both("count once")):
            yield both
        aside = store.directory / QUARANTINE
        if aside.is_file():
            table = pa_csv.read_csv(aside, parse_options=pa_csv.ParseOptions(newlines_in_values=True))
            reasons = Counter(table["_problem"].to_pylist()).most_common()
            shown = "; ".join(f"{reason} ({count:,} rows)" for reason, count in reasons[:SHOWN])
            unusable = f"{table.num_rows:,} rows cannot be used and lie in {QUARANTINE}"
            yield f"{unusable}: {shown}{_more(len(reasons))}"

    def keep_aside(self, store: SequenceStore, folder: Path) -> None:
        """Copy the rows that could not be used beside the scores."""
        if (store.directory / QUARANTINE).is_file():
            shutil.copyfile(store.directory / QUARANTINE, folder / QUARANTINE)

    def _words_on_both(self, what: str) -> str:
        both = np.intersect1d(self.order_ids(), self.order_ids(self.history))
        if not both.size:
            return ""
        return f"{both.size:,} orders stand in --events and in --history and {what}, e.g. order {both[0]}"


def _more(found: int) -> str:
    return f"; and {found - SHOWN:,} more" if found > SHOWN else ""
