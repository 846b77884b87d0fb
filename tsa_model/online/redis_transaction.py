"""A transaction in Redis: what it read is watched, what it writes is sent at its end."""

from __future__ import annotations

import bisect
import json
from collections.abc import Callable, Iterable, Iterator
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
from tsa_model.online.redis_blocks import MOMENT, Known, newest, oldest, span
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
        self._known: dict[bytes, Known] = {}
        self._values: dict[bytes, bytes | None] = {}
        """Entries that are to be written, None = deleted."""
        self._blocks: dict[bytes, dict[int, bytes | None]] = {}
        """Stream of a key → moment → its block, None = deleted."""
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
        indexes = {index: None for _, keys in listed for index in self._indexes(keys)}
        wanted = [index for index in indexes if index not in self._known]
        places = [self._order(name) for name in names]
        if not (places or wanted):
            return
        commands = [[b"MGET", *places]] if places else []
        commands += [newest(index, FOREVER, FIRST_BLOCKS) for index in wanted]
        answers = self._ask(*commands, watched=(*places, *wanted))
        if places:
            for name, found in zip(names, answers.pop(0), strict=True):
                self._entries[name] = None if found is None else Entry.unpacked(found)
        for index, found in zip(wanted, answers, strict=True):
            self._known[index] = known = Known()
            known.add(found, FOREVER, FIRST_BLOCKS)

    def done(self, work: Callable[[Transaction], T]) -> T:
        """What work returns; what it refuses stands only where all that it read was one state.

        Raises:
            Torn: it was not.
        """
        try:
            return work(self)
        except ValueError:
            self._values, self._blocks = {}, {}
            if self.commit() is None:
                raise Torn from None
            raise

    def commit(self) -> int | None:
        """Write; returns the number of writes so far, or None where another writer came in between."""
        counter = self._state.root + b"n"
        writes: list[list[Any]] = []
        for place, value in self._values.items():
            writes.append([b"DEL", place] if value is None else [b"SET", place, value])
        for index, blocks in self._blocks.items():
            for moment_us, block in blocks.items():
                writes.append([b"ZREMRANGEBYLEX", index, *span(moment_us)])
                if block is not None:
                    writes.append([b"ZADD", index, 0, MOMENT.pack(moment_us) + block])
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
        index, n_blocks = self._index(stream, key), FIRST_BLOCKS
        known = self._of(index)
        while moment_us >= 0:
            if not known.is_known(moment_us):
                self._fetch(index, known, moment_us, n_blocks)
                n_blocks *= 4
            if (since_us := known.at(moment_us)) is None:
                return
            yield since_us, known.blocks[since_us]
            moment_us = since_us - 1

    def _last(self, stream: Stream, key: bytes, moment_us: int) -> tuple[int, bytes] | None:
        return next(self._backwards(stream, key, moment_us), None)

    def _oldest(self, stream: Stream, key: bytes) -> int | None:
        index = self._index(stream, key)
        known = self._of(index)
        (found,) = self._ask(oldest(index, known.floor, FOREVER, 1))
        return min([*known.moments[:1], *(MOMENT.unpack_from(each)[0] for each in found)], default=None)

    def _is_newest(self, stream: Stream, key: bytes, since_us: int) -> bool:
        newest = next(self._backwards(stream, key, FOREVER), None)
        return newest is None or newest[0] == since_us

    def _put(self, stream: Stream, key: bytes, since_us: int, block: bytes) -> None:
        index = self._index(stream, key)
        known = self._of(index)
        if since_us not in known.blocks:
            bisect.insort(known.moments, since_us)
        known.blocks[since_us] = self._blocks.setdefault(index, {})[since_us] = block

    def _delete_before(self, stream: Stream, key: bytes, since_us: int) -> list[bytes]:
        index = self._index(stream, key)
        known = self._of(index)
        (found,) = self._ask(oldest(index, known.floor, since_us, MOST_DROPPED))
        blocks = {MOMENT.unpack_from(each)[0]: each[MOMENT.size :] for each in found}
        blocks |= {each: known.blocks[each] for each in known.moments if each < since_us}
        dropped = sorted(blocks)[:MOST_DROPPED]
        for each in dropped:
            self._blocks.setdefault(index, {})[each] = None
            known.floor = each + 1
            if known.blocks.pop(each, None) is not None:
                known.moments.remove(each)
        return [blocks[each] for each in dropped]

    def _of(self, index: bytes) -> Known:
        if index not in self._known:
            self._known[index] = known = Known()
            self._fetch(index, known, FOREVER, FIRST_BLOCKS)
        return self._known[index]

    def _fetch(self, index: bytes, known: Known, until_us: int, n: int) -> None:
        (found,) = self._ask(newest(index, until_us, n), watched=(index,))
        known.add(found, until_us, n)

    def _indexes(self, keys: tuple[bytes, bytes]) -> Iterator[bytes]:
        """Of all streams of an order's keys."""
        for kind, key in zip(KINDS, keys, strict=False):
            labels = (LABELS[kind], LATE_LABELS[kind]) if kind in self._columns.labelled else ()
            if key:
                yield from (self._index(stream, key) for stream in (kind, *labels))

    def _index(self, stream: Stream, key: bytes) -> bytes:
        return self._state.root + prefix_of(stream, key)

    def _order(self, name: bytes) -> bytes:
        return self._state.root + b"o" + name

    def _ask(self, *commands: list[Any], watched: Iterable[bytes] = ()) -> list[Any]:
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
