"""A transaction in Redis: what it read is watched, what it writes is sent at its end."""

from __future__ import annotations

import bisect
import json
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import redis

from tsa_model.online.history import KINDS, LABELS, LATE_LABELS, Columns, Entry, Stream, Transaction
from tsa_model.online.redis_link import META, Link
from tsa_model.online.transactions import FOREVER, MOST_DROPPED, BlockTransaction, Expected, prefix_of

MOMENT = struct.Struct(">Q")
T = TypeVar("T")
TURN = b"t"
FIRST_BLOCKS = 2
"""Blocks that are fetched of a stream at first; then four times as many."""
_SOME = b"""
local moments = redis.call(ARGV[1], KEYS[1], ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])
local found = {}
for place, moment in ipairs(moments) do
  found[2 * place - 1] = moment
  found[2 * place] = redis.call('GET', KEYS[1] .. moment)
end
return found
"""


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
    """

    def __init__(self, meta: bytes) -> None:
        content = json.loads(meta)
        self.meta, self.id = meta, str(content["id"])
        self.columns = Columns.model_validate(content["columns"])
        self.root = b"tsa:" + self.id.encode() + b":"
        self.seen = 0
        """Writes that were seen to be done."""

    @staticmethod
    def packed(name: str, columns: Columns) -> bytes:
        """As bytes."""
        return json.dumps({"id": name, "columns": columns.model_dump(mode="json")}).encode()


@dataclass
class _Known:
    """What is known of one stream of a key."""

    moments: list[int] = field(default_factory=list)
    """Of the blocks that were fetched or written, the oldest first."""
    blocks: dict[int, bytes] = field(default_factory=dict)
    whole: list[tuple[int, int]] = field(default_factory=list)
    """From and until when all blocks are known, both included."""
    floor: int = 0
    """Blocks before it were deleted."""

    def at(self, moment_us: int) -> int | None:
        """The block that begins last, at a moment or before it, where that is known."""
        place = bisect.bisect_right(self.moments, moment_us)
        return self.moments[place - 1] if place else None

    def is_known(self, moment_us: int) -> bool:
        """Whether `at` can tell."""
        return any(since <= moment_us <= until for since, until in self.whole)

    def add(self, found: list[bytes | None], until_us: int, n_asked: int) -> None:
        """The newest blocks up to a moment, the newest first."""
        moments = [MOMENT.unpack(each)[0] for each in found[::2] if each is not None]
        for moment, block in zip(moments, found[1::2], strict=True):
            if block is None:
                raise Torn
            if moment >= self.floor and moment not in self.blocks:
                bisect.insort(self.moments, moment)
                self.blocks[moment] = block
        self.whole.append((moments[-1] if len(moments) == n_asked else 0, until_us))


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
        self._known: dict[bytes, _Known] = {}
        self._values: dict[bytes, bytes | None] = {}
        """What is to be written, None = deleted."""
        self._indexed: dict[bytes, dict[bytes, bool]] = {}
        """Key → moment → whether its block is there."""
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
        answers = self._ask(
            [b"WATCH", *places, *wanted],
            *([b"GET", place] for place in places),
            *(_newest(index, FOREVER, FIRST_BLOCKS) for index in wanted),
        )[1:]
        for name, found in zip(names, answers, strict=False):
            self._entries[name] = None if found is None else Entry.unpacked(found)
        for index, found in zip(wanted, answers[len(names) :], strict=True):
            self._known[index] = known = _Known()
            known.add(found, FOREVER, FIRST_BLOCKS)

    def done(self, work: Callable[[Transaction], T]) -> T:
        """What work returns; what it refuses stands only where all that it read was one state.

        Raises:
            Torn: it was not.
        """
        try:
            return work(self)
        except ValueError:
            self._values, self._indexed = {}, {}
            if self.commit() is None:
                raise Torn from None
            raise

    def commit(self) -> int | None:
        """Write; returns the number of writes so far, or None where another writer came in between."""
        counter = self._state.root + b"n"
        writes: list[list[Any]] = []
        for place, value in self._values.items():
            writes.append([b"DEL", place] if value is None else [b"SET", place, value])
        for index, moments in self._indexed.items():
            # Written anew even where it is there: others watch the index, and must see that a block changed.
            writes.append([b"ZREM", index, *moments])
            writes += [[b"ZADD", index, 0, moment] for moment, is_there in moments.items() if is_there]
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
        since = b"[" + MOMENT.pack(known.floor)
        (found,) = self._ask([b"ZRANGEBYLEX", index, since, b"+", b"LIMIT", 0, 1])
        moments = [*known.moments[:1], *(MOMENT.unpack(each)[0] for each in found)]
        return min(moments, default=None)

    def _is_newest(self, stream: Stream, key: bytes, since_us: int) -> bool:
        newest = next(self._backwards(stream, key, FOREVER), None)
        return newest is None or newest[0] == since_us

    def _put(self, stream: Stream, key: bytes, since_us: int, block: bytes) -> None:
        index, moment = self._index(stream, key), MOMENT.pack(since_us)
        known = self._of(index)
        if since_us not in known.blocks:
            bisect.insort(known.moments, since_us)
        self._indexed.setdefault(index, {})[moment] = True
        known.blocks[since_us] = self._values[index + moment] = block

    def _delete_before(self, stream: Stream, key: bytes, since_us: int) -> list[bytes]:
        index = self._index(stream, key)
        known = self._of(index)
        (found,) = self._ask(_oldest(index, known.floor, since_us, MOST_DROPPED))
        blocks = {MOMENT.unpack(each)[0]: block for each, block in zip(found[::2], found[1::2], strict=True)}
        blocks |= {each: known.blocks[each] for each in known.moments if each < since_us}
        dropped = sorted(blocks)[:MOST_DROPPED]
        for each in dropped:
            moment = MOMENT.pack(each)
            self._indexed.setdefault(index, {})[moment] = False
            self._values[index + moment] = None
            known.floor = each + 1
            if known.blocks.pop(each, None) is not None:
                known.moments.remove(each)
        if any(blocks[each] is None for each in dropped):
            raise Torn
        return [blocks[each] for each in dropped]

    def _of(self, index: bytes) -> _Known:
        if index not in self._known:
            self._known[index] = known = _Known()
            self._fetch(index, known, FOREVER, FIRST_BLOCKS)
        return self._known[index]

    def _fetch(self, index: bytes, known: _Known, until_us: int, n: int) -> None:
        _, found = self._ask([b"WATCH", index], _newest(index, until_us, n))
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

    def _ask(self, *commands: list[Any]) -> list[Any]:
        """Answers of Redis; the first time, it is asked whether it still holds the store that is known."""
        if self._is_open:
            return self._link.ask(*commands)
        opening = ([b"WATCH", META], [b"GET", META], [b"GET", self._state.root + TURN])
        _, meta, turn, *answers = self._link.ask(*opening, *commands)
        if meta != self._state.meta:
            raise Changed(meta)
        if turn not in (None, self._turn):
            raise Torn
        self._is_open = True
        return answers


def _newest(index: bytes, until_us: int, n: int) -> list[Any]:
    """The command for the newest blocks of a stream up to a moment."""
    return [b"EVAL", _SOME, 1, index, b"ZREVRANGEBYLEX", b"[" + MOMENT.pack(until_us), b"-", n]


def _oldest(index: bytes, since_us: int, before_us: int, n: int) -> list[Any]:
    """The command for the oldest blocks of a stream from a moment on and before another."""
    first, last = b"[" + MOMENT.pack(since_us), b"(" + MOMENT.pack(before_us)
    return [b"EVAL", _SOME, 1, index, b"ZRANGEBYLEX", first, last, n]
