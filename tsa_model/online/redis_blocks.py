"""A key's blocks in Redis: a sorted set whose members are a moment and the block that begins there."""

from __future__ import annotations

import bisect
import struct
from dataclasses import dataclass, field
from typing import Any

from tsa_model.online.history import Entry, PackedBlock, Stream
from tsa_model.online.transactions import prefix_of

MOMENT = struct.Struct(">Q")
"""Sorts as its bytes do."""


@dataclass
class Known:
    """What is known of one stream of a key."""

    index: bytes
    """The sorted set's name."""
    moments: list[int] = field(default_factory=list)
    """Of the blocks that were fetched or written, the oldest first."""
    blocks: dict[int, bytes] = field(default_factory=dict)
    whole: list[tuple[int, int]] = field(default_factory=list)
    """From and until when all blocks are known, both included."""
    floor: int = 0
    """Blocks before it were deleted."""
    written: dict[int, bytes | None] = field(default_factory=dict)
    """Moment → its block, which is to be written, None = deleted."""

    def at(self, moment_us: int) -> int | None:
        """The block that begins last, at a moment or before it, where that is known."""
        place = bisect.bisect_right(self.moments, moment_us)
        return self.moments[place - 1] if place else None

    def is_known(self, moment_us: int) -> bool:
        """Whether `at` can tell."""
        return True in [since_us <= moment_us <= until_us for since_us, until_us in self.whole]

    def add(self, found: list[bytes], until_us: int, n_asked: int) -> None:
        """The newest blocks up to a moment with their moments, the newest first."""
        moment_us = 0
        for each in found:
            (moment_us,) = MOMENT.unpack_from(each)
            if moment_us >= self.floor and moment_us not in self.blocks:
                bisect.insort(self.moments, moment_us)
                self.blocks[moment_us] = each[MOMENT.size :]
        self.whole.append((moment_us if len(found) == n_asked else 0, until_us))

    def put(self, moment_us: int, block: bytes) -> None:
        """Write a block."""
        if moment_us not in self.blocks:
            bisect.insort(self.moments, moment_us)
        self.blocks[moment_us] = self.written[moment_us] = block

    def drop(self, moment_us: int) -> None:
        """Delete a block, and all before it."""
        self.written[moment_us] = None
        self.floor = moment_us + 1
        if self.blocks.pop(moment_us, None) is not None:
            self.moments.remove(moment_us)

    def writes(self) -> list[list[Any]]:
        """The commands that write what is to be written."""
        commands: list[list[Any]] = []
        for moment_us, block in self.written.items():
            packed = MOMENT.pack(moment_us)
            commands.append([b"ZREMRANGEBYLEX", self.index, b"[" + packed, b"(" + MOMENT.pack(moment_us + 1)])
            if block is not None:
                commands.append([b"ZADD", self.index, b"0", packed + block])
        return commands


def newest(index: bytes, until_us: int, n: int) -> list[Any]:
    """The command for the newest blocks of a stream up to a moment."""
    return [b"ZREVRANGEBYLEX", index, b"(" + MOMENT.pack(until_us + 1), b"-", b"LIMIT", b"0", b"%d" % n]


def oldest(index: bytes, since_us: int, before_us: int, n: int) -> list[Any]:
    """The command for the oldest blocks of a stream from a moment on and before another."""
    since, before = b"[" + MOMENT.pack(since_us), b"(" + MOMENT.pack(before_us)
    return [b"ZRANGEBYLEX", index, since, before, b"LIMIT", b"0", b"%d" % n]


class FillingCommands:
    """Commands that write blocks and entries."""

    def __init__(self, root: bytes) -> None:
        self._root = root
        self.commands: list[list[Any]] = []

    def put_entry(self, order: bytes, entry: Entry) -> None:
        """See `Filling`."""
        self.commands.append([b"SET", self._root + b"o" + order, entry.packed()])

    def put_block(self, stream: Stream, key: bytes, since_us: int, block: PackedBlock) -> None:
        """See `Filling`."""
        member = MOMENT.pack(since_us) + block.packed()
        self.commands.append([b"ZADD", self._root + prefix_of(stream, key), 0, member])
