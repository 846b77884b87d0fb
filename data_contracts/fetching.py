"""Raw events from an object store, as a local copy that is gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from pyarrow.fs import FileSystem, FileType, copy_files

from tsa_model.events.errors import BadEvents
from tsa_model.events.location import check_location
from tsa_model.scratch import scratch_folder


@contextmanager
def local_copy(events: str, folder: Path) -> Iterator[str]:
    """Give a path on this machine for events that may lie elsewhere.

    Credentials and the store's address come from the environment, for S3 AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY, AWS_REGION, and AWS_ENDPOINT_URL where it is not Amazon's.

    Args:
        events: a path, or a location with a scheme: s3://, gs://, abfs://, file://.
        folder: where the copy lies while the context lasts.

    Raises:
        BadEvents: the location cannot be read.
    """
    check_location(events)
    if "://" not in events:
        yield events
        return
    name = events.partition("?")[0].rstrip("/").rpartition("/")[2]
    with scratch_folder(Path(folder) / "fetched") as scratch:
        copy = scratch / name
        try:
            store, place = FileSystem.from_uri(events)
            if store.get_file_info(place).type == FileType.Directory:
                copy.mkdir()
            copy_files(place, str(copy), source_filesystem=store)
        except (pa.ArrowException, OSError) as error:
            raise BadEvents(f"{events} cannot be read: {error}") from error
        yield str(copy)
