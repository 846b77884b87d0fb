"""A session's answers beside the truth: what is off by more than rounding, and the worst of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsa_model.export.other_routing import OtherRoutings, RoutedResult
from tsa_model.export.parity_error import ParityError
from tsa_model.export.parity_rows import DistinctRows, ShapedCall
from tsa_model.export.tolerances import ABSOLUTE, RELATIVE, ROUNDING_FACTOR, SCORE_TOLERANCE
from tsa_model.export.truth import Outputs, Truth

FLOATS = (np.float32, np.float64)
"""What outputs may be; the file itself says float32, a session of one's own may compute on."""


@dataclass(frozen=True)
class Excused:
    """A row that is right under another routing than the reference's."""

    row: str
    decisions: tuple[str, ...]
    """Taken the other way."""
    difference: float
    """Largest difference of a logit from the reference."""
    difference_from_other: float
    """And from the reference under the other routing."""


@dataclass(frozen=True)
class _Off:
    """A value that is off by more than is allowed."""

    share: float
    output: str
    text: str


@dataclass
class ParityComparison:
    """Compares calls one after the other and keeps what was found."""

    rows: DistinctRows
    truth: Outputs
    routings: OtherRoutings
    results: int = 0
    """Rows of all calls."""
    calls: list[tuple[int, int]] = field(default_factory=list)
    """(rows, orders) of every call."""
    worst: dict[str, float] = field(default_factory=dict)
    """Output → largest absolute difference among the rows that no other routing explains."""
    worst_share: float = 0.0
    """Largest difference of logits over what was allowed."""
    rounding_rows: set[int] = field(default_factory=set)
    """Rows beyond the fixed tolerance, within `ROUNDING_FACTOR` times float32's own error."""
    excused: dict[int, Excused] = field(default_factory=dict)
    off: list[_Off] = field(default_factory=list)
    n_off: int = 0
    rows_off: set[int] = field(default_factory=set)
    _found: dict[int, _Routings] = field(default_factory=dict)

    @classmethod
    def of(cls, truth: Truth, rows: DistinctRows, seed: int) -> ParityComparison:
        """Compute the truth of all rows."""
        outputs = truth(rows)
        unfit = [name for name, x in outputs.items() if not np.isfinite(x).all()]
        if unfit:
            raise ParityError(f"the network itself gives {unfit} that are not finite: there is no truth")
        return cls(rows, outputs, OtherRoutings(truth.network, seed))

    def add(self, call: ShapedCall, found: Mapping[str, Any], how: str) -> None:
        """Compare the outputs of one call."""
        self.results += len(call.rows)
        self.calls.append(call.shape)
        values = self._checked(call, found, how)
        exact = {name: x[call.rows] for name, x in self.truth.items()}
        share = _shares(values, exact, {})
        beyond = _per_row(share)
        for place in np.argsort(-np.nan_to_num(beyond, nan=np.inf), kind="stable"):
            if beyond[place] <= 1:
                break
            # One unexplained row decides; what explains the others need not be searched.
            if self.off or not self._explained(int(call.rows[place]), place, values):
                self._keep(call, int(place), values, exact, share, how)
        excused = np.isin(call.rows, [*self.excused, *self.rows_off]) & ~(beyond <= 1)
        for name, x in values.items():
            difference = np.abs(x - exact[name])[~excused]
            self.worst[name] = max(self.worst.get(name, 0.0), float(np.max(difference, initial=0.0)))
        plain = share["logits"][~excused & (beyond <= 1)]
        self.worst_share = max(self.worst_share, float(np.max(plain, initial=0.0)))

    def _checked(self, call: ShapedCall, found: Mapping[str, Any], how: str) -> Outputs:
        """The outputs as float64, after looking at names, types and shapes."""
        if not isinstance(found, Mapping):
            raise ParityError(f"{how} gives {type(found).__name__}, not outputs by name")
        values = {}
        for name, x in self.truth.items():
            if name not in found:
                raise ParityError(f"{how} gives no {name!r}, only {sorted(found)}")
            array = np.asarray(found[name])
            wanted = (len(call.rows), *x.shape[1:])
            if array.shape != wanted or array.dtype not in FLOATS:
                raise ParityError(
                    f"{how}: {name} of a batch of {call.shape[0]} rows is {array.dtype} {list(array.shape)}, "
                    f"not float32 or float64 {list(wanted)}"
                )
            values[name] = array.astype(np.float64)
        return values

    def _explained(self, row: int, place: int, values: Outputs) -> bool:
        """Whether rounding explains a row beyond the fixed tolerance, perhaps by another routing."""
        if row not in self._found:
            self._found[row] = _Routings(self.routings(self.rows.taken(np.array([row]))))
        one = {name: x[place : place + 1] for name, x in values.items()}
        for routing in self._found[row]:
            share = _shares(one, routing.outputs, routing.own_error)
            if not _per_row(share)[0] <= 1:
                continue
            if not routing.exchanges:
                self.rounding_rows.add(row)
                self.worst_share = max(self.worst_share, float(share["logits"].max()))
            else:
                self._excuse(row, one, routing)
            return True
        return False

    def _excuse(self, row: int, one: Outputs, routing: RoutedResult) -> None:
        difference = float(np.abs(one["logits"] - self.truth["logits"][row]).max())
        other = float(np.abs(one["logits"] - routing.outputs["logits"]).max())
        if row not in self.excused or difference > self.excused[row].difference:
            decisions = tuple(sorted(map(str, routing.exchanges)))
            self.excused[row] = Excused(self.rows.titles[row], decisions, difference, other)

    def _keep(
        self, call: ShapedCall, place: int, values: Outputs, exact: Outputs, share: Outputs, how: str
    ) -> None:
        row = int(call.rows[place])
        self.rows_off.add(row)
        for name, shares in share.items():
            wrong = ~(shares[place] <= 1)
            self.n_off += int(wrong.sum())
            if not wrong.any():
                continue
            within = np.unravel_index(int(np.argmax(np.nan_to_num(shares[place], nan=np.inf))), wrong.shape)
            at = (place, *(int(i) for i in within))
            x, y = values[name][at], exact[name][at]
            text = (
                f"{name}[{', '.join(map(str, at))}] of batch {call.shape}, {self.rows.titles[row]}, {how}: "
                f"ONNX {x:.9g}, network {y:.9g}, difference {abs(x - y):.3g}, allowed {_bound(name, y):.3g}"
            )
            self.off.append(_Off(float(np.nan_to_num(shares[at], nan=np.inf)), name, text))

    def message(self, shown: int) -> str:
        """What is wrong, the worst value first, then the worst of each output."""
        ranked = sorted(self.off, key=lambda each: -each.share)
        first: dict[str, _Off] = {}
        for each in ranked:
            first.setdefault(each.output, each)
        lines = list(dict.fromkeys([each.text for each in [ranked[0], *first.values(), *ranked]]))[:shown]
        return (
            f"ONNX Runtime and the network differ in {self.n_off} values of {len(self.rows_off)} of "
            f"{len(self.rows)} rows, {self.results} results compared "
            f"(allowed: {ABSOLUTE} + {RELATIVE}·|value|, score {SCORE_TOLERANCE}, or "
            f"{ROUNDING_FACTOR:g} times float32's own error):\n  " + "\n  ".join(lines)
        )


class _Routings:
    """The routings of a row, each computed when it is first asked for."""

    def __init__(self, search: Iterator[RoutedResult]) -> None:
        self._known: list[RoutedResult] = []
        self._rest = search

    def __iter__(self) -> Iterator[RoutedResult]:
        yield from self._known
        for routing in self._rest:
            self._known.append(routing)
            yield routing


def _bound(name: str, exact: Any) -> Any:
    return np.full_like(exact, SCORE_TOLERANCE) if name == "score" else ABSOLUTE + RELATIVE * np.abs(exact)


def _shares(values: Outputs, exact: Outputs, own_error: Mapping[str, float]) -> Outputs:
    """Difference over what is allowed, value by value; NaN and infinite values give infinity."""
    shares = {}
    for name, x in values.items():
        allowed = np.maximum(_bound(name, exact[name]), ROUNDING_FACTOR * own_error.get(name, 0.0))
        shares[name] = np.where(np.isfinite(x), np.abs(x - exact[name]) / allowed, np.inf)
    return shares


def _per_row(shares: Outputs) -> NDArray[np.float64]:
    columns = [x.reshape(len(x), -1).max(axis=1, initial=0.0) for x in shares.values()]
    worst: NDArray[np.float64] = np.max(np.stack(columns), axis=0)
    return worst
