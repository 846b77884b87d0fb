"""Raw events → a whole store, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tsa_model.events.quarantine import QUARANTINE
from tsa_model.files import atomic_folder
from tsa_model.outputs import check_replaceable
from tsa_model.scratch import scratch_folder
from tsa_model.sequences.columns.column_files import ColumnFiles
from tsa_model.sequences.features.preprocessing import Preprocessing, fit
from tsa_model.sequences.sorting.engine import EngineName
from tsa_model.sequences.sorting.event_log import prepare_event_log
from tsa_model.sequences.sorting.wide_log import prepare_wide_log
from tsa_model.sequences.store.writing import write_store
from tsa_model.settings.dataset import DatasetDescription


def build_store(
    events: Any,
    description: DatasetDescription,
    directory: Path,
    preprocessing: Preprocessing | Mapping | str | Path | None,
    engine: EngineName,
    events_sha256: str | None = None,
) -> None:
    """Write the store of `events` to `directory`; see `SequenceStore.build`.

    Outside a run the manifest has no `events_sha256`, so that the same orders make the same store whatever
    files they came in.
    """
    check_replaceable(directory, str(directory))
    with (
        atomic_folder(directory) as folder,
        scratch_folder(directory) as work,
    ):
        files = ColumnFiles(work / "columns")
        if description.layout == "wide":
            prepared = prepare_wide_log(events, description, files, folder / QUARANTINE)
        else:
            prepared = prepare_event_log(
                events, description, files, work / "engine", folder / QUARANTINE, engine
            )
        if preprocessing is None:
            fitted = fit(prepared.orders, description)
        else:
            fitted = Preprocessing.load(preprocessing)
        fitted.check_covers(description)
        write_store(folder, prepared, description, fitted, files, events_sha256)
