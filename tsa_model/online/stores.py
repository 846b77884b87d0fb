"""Where histories are kept: a folder of this machine (LMDB), or an address of Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tsa_model.files import atomic_folder
from tsa_model.online.history import Columns, HistoryError, HistoryStore
from tsa_model.online.lmdb_store import LmdbStore
from tsa_model.online.redis_link import is_redis


def open_store(place: str | Path, sync: bool = False) -> HistoryStore:
    """Open a store.

    Args:
        place: a folder, or an address such as redis://host:6379/0.
        sync: of a folder, wait for the disk before an order is acknowledged; see `LmdbStore`.

    Raises:
        HistoryError: there is none, or it cannot be used.
        StoreAway: it does not answer.
    """
    if not is_redis(place):
        return LmdbStore(place, sync)
    from tsa_model.online.redis_store import RedisStore

    return RedisStore(str(place))


def open_or_create(place: str | Path, columns: Columns, sync: bool = False) -> HistoryStore:
    """Open a store; a folder without one gets an empty one.

    A Redis that holds none may have lost it, so none is made there.
    """
    folder = Path(place)
    if is_redis(place) or (folder.exists() and any(folder.iterdir())):
        return open_store(place, sync)
    return LmdbStore.create(folder, columns, sync)


@contextmanager
def made(place: str | Path, columns: Columns) -> Iterator[HistoryStore]:
    """Make a store and fill it; it is there, whole, when the block has ended, and not before.

    Raises:
        HistoryError: there is one already.
    """
    if is_redis(place):
        from tsa_model.online.redis_store import RedisStore

        with RedisStore.created(str(place), columns) as made_there:
            yield made_there
        made_there.close()
        return
    check_free(place)
    with atomic_folder(Path(place)) as folder:
        store = LmdbStore.create(folder, columns)
        try:
            yield store
        finally:
            store.close()


def check_free(place: str | Path) -> None:
    """Refuse a folder that holds anything; whether Redis holds a store shows when one is made.

    Raises:
        HistoryError: it does.
    """
    folder = Path(place)
    if not is_redis(place) and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise HistoryError(
            f"{folder} exists already, and its orders would be lost: give a new folder, or remove that one"
        )
