"""A transaction in Redis: what it read is watched, what it writes is sent at its end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import redis

from tsa_model.online.history import (
    KINDS,
    LABELS,
    LATE_LABELS,
    Columns,
    Entry,
    HistoryError,
    Stream,
    Transaction,
)
from tsa_model.online.redis_blocks import MOMENT, Known, newest, oldest
from tsa_model.online.redis_link import META, Link
from tsa_model.online.transactions import FOREVER, MOST_DROPPED, BlockTransaction, Expected, prefix_of

T = TypeVar("T")
TURN = b"t"
FIRST_BLOCKS = 2
"""Blocks that are fetched of a stream at first; then four times as many."""
LAYOUT = 2
"""Of what Redis holds; see `redis_store`."""


class Changed(Exception):
    """Redis holds another store than was known, or none; `meta` is what it holds."""

    def __init__(self, meta: bytes | None) -> None:
        super().__init__()
        self.meta = meta


class Torn(Exception):
    """Another writer came in between, or it is another's turn: the work is done anew."""


class State:
    """What a process knows of the store.

    Args:
        meta: id and columns, as Redis holds them.

    Raises:
        HistoryError: it is of another version.
    """

    def __init__(self, meta: bytes) -> None:
        content = json.loads(meta)
        if content.get("layout") != LAYOUT:
            raise HistoryError(
                "the history store in Redis is of another version: empty its database, and load it again"
            )
        self.meta, self.id = meta, str(content["id"])
        self.columns = Columns.model_validate(content["columns"])
        self.root = b"tsa:" + self.id.encode() + b":"
        self.seen = 0
        """Writes that were seen to be done."""

    @staticmethod
    def packed(name: str, columns: Columns) -> bytes:
        """As bytes."""
        return json.dumps({"layout": LAYOUT, "id": name, "columns": columns.model_dump(mode="json")}).encode()


class RedisTransaction(BlockTransaction):
    """See `Transaction`.

    Args:
        link: a connection of its own.
        state: what is known of the store.
        turn: says that it is this writer's turn, where several came in each other's way.
    """

    def __init__(self, link: Link, state: State, turn: bytes = b"") -> None:
        super().__init__(state.columns)
        self._link, self._state, self._turn = link, state, turn
        self._is_open = False
        self._entries: dict[bytes, Entry | None] = {}
        self._known: dict[tuple[Stream, bytes], Known] = {}
        """By stream and key."""
        self._values: dict[bytes, bytes | None] = {}
        """Entries that are to be written, None = deleted."""
        self.new_meta: bytes | None = None
        """What is noted of the store itself, if anything is."""

    @property
    def columns(self) -> Columns:
        """See `Transaction`."""
        return self._columns

    def set_forms(self, is_whole: dict[str, bool]) -> None:
        """See `Transaction`."""
        self._columns = self._columns.changed(is_whole=is_whole)
        self.new_meta = self._values[META] = State.packed(self._state.id, self._columns)

    def expect(self, orders: Iterable[Expected]) -> None:
        """See `Transaction`."""
        listed = list(orders)
        names = list(dict.fromkeys(name for name, _ in listed if name not in self._entries))
        streams = {
            each: None for _, keys in listed for each in self._streams(keys) if each not in self._known
        }
        places = [self._order(name) for name in names]
        if not (places or streams):
            return
        wanted = [Known(self._index(*each)) for each in streams]
        commands = [[b"MGET", *places]] if places else []
        commands += [newest(known.index, FOREVER, FIRST_BLOCKS) for known in wanted]
        answers = self._ask(*commands, watched=[*places, *(known.index for known in wanted)])
        if places:
            for name, found in zip(names, answers.pop(0), strict=True):
                self._entries[name] = None if found is None else Entry.unpacked(found)
        for each, known, found in zip(streams, wanted, answers, strict=True):
            self._known[each] = known
            known.add(found, FOREVER, FIRST_BLOCKS)

    def done(self, work: Callable[[Transaction], T]) -> T:
        """What work returns; what it refuses stands only where all that it read was one state.

        Raises:
            Torn: it was not.
        """
        try:
            return work(self)
        except ValueError:
            self._values = {}
            for known in self._known.values():
                known.written = {}
            if self.commit() is None:
                raise Torn from None
            raise

    def commit(self) -> int | None:
        """Write; returns the number of writes so far, or None where another writer came in between."""
        counter = self._state.root + b"n"
        writes: list[list[Any]] = []
        for place, value in self._values.items():
            writes.append([b"DEL", place] if value is None else [b"SET", place, value])
        for known in self._known.values():
            if known.written:
                writes += known.writes()
        last = [b"INCR", counter] if writes else [b"GET", counter]
        if self._turn:
            writes.append([b"DEL", self._state.root + TURN])
        writes.append(last)
        done = self._ask([b"MULTI"], *writes, [b"EXEC"])[-1]
        self._link.done()
        if done is None:
            return None
        if failed := [each for each in done if isinstance(each, redis.RedisError)]:
            raise failed[0]
        return int(done[-1] or 0)

    def entry(self, order: bytes) -> Entry | None:
        """See `Transaction`."""
        if order not in self._entries:
            self.expect([(order, (b"", b""))])
        return self._entries[order]

    def put_entry(self, order: bytes, entry: Entry) -> None:
        """See `Transaction`."""
        self._entries[order] = entry
        self._values[self._order(order)] = entry.packed()

    def _delete_entry(self, order: bytes) -> None:
        self._entries[order] = self._values[self._order(order)] = None

    def _backwards(self, stream: Stream, key: bytes, moment_us: int) -> Iterator[tuple[int, bytes]]:
        known, n_blocks = self._of(stream, key), FIRST_BLOCKS
        while moment_us >= 0:
            if not known.is_known(moment_us):
                self._fetch(known, moment_us, n_blocks)
                n_blocks *= 4
            if (since_us := known.at(moment_us)) is None:
                return
            yield since_us, known.blocks[since_us]
            moment_us = since_us - 1

    def _last(self, stream: Stream, key: bytes, moment_us: int) -> tuple[int, bytes] | None:
        known = self._of(stream, key)
        if moment_us < 0 or not known.is_known(moment_us):
            return next(self._backwards(stream, key, moment_us), None)
        since_us = known.at(moment_us)
        return None if since_us is None else (since_us, known.blocks[since_us])

    def _oldest(self, stream: Stream, key: bytes) -> int | None:
        known = self._of(stream, key)
        (found,) = self._ask(oldest(known.index, known.floor, FOREVER, 1))
        return min([*known.moments[:1], *(MOMENT.unpack_from(each)[0] for each in found)], default=None)

    def _is_newest(self, stream: Stream, key: bytes, since_us: int) -> bool:
        newest = self._last(stream, key, FOREVER)
        return newest is None or newest[0] == since_us

    def _put(self, stream: Stream, key: bytes, since_us: int, block: bytes) -> None:
        self._of(stream, key).put(since_us, block)

    def _delete_before(self, stream: Stream, key: bytes, since_us: int) -> list[bytes]:
        known = self._of(stream, key)
        (found,) = self._ask(oldest(known.index, known.floor, since_us, MOST_DROPPED))
        blocks = {MOMENT.unpack_from(each)[0]: each[MOMENT.size :] for each in found}
        blocks |= {each: known.blocks[each] for each in known.moments if each < since_us}
        dropped = sorted(blocks)[:MOST_DROPPED]
        for each in dropped:
            known.drop(each)
        return [blocks[each] for each in dropped]

    def _of(self, stream: Stream, key: bytes) -> Known:
        known = self._known.get((stream, key))
        if known is None:
            self._known[stream, key] = known = Known(self._index(stream, key))
            self._fetch(known, FOREVER, FIRST_BLOCKS)
        return known

    def _fetch(self, known: Known, until_us: int, n: int) -> None:
        (found,) = self._ask(newest(known.index, until_us, n), watched=[known.index])
        known.add(found, until_us, n)

    def _streams(self, keys: tuple[bytes, bytes]) -> Iterator[tuple[Stream, bytes]]:
        """All streams of an order's keys."""
        for kind, key in zip(KINDS, keys, strict=False):
            if key:
                yield kind, key
                if kind in self._columns.labelled:
                    yield LABELS[kind], key
                    yield LATE_LABELS[kind], key

    def _index(self, stream: Stream, key: bytes) -> bytes:
        return self._state.root + prefix_of(stream, key)

    def _order(self, name: bytes) -> bytes:
        return self._state.root + b"o" + name

    def _ask(self, *commands: list[Any], watched: Sequence[bytes] = ()) -> list[Any]:
        """Answers of Redis; the first time, it is asked whether it still holds the store that is known.

        Args:
            commands: they read.
            watched: where another writer may not come in between; they are watched before they are read.
        """
        if self._is_open:
            watching = [[b"WATCH", *watched]] if watched else []
            return self._link.ask(*watching, *commands)[len(watching) :]
        opening = [b"WATCH", META, *watched], [b"MGET", META, self._state.root + TURN]
        _, (meta, turn), *answers = self._link.ask(*opening, *commands)
        if meta != self._state.meta:
            raise Changed(meta)
        if turn not in (None, self._turn):
            raise Torn
        self._is_open = True
        return answers
