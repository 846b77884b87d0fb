"""The history store in a Redis server, for several replicas of the service at once.

Writers do not wait for each other. A transaction watches all that it reads; where another writer changed any
of it in between, Redis writes nothing and the work is done anew.

    tsa:store               id of the store and its columns; written last when one is made
    tsa:<id>:t              whose turn it is, where writers came in each other's way
    tsa:<id>:n              writes so far: Redis went back to an older copy where it is smaller than it was
    tsa:<id>:o<order>       what is known of an order
    tsa:<id>:<key>          a key's blocks, a sorted set by the moments that stand before them
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import uuid4

import redis

from tsa_model.online.history import (
    STREAMS,
    Columns,
    Filling,
    HistoryError,
    StoreAway,
    Transaction,
    WouldWait,
)
from tsa_model.online.redis_blocks import FillingCommands
from tsa_model.online.redis_link import AT_ONCE, META, TIMEOUT_S, Link, Links, address_of
from tsa_model.online.redis_transaction import TURN, Changed, RedisTransaction, State, Torn
from tsa_model.online.requirements import check_fits

T = TypeVar("T")
LOADING = b"tsa:loading"
LOADING_S = 600
"""A load that was killed bars others for so long."""
PATIENCE_S = 10.0
"""How long work is done anew because others write the same histories."""
NEAR_S = 0.003
"""Redis is near as long as all answers that an order needs take less."""
AT_ONCE_S = 0.02
"""Work that is to be done at once waits so long for what it reads."""
TRIES = 2
"""After so many, a writer asks the others to wait."""
TURN_MS = 5000
"""They wait at most so long, should it end in between; what is written is right without it."""


class RedisStore:
    """Blocks and entries in Redis.

    An order is safe as far as Redis is: with `appendonly yes` it survives the end of the Redis process, with
    `appendfsync always` a failure of its machine too.
    """

    def __init__(self, url: str) -> None:
        """Open a store.

        Raises:
            HistoryError: there is none, or this Redis may throw parts of it away.
            StoreAway: Redis does not answer.
        """
        self._start(url)
        with self._linked() as link:
            found, info = link.ask([b"GET", META], [b"INFO"])
        if found is None:
            raise HistoryError(f"{self.place} holds no history store: make one with `tsa online load`")
        self._state = State(found)
        self._check_server(info)

    @classmethod
    @contextmanager
    def created(cls, url: str, columns: Columns) -> Iterator[RedisStore]:
        """Make a store, which nobody sees before the block that fills it has ended.

        Raises:
            HistoryError: there is one already, or another is being made.
            StoreAway: Redis does not answer.
        """
        store = cls.__new__(cls)
        store._start(url)
        token = uuid4().hex[:8]
        with store._linked() as link:
            found, free, info = link.ask(
                [b"GET", META], [b"SET", LOADING, token, b"NX", b"EX", LOADING_S], [b"INFO"]
            )
        if found is not None or not free:
            if free:
                store._ask([b"DEL", LOADING])
            problem = "is making a history store just now: wait until it is done"
            if found is not None:
                problem = "holds a history store already, and its orders would be lost: empty this database, "
                problem += "or take another number"
            raise HistoryError(f"{store.place} {problem}")
        store._state = State(State.packed(token, columns))
        try:
            store._check_server(info)
            store._clear()
            yield store
            store._ask([b"SET", META, store._state.meta], [b"DEL", LOADING])
        except BaseException:
            try:
                store._clear()
                store._ask([b"DEL", LOADING])
            except StoreAway:
                pass  # the next load clears what this one left
            raise

    def _start(self, url: str) -> None:
        self._links, self.place = Links(url), address_of(url)
        self._lock, self._hurried = threading.Lock(), threading.local()
        self.is_near = False
        self._unfit = ""

    @property
    def columns(self) -> Columns:
        """See `HistoryStore`."""
        return self._state.columns

    def read(self, work: Callable[[Transaction], T]) -> T:
        """See `HistoryStore`."""
        return self.write(work)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """See `HistoryStore`."""
        if self._unfit:
            raise StoreAway(self._unfit)
        end, n_tries, turn = time.monotonic() + PATIENCE_S, 0, b""
        while True:
            state = self._state
            try:
                with self._linked() as link:
                    seen, transaction = state.seen, RedisTransaction(link, state, turn)
                    result = transaction.done(work)
                    link.patience_s = TIMEOUT_S  # whether it is written must be known
                    n_writes = transaction.commit()
                if n_writes is not None:
                    self._note(state, n_writes, seen)
                    self.is_near = link.waited_s < NEAR_S
                    if transaction.new_meta is not None:
                        self._adopt(state, State(transaction.new_meta))
                    return result
            except Changed as changed:
                self._adopt(state, self._other(changed.meta))
            except Torn:
                pass
            if self._is_hurried():
                raise WouldWait
            if time.monotonic() > end:
                raise StoreAway(f"{self.place} changes all the time under what was read: try again")
            n_tries += 1
            time.sleep(random.uniform(0, 0.002) * min(n_tries, 10))
            if n_tries >= TRIES and not turn:
                turn = self._turn(state)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """See `HistoryStore`."""
        self._hurried.is_on = True
        try:
            yield
        finally:
            self._hurried.is_on = False

    def _is_hurried(self) -> bool:
        return getattr(self._hurried, "is_on", False)

    def _turn(self, state: State) -> bytes:
        """Ask the other writers to wait, so that this one gets done; empty where it is another's turn."""
        token = uuid4().bytes
        (is_free,) = self._ask([b"SET", state.root + TURN, token, b"NX", b"PX", TURN_MS])
        return token if is_free else b""

    @contextmanager
    def filling(self) -> Iterator[Filling]:
        """See `HistoryStore`."""
        filling = FillingCommands(self._state.root)
        yield filling
        with self._linked() as link:
            link.ask([b"EXPIRE", LOADING, LOADING_S], *filling.commands)

    def flush(self) -> None:
        """Look whether Redis keeps all that it is given; what is written is as safe as Redis keeps it."""
        (info,) = self._ask([b"INFO"])
        try:
            self._check_server(info)
            self._unfit = ""
        except HistoryError as error:
            self._unfit = str(error)

    def counts(self) -> dict[str, int]:
        """Orders and blocks; looks at every key."""
        n_orders = n_blocks = 0
        names = [*self._names(self._state.root + b"*")]
        for first in range(0, len(names), AT_ONCE):
            kinds = {name: name[len(self._state.root)] for name in names[first : first + AT_ONCE]}
            n_orders += list(kinds.values()).count(ord("o"))
            n_blocks += sum(self._ask(*([b"ZCARD", name] for name in kinds if kinds[name] < len(STREAMS))))
        return {"orders": n_orders, "blocks": n_blocks}

    def close(self) -> None:
        """Close the connections."""
        self._links.close()

    def _note(self, state: State, n_writes: int, seen: int) -> None:
        """Refuse answers of a Redis that has lost writes; `seen` is what was known before it was asked."""
        if n_writes < seen:
            raise StoreAway(
                f"{self.place} has gone back to an older copy, so some orders are lost: load the store again"
            )
        state.seen = max(state.seen, n_writes)

    def _adopt(self, before: State, state: State) -> None:
        """Go over to another state, unless another thread did so already."""
        with self._lock:
            if self._state is before:
                if state.id == before.id:
                    state.seen = before.seen
                self._state = state

    def _other(self, meta: bytes | None) -> State:
        """What Redis holds now: other forms of ids, or a store that was loaded anew.

        Raises:
            StoreAway: there is none, or it is of no use here.
        """
        if meta is None:
            raise StoreAway(
                f"{self.place} holds no history store any more, so no order's history is known: load it again"
            )
        known = self._state.columns
        try:
            state = State(meta)
            check_fits(state.columns, known)
        except HistoryError as error:
            raise StoreAway(f"{self.place}: {error}") from None
        if any(state.columns.is_whole.get(name, each) != each for name, each in known.is_whole.items()):
            raise StoreAway(f"the ids of {self.place} have another form now: start the service again")
        return state

    def _check_server(self, info: bytes) -> None:
        """Refuse a Redis that throws keys away when its memory is full.

        Raises:
            HistoryError: it does.
        """
        facts = dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
        policy = facts.get("maxmemory_policy", "noeviction")
        if policy != "noeviction" and facts.get("maxmemory", "0") != "0":
            raise HistoryError(
                f"{self.place} throws orders away when its memory is full (maxmemory-policy {policy}), and "
                "scores would be made from half a history: set maxmemory-policy noeviction"
            )
        self.keeps_log = facts.get("aof_enabled") == "1"

    def _names(self, pattern: bytes) -> Iterator[bytes]:
        """Every key of a pattern."""
        cursor: bytes | None = b"0"
        while cursor:
            ((found, names),) = self._ask([b"SCAN", cursor, b"MATCH", pattern, b"COUNT", b"1000"])
            yield from names
            cursor = None if found == b"0" else found

    def _clear(self) -> None:
        """Delete what a load that was never finished left behind."""
        for name in self._names(b"tsa:*:*"):
            self._ask([b"UNLINK", name])

    def _ask(self, *commands: list[Any]) -> list[Any]:
        with self._linked() as link:
            return link.ask(*commands)

    @contextmanager
    def _linked(self) -> Iterator[Link]:
        """A connection of one's own."""
        link: Link | None = None
        try:
            with self._links.one(AT_ONCE_S if self._is_hurried() else TIMEOUT_S) as link:
                yield link
        except redis.RedisError as error:
            self.is_near = False
            if isinstance(error, redis.TimeoutError) and link is not None and link.patience_s == AT_ONCE_S:
                raise WouldWait from error
            raise StoreAway(self._away(error)) from error

    def _away(self, error: Exception) -> str:
        what = f"{type(error).__name__}: {str(error)[:200]}"
        return f"the history store {self.place} does not do its work ({what}); nothing was scored"
