"""What is claimed of score files, and the orders for which it does not hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_COUNTEREXAMPLES = 20


class WrongScores(ValueError):
    """Score files hold what the reference does not compute for these orders."""


@dataclass(frozen=True)
class Counterexample:
    """An order for which a claim does not hold."""

    order_id: Any
    words: str
    """What the files hold, and what they should."""


@dataclass(frozen=True)
class Statement:
    """One claim and its outcome."""

    sentence: str
    rows: int = 0
    """Orders that were looked at."""
    wrong: int = 0
    """Orders for which it does not hold."""
    counterexamples: tuple[Counterexample, ...] = ()
    detail: str = ""
    """What was found instead, where a claim is not about single orders."""

    @property
    def holds(self) -> bool:
        """Whether the claim is true."""
        return not self.wrong and not self.detail

    def __str__(self) -> str:
        if self.holds:
            return self.sentence
        count = f"{self.wrong:,} of {self.rows:,} orders" if self.wrong else ""
        first = "; ".join(f"order {one.order_id}: {one.words}" for one in self.counterexamples[:3])
        return f"not true: {self.sentence} ({'; '.join(filter(None, (count, self.detail, first)))})"


def about_orders(
    sentence: str, order_id: Sequence[Any] | NDArray[Any], wrong: NDArray[np.bool_], words: Any
) -> Statement:
    """A claim about N orders.

    Args:
        sentence: the claim.
        order_id: [N].
        wrong: [N], the orders for which it does not hold.
        words: called with the place of an order, says what is wrong with it.
    """
    places = np.flatnonzero(wrong)
    shown = places[:MOST_COUNTEREXAMPLES].tolist()
    examples = tuple(Counterexample(plain(order_id[place]), words(place)) for place in shown)
    return Statement(sentence, len(wrong), len(places), examples)


def about_files(sentence: str, detail: str = "") -> Statement:
    """A claim about files as a whole; `detail` says what was found instead."""
    return Statement(sentence, detail=detail)


def plain(value: Any) -> Any:
    """A number of NumPy as one of Python."""
    return value.item() if hasattr(value, "item") else value


def joined(statements: Iterable[Statement]) -> list[Statement]:
    """One statement per sentence: those of several periods added up, in order of first appearance."""
    found: dict[str, Statement] = {}
    for one in statements:
        first = found.get(one.sentence)
        if first is not None:
            details = dict.fromkeys(filter(None, (first.detail, one.detail)))
            one = Statement(
                one.sentence,
                first.rows + one.rows,
                first.wrong + one.wrong,
                (first.counterexamples + one.counterexamples)[:MOST_COUNTEREXAMPLES],
                "; ".join(details),
            )
        found[one.sentence] = one
    return list(found.values())
