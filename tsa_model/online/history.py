"""What a history store does, whatever keeps it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Protocol, TypeVar, get_args

import numpy as np
from pydantic import NonNegativeInt

from tsa_model.online.layouts import Layout
from tsa_model.online.records import Records
from tsa_model.settings import Settings
from tsa_model.settings.dataset import Lag, Window

KeyKind = Literal["cid", "ccid"]
KINDS: tuple[KeyKind, ...] = ("cid", "ccid")
"""The customer's and the card's history."""
T = TypeVar("T")
Stream = Literal["cid", "ccid", "cid labels", "ccid labels", "cid late labels", "ccid late labels"]
"""What is kept of a key, each in blocks: its orders; the labels of its orders by the moment from which they
count; and labels that were known later than the label delay says, by the moment at which they were due."""
STREAMS: tuple[Stream, ...] = get_args(Stream)
LABELS: dict[KeyKind, Stream] = {"cid": "cid labels", "ccid": "ccid labels"}
LATE_LABELS: dict[KeyKind, Stream] = {"cid": "cid late labels", "ccid": "ccid late labels"}


class HistoryError(ValueError):
    """A history store cannot do what is asked; the message says why and what to do."""


class TooOld(HistoryError):
    """The histories of that time are no longer whole."""


class StoreAway(OSError):
    """The store does not answer: nothing can be scored, for no score is given from half a history."""


class WouldWait(Exception):
    """Work that was to be done at once would have to wait; it changed nothing, and may be done anew."""


class Contradiction(ValueError):
    """An order id was sent before with another content."""


class UnknownOrder(ValueError):
    """No order of that id is kept."""


class Columns(Settings):
    """What a store keeps of every order: a model can use it whose columns are the same."""

    format: Literal[2] = 2
    order_id: str
    customer_id: str
    card_id: str | None
    fold_keys: tuple[str, ...] = ()
    """Keys of which texts that differ only in spelling are one."""
    categorical: tuple[str, ...]
    """Raw categorical columns."""
    numerical: tuple[str, ...]
    """Raw numbers."""
    derived: tuple[str, ...]
    """Derived columns of earlier orders, which a sequence holds."""
    windows: tuple[Window, ...]
    """How the kept derived columns are computed."""
    lags: tuple[Lag, ...]
    """How the kept ones among the lags are computed."""
    summed: tuple[str, ...]
    """Raw numbers of which running totals are kept, for windows."""
    fraud_summed: tuple[str, ...] = ()
    """The same of known frauds alone; kept with the labels."""
    labelled: tuple[KeyKind, ...]
    """The keys whose labels are counted in windows."""
    fold_text: bool
    """Texts that differ only in case and spaces are one category."""
    label_delay_us: NonNegativeInt
    has_label_times: bool = False
    """Each label says since when it is known; the delay is that of labels that do not."""
    latest: NonNegativeInt
    """Orders of a key that are kept at least."""
    reach_us: NonNegativeInt
    """How far back derived columns look; that much is kept as well."""
    late_us: NonNegativeInt
    """An order may come so much later than a younger one of its key and find its whole history."""
    is_whole: dict[str, bool] = {}
    """Column of ids → whether ids are whole numbers; without a column until an order has such an id."""

    @property
    def n_numbers(self) -> int:
        """Numbers kept of an order."""
        return len(self.numerical) + len(self.derived)

    @cached_property
    def layouts(self) -> dict[Stream, Layout]:
        """How each stream lies in its blocks."""
        summed = tuple(map(self.numerical.index, self.summed))
        orders = Layout(len(self.categorical), self.n_numbers, summed)
        n_labelled = len(self.fraud_summed)
        labels = Layout(0, n_labelled, tuple(range(n_labelled)), of_labels=True)
        return {stream: orders if stream in KINDS else labels for stream in STREAMS}


@dataclass(frozen=True)
class Entry:
    """What is known of one order by its id."""

    time_us: int
    keys: tuple[bytes, bytes]
    """Customer and card; empty = no card."""
    content: bytes
    """Digest of what was sent, 16 bytes."""
    kept: int = 3
    """Bit 0: the customer's history holds it; bit 1: the card's does."""
    answer: bytes = b""
    """What was answered, as JSON; empty = it was not scored yet."""

    _HEAD = struct.Struct("<q16sBHH")

    def packed(self) -> bytes:
        """As bytes."""
        customer, card = self.keys
        head = self._HEAD.pack(self.time_us, self.content, self.kept, len(customer), len(card))
        return head + customer + card + self.answer

    @classmethod
    def unpacked(cls, data: bytes) -> Entry:
        """From bytes."""
        time_us, content, kept, n_customer, n_card = cls._HEAD.unpack_from(data)
        at = cls._HEAD.size
        keys = (data[at : at + n_customer], data[at + n_customer : at + n_customer + n_card])
        return cls(time_us, keys, content, kept, data[at + n_customer + n_card :])

    def answered(self, answer: bytes) -> Entry:
        """The same with an answer."""
        return replace(self, answer=answer)

    def still_kept(self, kept: int) -> Entry:
        """The same, held by fewer histories."""
        return replace(self, kept=kept)


class Transaction(Protocol):
    """Reads of one state; and writes that are done together or not at all."""

    @property
    def columns(self) -> Columns:
        """What is kept of an order."""

    def set_forms(self, is_whole: dict[str, bool]) -> None:
        """Say how ids are read."""

    def expect(self, orders: Iterable[tuple[bytes, tuple[bytes, bytes]]]) -> None:
        """Name the orders and keys that will be asked for; a distant store then fetches them at once.

        Args:
            orders: their names, and the keys of customer and card; empty = none.
        """

    def entry(self, order: bytes) -> Entry | None:
        """What is known of an order; None = nothing."""

    def put_entry(self, order: bytes, entry: Entry) -> None:
        """Note it."""

    def earlier(self, kind: KeyKind, key: bytes, before_us: int, latest: int) -> Records:
        """The latest orders of a key before a moment, fewer where there are not so many.

        Args:
            kind: of the key.
            key: see `records.id_bytes`.
            before_us: the moment; orders at it are left out.
            latest: how many orders are needed.

        Raises:
            TooOld: some of them were dropped.
        """

    def totals(self, stream: Stream, key: bytes, before_us: np.ndarray) -> np.ndarray:
        """The totals of all that a stream ever held before some moments; see `totals.totals_of`.

        Args:
            stream: what is added up.
            key: whose.
            before_us: [n] int64, the moments.

        Returns:
            [n, T] int64.

        Raises:
            TooOld: what is needed to know them was dropped.
        """

    def counts(self, stream: Stream, key: bytes, before_us: np.ndarray) -> np.ndarray:
        """The first of `totals` alone: how many orders or labels a stream ever held, [n] int64."""

    def later(self, stream: Stream, key: bytes, after_us: int, until_us: int) -> Records:
        """What a stream holds after a moment, and not after another."""

    def insert(self, stream: Stream, key: bytes, record: Records) -> None:
        """Add one order or label where it belongs, and drop what is needed no more.

        Raises:
            TooOld: an order belongs where orders were dropped; a label that does is left out.
        """

    def replace(self, stream: Stream, key: bytes, record: Records) -> None:
        """Put one order in the place of that with its time and id; nothing where it was dropped.

        The raw numbers must be the same, for the totals stay.
        """

    def remove(self, stream: Stream, key: bytes, record: Records) -> None:
        """Take out the label with its time and id; nothing where it was dropped."""


class PackedBlock(Protocol):
    """A stretch of what a stream holds; see `blocks.Block`."""

    def packed(self) -> bytes:
        """As bytes."""


class Filling(Protocol):
    """Writes into a store that nobody reads yet."""

    def put_entry(self, order: bytes, entry: Entry) -> None:
        """Note an order."""

    def put_block(self, stream: Stream, key: bytes, since_us: int, block: PackedBlock) -> None:
        """Write a block as it is."""


class HistoryStore(Protocol):
    """Keeps the earlier orders of customers and cards; may be used by several threads at once."""

    is_near: bool
    """Reads and writes wait neither for a disk nor for more than a moment for another program."""

    def at_once(self) -> AbstractContextManager[None]:
        """This thread's reads and writes inside raise `WouldWait` instead of waiting longer."""

    @property
    def columns(self) -> Columns:
        """What is kept of an order."""

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Do work that reads one state, and return what it returns.

        Raises:
            StoreAway: it could not be read.
        """

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Do work that reads and writes, all or nothing: whatever it raises undoes all of it.

        Args:
            work: is done anew where another writer came in between, so it changes nothing but the store.

        Raises:
            StoreAway: it could not be kept.
        """

    def filling(self) -> AbstractContextManager[Filling]:
        """Write many blocks and entries; for loading."""

    def flush(self) -> None:
        """Make what was written safe from a failure of the machine."""

    def counts(self) -> dict[str, int]:
        """Orders and blocks."""

    def close(self) -> None:
        """Flush and close."""
