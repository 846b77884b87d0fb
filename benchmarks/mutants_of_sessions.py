"""Faults of a session whose file is whole: they show in some calls, some rows or some outputs only."""

from __future__ import annotations

from typing import Any

import numpy as np
from export_mutant import Inputs, Outputs, SessionMutant

MASKS = ("key_padding_mask_cid", "key_padding_mask_ccid")
FAULT = 1e-3


def _lengths(batch: Inputs) -> np.ndarray:
    """Real orders of both histories, [rows, 2]."""
    return np.stack([(~batch[mask][:, :-1]).sum(axis=1) for mask in MASKS], axis=1)


def _where(chosen: Any, by: float = FAULT) -> Any:
    """Logits off where a rule over the inputs says so."""

    def change(batch: Inputs, outputs: Outputs, session: Any) -> None:
        outputs["logits"] += np.float32(by) * np.reshape(chosen(batch), (-1, 1))

    return change


def _every(batch: Inputs, holds: bool) -> np.ndarray:
    return np.full(len(batch[MASKS[0]]), holds, dtype=np.float32)


def _rows(holds: Any) -> Any:
    """All rows of calls with a certain number of rows."""
    return _where(lambda batch: _every(batch, holds(len(batch[MASKS[0]]))))


def _ten_rows(batch: Inputs) -> np.ndarray:
    marks = batch["x_engineered"][:, 0]
    return np.isin(marks, np.sort(marks)[:10])


def _rolled(batch: Inputs, outputs: Outputs, session: Any) -> None:
    if len(outputs["score"]) > 64:
        for name, x in outputs.items():
            outputs[name] = np.roll(x, 1, axis=0)


def _unsorted(batch: Inputs, outputs: Outputs, session: Any) -> None:
    if len(outputs["score"]) > 64:
        order = np.argsort(-_lengths(batch)[:, 0], kind="stable")
        for name, x in outputs.items():
            outputs[name] = x[order]


def _mean(batch: Inputs, outputs: Outputs, session: Any) -> None:
    outputs["logits"] += np.float32(0.01) * outputs["logits"].mean(axis=0)


def _not_a_number(batch: Inputs, outputs: Outputs, session: Any) -> None:
    if len(outputs["score"]) > 100:
        outputs["score"][99] = np.nan


def _percentiles(batch: Inputs, outputs: Outputs, session: Any) -> None:
    score = outputs["score"]
    outputs["score"] = (score.argsort().argsort() / max(1, len(score) - 1)).astype(np.float32)


def _replace(name: str, function: Any) -> Any:
    def change(batch: Inputs, outputs: Outputs, session: Any) -> None:
        outputs[name] = function(outputs[name])

    return change


def _dropped(batch: Inputs, outputs: Outputs, session: Any) -> None:
    del outputs["ensemble"]


def _two_threads(batch: Inputs, outputs: Outputs, session: Any) -> None:
    if session.settings.intra_op_num_threads == 2:
        outputs["logits"] += np.float32(FAULT)


def _remembered(batch: Inputs, outputs: Outputs, session: Any) -> None:
    """The first answer to a call of some shape is given again to every call of the shape."""
    kept = session.remembered.setdefault(batch[MASKS[0]].shape, {k: x.copy() for k, x in outputs.items()})
    outputs |= {name: x.copy() for name, x in kept.items()}


def _drifting(batch: Inputs, outputs: Outputs, session: Any) -> None:
    session.remembered["calls"] = session.remembered.get("calls", 0) + 1
    outputs["logits"] += np.float32(1e-5 * session.remembered["calls"])


def _first_repeated(batch: Inputs, outputs: Outputs, session: Any) -> None:
    if len(outputs["score"]) == 128:
        for x in outputs.values():
            x[1] = x[0]


def _capped(batch: Inputs) -> None:
    for mask in MASKS:
        batch[mask][:, : -1 - 5] = True


def _swapped(batch: Inputs) -> None:
    for name in [each for each in batch if each.endswith("_ccid")]:
        other = name.replace("_ccid", "_cid")
        batch[name], batch[other] = batch[other], batch[name]


def _clipped(name: str, low: float, high: float) -> Any:
    def change(batch: Inputs) -> None:
        for each in [key for key in batch if key.startswith(name)]:
            batch[each] = np.clip(batch[each], low, high)

    return change


def _zero(name: str) -> Any:
    def change(batch: Inputs) -> None:
        batch[name] = np.zeros_like(batch[name])

    return change


def _padded_wrongly(batch: Inputs) -> None:
    """Padding taken for real where a call has more columns than its longest history."""
    for mask in MASKS:
        batch[mask][:, 0] &= ~batch[mask][:, :-1].all(axis=1) & (batch[mask].shape[1] < 3)


def _cat_at(value: int) -> Any:
    return lambda batch: (batch["x_seq_cat_cid"][:, -1] == value).any(axis=1).astype(np.float32)


SESSION_MUTANTS = [
    SessionMutant("+5 on a logit of ten rows", after=_where(_ten_rows, 5.0)),
    SessionMutant("ten rows off by 1e-3", after=_where(_ten_rows)),
    SessionMutant("rows one place further in calls above 64 rows", after=_rolled),
    SessionMutant("rows of large calls not put back in order", after=_unsorted),
    SessionMutant("scores depend on the mean of their batch", after=_mean),
    SessionMutant(
        "wrong where all histories are equally long",
        after=_where(
            lambda batch: _every(
                batch, len(_lengths(batch)) > 1 and bool((_lengths(batch) == _lengths(batch)[0]).all())
            )
        ),
    ),
    SessionMutant("wrong without any order", after=_where(lambda b: (_lengths(b) == 0).any(axis=1))),
    SessionMutant("wrong for full histories", after=_where(lambda b: (_lengths(b) == 9).all(axis=1))),
    SessionMutant("wrong for one order each", after=_where(lambda b: (_lengths(b) == 1).all(axis=1))),
    SessionMutant("wrong with two threads", after=_two_threads),
    SessionMutant("wrong for a single row", after=_rows(lambda n: n == 1)),
    SessionMutant("wrong for 63 rows", after=_rows(lambda n: n == 63)),
    SessionMutant("wrong for 64 rows", after=_rows(lambda n: n == 64)),
    SessionMutant("wrong for 255 rows", after=_rows(lambda n: n == 255)),
    SessionMutant("wrong for 256 rows", after=_rows(lambda n: n == 256)),
    SessionMutant("wrong above 256 rows", after=_rows(lambda n: n > 256)),
    SessionMutant("a row repeated in calls of 128 rows", after=_first_repeated),
    SessionMutant(
        "wrong in calls of three orders",
        after=_where(lambda b: _every(b, b[MASKS[0]].shape[1] == 4 and b[MASKS[1]].shape[1] == 4)),
    ),
    SessionMutant(
        "wrong where the histories have other widths",
        after=_where(lambda b: _every(b, b[MASKS[0]].shape[1] != b[MASKS[1]].shape[1])),
    ),
    SessionMutant("one score is not a number", after=_not_a_number),
    SessionMutant("percentiles in place of scores", after=_percentiles),
    SessionMutant("scores with three digits", after=_replace("score", lambda x: np.round(x, 3))),
    SessionMutant("the other class's score", after=_replace("score", lambda x: 1 - x)),
    SessionMutant("scores as a column", after=_replace("score", lambda x: x[:, None])),
    SessionMutant("the gate's weights swapped", after=_replace("gate_scores", lambda x: x[:, ::-1])),
    SessionMutant(
        "the gate's raw weights",
        after=_replace("gate_scores", lambda x: np.stack([x[:, 0], 1 - x[:, 0]], axis=1)),
    ),
    SessionMutant("an output missing", after=_dropped),
    SessionMutant(
        "the ensemble in float16",
        after=_replace("ensemble", lambda x: x.astype(np.float16).astype(np.float32)),
    ),
    SessionMutant("an answer remembered by its shape", after=_remembered),
    SessionMutant("logits drift from call to call", after=_drifting),
    SessionMutant("histories capped at five orders", before=_capped),
    SessionMutant("customer and card swapped", before=_swapped),
    SessionMutant("times above nine million seconds capped", before=_clipped("time_seq", 0, 9e6)),
    SessionMutant("amounts above 100 clipped", before=_clipped("x_seq_num", -100, 100)),
    SessionMutant("engineered features left out", before=_zero("x_engineered")),
    SessionMutant("engineered features clipped", before=_clipped("x_engineered", -1e3, 1e3)),
    SessionMutant("the first column of padding is real", before=_padded_wrongly),
    SessionMutant("wrong where a category is unknown", after=_where(_cat_at(0))),
    SessionMutant("wrong for the last row of the table", after=_where(_cat_at(41))),
]
