"""Data sets that are padded arrays already, as the legacy keeps them → the batches a network takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tsa_model.batch import ENGINEERED, KEYS, LABEL, history_names
from tsa_model.sequences.store.gather import MAX_TIME_S

if TYPE_CHECKING:
    import torch


def generate_padding_mask(x: np.ndarray, pad_value: float = 0) -> np.ndarray:
    """Find the padding of sequences that carry no `not_padded` flag.

    Args:
        x: [n, L, F] or [n, L]; an order all of whose values are `pad_value` is padding.
        pad_value: the value; NaN stands for NaN.

    Returns:
        [n, L + 1] bool, True = ignore. The current order (L − 1) and the dummy token (L) are never ignored.
    """
    x = np.asarray(x)
    if x.ndim not in (2, 3):
        raise ValueError(f"x has shape {x.shape}; expected [n, L, F] or [n, L]")
    is_pad = np.isnan(x) if np.isnan(pad_value) else x == pad_value
    mask = np.zeros((x.shape[0], x.shape[1] + 1), dtype=bool)
    mask[:, :-1] = is_pad.all(axis=2) if x.ndim == 3 else is_pad
    mask[:, -2] = False
    return mask


def batch_from_arrays(
    arrays: Mapping[str, np.ndarray],
    rows: np.ndarray | slice | None = None,
    pad_value: float | None = None,
) -> dict[str, torch.Tensor]:
    """Assemble a batch from dense arrays; only the rows asked for are touched.

    Args:
        arrays: `x_seq_cat` [n, L, Fc], `x_seq_num` [n, L, Fn + 2] whose last two columns are the time in
            seconds and `not_padded`, `x_engineered_num` [n, Fe] (optional) and `y` [n]; with two sequences
            `x_seq_cat_cid`, `x_seq_num_cid`, `x_seq_cat_ccid`, `x_seq_num_ccid` instead of the first two.
        rows: row numbers; None takes all.
        pad_value: given where the arrays have no `not_padded` column (the time is the last one then): the
            category that fills padding.

    Returns:
        The dictionary a network takes (TSA spec, section 1), and `label`.

    Raises:
        ValueError: an array is missing or has another shape than its name promises, or a time is negative.
    """
    import torch

    rows = slice(None) if rows is None else rows
    n = len(_get(arrays, "y"))
    dual = "x_seq_cat_cid" in arrays
    suffixes = [f"_{key}" for key in KEYS] if dual else [""]
    batch: dict[str, np.ndarray] = {}
    for suffix, names in zip(suffixes, history_names("dual" if dual else "single"), strict=True):
        cat, num = _get(arrays, f"x_seq_cat{suffix}"), _get(arrays, f"x_seq_num{suffix}")
        if cat.ndim != 3 or num.ndim != 3 or cat.shape[:2] != num.shape[:2] or len(cat) != n:
            raise ValueError(
                f"x_seq_cat{suffix} {cat.shape}, x_seq_num{suffix} {num.shape} and y [{n}] "
                "do not belong together"
            )
        parts = _sequences(np.asarray(cat[rows]), np.asarray(num[rows]), pad_value, f"x_seq_num{suffix}")
        batch |= dict(zip(names, parts, strict=True))
    if "x_engineered_num" in arrays and arrays["x_engineered_num"].shape[1]:
        engineered = arrays["x_engineered_num"]
        if len(engineered) != n:
            raise ValueError(f"x_engineered_num {engineered.shape} and y [{n}] do not belong together")
        batch[ENGINEERED] = np.asarray(engineered[rows], dtype=np.float32)
    batch[LABEL] = np.asarray(arrays["y"][rows]).astype(np.int64)
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in batch.items()}


def _get(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in arrays:
        raise ValueError(f"array {name!r} is missing; there are {', '.join(arrays)}")
    return arrays[name]


def _sequences(
    cat: np.ndarray, num: np.ndarray, pad_value: float | None, name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    if pad_value is None:
        flag, time_s, values = num[..., -1], num[..., -2], num[..., :-2]
        other = flag[(flag != 0) & (flag != 1)]
        if len(other):
            raise ValueError(
                f"{name}: the last column is not a not_padded flag, it holds {other[0]}; "
                "give pad_value where there is none"
            )
        mask = np.zeros((flag.shape[0], flag.shape[1] + 1), dtype=bool)
        mask[:, :-1] = flag == 0
    else:
        time_s, values = num[..., -1], num[..., :-1]
        mask = generate_padding_mask(cat, pad_value)
    time_s = np.where(mask[:, :-1], 0, time_s)
    if (time_s < 0).any():
        row, place = np.argwhere(time_s < 0)[0]
        raise ValueError(
            f"{name}: row {row} has an order {-time_s[row, place]:g} s later than the current one"
        )
    time_s = np.minimum(time_s, MAX_TIME_S)[..., None]
    return cat.astype(np.int64), values.astype(np.float32), time_s.astype(np.float32), mask
