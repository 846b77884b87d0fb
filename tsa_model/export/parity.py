"""Parity: the ONNX session against the plain network in float64, in every call shape that a layout allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from tsa_model.export.comparison import Excused, ParityComparison
from tsa_model.export.contents import check_contents
from tsa_model.export.network import input_names
from tsa_model.export.parity_error import ParityError
from tsa_model.export.parity_rows import (
    LAYOUT_SIZES,
    Batch,
    ShapedCall,
    column_calls,
    cut,
    distinct_rows,
    equal_calls,
    made_rows,
    mixed_calls,
    more_rows,
    sizes,
)
from tsa_model.export.tolerances import ABSOLUTE, RELATIVE, ROUNDING_FACTOR, SCORE_TOLERANCE
from tsa_model.export.truth import Truth
from tsa_model.network.networks import Network

__all__ = ["Parity", "ParityError", "check_parity", "cut", "made_rows"]

MAX_EXCUSED_SHARE = 0.1
"""Of the rows: where more of them are ties, too little is compared."""
MORE_BATCHES = 4
SHOWN_VALUES = 10


class Session(Protocol):
    """Whatever scores batches."""

    def run(self, batch: Any) -> Mapping[str, Any]:
        """Tensors by name → outputs by name, rows first."""


@runtime_checkable
class FileSession(Session, Protocol):
    """A session of an ONNX file, which can be looked into and called without cutting its batch."""

    @property
    def path(self) -> Path:
        """The file."""

    def call(self, batch: Any) -> Mapping[str, Any]:
        """One call of ONNX Runtime, whatever the rows."""

    def with_threads(self, threads: int) -> FileSession:
        """The same file with this many threads."""


@dataclass
class Parity:
    """The compared rows and their largest differences."""

    rows: int = 0
    """Rows that differ from each other."""
    results: int = 0
    """Rows of all calls."""
    tensors: int = 0
    """Tensors of the file that were compared with the weights; 0 = the session shows no file."""
    rounding_rows: int = 0
    """Rows beyond the tolerance by no more than float32 networks themselves are."""
    excused: list[Excused] = field(default_factory=list)
    """Rows that are right under another routing than the reference's."""
    worst: dict[str, float] = field(default_factory=dict)
    """Output → largest absolute difference among the rows that are not excused."""
    worst_share_of_tolerance: float = 0.0
    """Largest difference of logits over what is allowed; above 1 the check fails."""
    grid: list[tuple[int, int]] = field(default_factory=list)
    """(rows, orders) of the calls."""
    experts: int = 0
    experts_hit: int = 0
    """Experts of all mixtures, and those at least one compared token was sent to."""

    @property
    def excused_rows(self) -> int:
        """How many rows are right under another routing only."""
        return len(self.excused)

    def summary(self) -> dict[str, Any]:
        """The result as JSON-able values, the declared tolerance beside the measured worst."""
        return {
            "rows": self.rows,
            "results": self.results,
            "tensors": self.tensors,
            "rounding_rows": self.rounding_rows,
            "excused_rows": self.excused_rows,
            "excused": [asdict(each) for each in self.excused],
            "worst_excused_difference": max((each.difference for each in self.excused), default=0.0),
            "tolerance": {
                "logits_absolute": ABSOLUTE,
                "logits_relative": RELATIVE,
                "score": SCORE_TOLERANCE,
                "of_own_rounding": ROUNDING_FACTOR,
            },
            "worst_difference": self.worst,
            "worst_share_of_tolerance": self.worst_share_of_tolerance,
            "grid_batch_length": [list(pair) for pair in self.grid],
            "experts": self.experts,
            "experts_hit": self.experts_hit,
        }


def check_parity(network: Network, session: Session, batch: Mapping[str, Tensor], seed: int = 0) -> Parity:
    """Compare a session with the network whose weights it holds.

    What a file holds is compared first, tensor by tensor. Then every row's outputs are compared in calls of
    many shapes: through `run`, and of a file session also as single calls, with one thread and with two.

    Args:
        network: the exported network.
        session: anything with `run(batch) → outputs`; a `ScoringSession` shows its file too.
        batch: real rows, named as in TSA spec, section 1; order ids, under `order_id`, name them in messages.
            Random rows and edge cases are added, which reach what real rows may not.
        seed: of the random rows and of the order of all rows.

    Raises:
        ValueError: the batch has no rows, or lacks a tensor.
        ParityError: a tensor or a value is off by more than rounding; the message names the worst.
    """
    names = input_names(network.config)
    missing = [name for name in names if name not in batch]
    if missing or not len(batch[names[0]]):
        raise ValueError(f"the batch lacks {missing or 'rows'}; parity needs rows with {names}")
    path = getattr(session, "path", None)
    tensors = check_contents(network, path) if isinstance(path, (str, Path)) else 0
    truth = Truth(network)
    rows = distinct_rows(network.config, batch, seed)
    comparison = ParityComparison.of(truth, rows, seed)
    _compare(comparison, _calls(session, comparison, network, seed))
    parity = _result(comparison, truth, tensors)
    for further in _more_rows(truth, seed):
        another = ParityComparison.of(truth, further, seed)
        every = ShapedCall(np.arange(len(further)), further.width)
        _compare(another, [(session.run, "run", every)])
        parity = _joined(parity, _result(another, truth, tensors))
    if parity.excused_rows > MAX_EXCUSED_SHARE * parity.rows:
        first = parity.excused[0]
        raise ParityError(
            f"{parity.excused_rows} of {parity.rows} rows are right only under another routing, such as "
            f"{first.row} with {', '.join(first.decisions)} decided otherwise: too many ties to compare by"
        )
    return parity


Run = Callable[[Batch], Mapping[str, Any]]


def _calls(
    session: Session, comparison: ParityComparison, network: Network, seed: int
) -> Iterator[tuple[Run, str, ShapedCall]]:
    """Every call: what runs it, how that is called in messages, and its rows."""
    rows, rng = comparison.rows, np.random.default_rng(seed)
    counts = sizes(network.config)
    every = ShapedCall(rng.permutation(len(rows)), rows.width)
    yield session.run, "run", every
    if not isinstance(session, FileSession):
        for call in (*mixed_calls(rows, counts, rng), *equal_calls(rows, counts), *column_calls(rows)):
            yield session.run, "run", call
        return
    one, two = (session.with_threads(threads) for threads in (1, 2))
    for call in mixed_calls(rows, [LAYOUT_SIZES[-1], counts[-1]], rng):
        yield two.run, "run, 2 threads", call
    for call in (every, *mixed_calls(rows, counts, rng), *equal_calls(rows, counts), *column_calls(rows)):
        yield one.call, "one call, 1 thread", call
    for call in (*mixed_calls(rows, [*LAYOUT_SIZES], rng), *equal_calls(rows, [*LAYOUT_SIZES], 1)):
        yield two.call, "one call, 2 threads", call


def _compare(comparison: ParityComparison, calls: Iterable[tuple[Run, str, ShapedCall]]) -> None:
    for run, how, call in calls:
        try:
            found = run(comparison.rows.taken(call.rows, call.columns))
        except Exception as error:  # ONNX Runtime raises types of its own
            raise ParityError(f"{how} of a batch of {call.shape} (rows, orders) failed: {error}") from error
        comparison.add(call, found, how)
        if comparison.off:
            raise ParityError(comparison.message(SHOWN_VALUES))


def _result(comparison: ParityComparison, truth: Truth, tensors: int) -> Parity:
    return Parity(
        rows=len(comparison.rows),
        results=comparison.results,
        tensors=tensors,
        rounding_rows=len(comparison.rounding_rows),
        excused=list(comparison.excused.values()),
        worst=comparison.worst,
        worst_share_of_tolerance=comparison.worst_share,
        grid=comparison.calls,
        experts=truth.n_experts,
        experts_hit=truth.n_experts_hit,
    )


def _joined(first: Parity, second: Parity) -> Parity:
    return Parity(
        rows=first.rows + second.rows,
        results=first.results + second.results,
        tensors=first.tensors,
        rounding_rows=first.rounding_rows + second.rounding_rows,
        excused=first.excused + second.excused,
        worst={name: max(value, second.worst[name]) for name, value in first.worst.items()},
        worst_share_of_tolerance=max(first.worst_share_of_tolerance, second.worst_share_of_tolerance),
        grid=first.grid + second.grid,
        experts=second.experts,
        experts_hit=second.experts_hit,
    )


def _more_rows(truth: Truth, seed: int) -> Iterator[Any]:
    """Further random rows while an expert was not reached; some experts no row ever reaches."""
    for attempt in range(1, MORE_BATCHES + 1):
        if truth.n_experts_hit == truth.n_experts:
            return
        yield more_rows(truth.network.config, seed + attempt)
