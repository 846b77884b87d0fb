"""Rows made by rule: ragged random histories, and the edge cases real data may not contain."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tsa_model.batch import ENGINEERED, LABEL, Batch, History, history_names
from tsa_model.settings.model import ModelConfig

MAX_TIME_S = 1e7
"""Largest time preprocessing lets through (TSA spec, section 12)."""
EXTREME_AMOUNT = 1e6
"""A scaled value a million times the range of the training period."""


def random_rows(config: ModelConfig, lengths: Sequence[Sequence[int]], seed: int) -> Batch:
    """Random rows of given history lengths.

    Args:
        config: sizes.
        lengths: per history (one or two of them) the number of real orders of each row, 0 to seq_len.
        seed: of the values.
    """
    generator = torch.Generator().manual_seed(seed)
    L, B = config.seq_len, len(lengths[0])
    n_categories = config.n_embedding - config.n_num_features
    batch: Batch = {}
    for names, history in zip(history_names(config.sequences), lengths, strict=True):
        n_real_B1 = torch.tensor(history)[:, None]
        is_padding_BL = torch.arange(L)[None] < L - n_real_B1
        cat_BLF = torch.randint(0, n_categories + 1, (B, L, config.n_cat_features), generator=generator)
        num_BLF = torch.rand(B, L, config.n_num_features, generator=generator)
        # Gaps over many orders of magnitude, summed from the current order back into the past.
        gaps_BL = 10 ** (6.5 * torch.rand(B, L, generator=generator))
        gaps_BL[:, -1] = 0
        time_BL = gaps_BL.flip(1).cumsum(1).flip(1).clamp(max=MAX_TIME_S)
        batch[names.cat] = cat_BLF.masked_fill(is_padding_BL[..., None], 0)
        batch[names.num] = num_BLF.masked_fill(is_padding_BL[..., None], 0.0)
        batch[names.time] = time_BL.masked_fill(is_padding_BL, 0.0)[..., None]
        batch[names.mask] = torch.cat([is_padding_BL, torch.zeros(B, 1, dtype=torch.bool)], dim=1)
    if config.sequences == "dual":  # both histories end in the same current order
        cid, ccid = history_names(config.sequences)
        for name_cid, name_ccid in zip(cid[:2], ccid[:2], strict=True):
            both = (torch.tensor(lengths[0]) > 0) & (torch.tensor(lengths[1]) > 0)
            batch[name_ccid][both, -1] = batch[name_cid][both, -1]
    if config.n_engineered_num_features:
        batch[ENGINEERED] = torch.randn(B, config.n_engineered_num_features, generator=generator)
    batch[LABEL] = torch.arange(B) % 2
    return batch


def ragged_rows(config: ModelConfig, n: int, seed: int) -> Batch:
    """`n` random rows whose history lengths are drawn from 1 to seq_len, short ones more often."""
    generator = torch.Generator().manual_seed(seed + 1)
    lengths = []
    for _ in history_names(config.sequences):
        share = torch.rand(n, generator=generator) ** 2
        lengths.append((1 + (share * config.seq_len).long()).clamp(max=config.seq_len).tolist())
    return random_rows(config, lengths, seed)


def edge_rows(config: ModelConfig, seed: int = 0) -> tuple[Batch, list[str]]:
    """One row per edge case.

    Returns:
        the batch, and the name of each row.
    """
    cases = _cases(config)
    lengths = [[case[1][i] for case in cases] for i in range(len(history_names(config.sequences)))]
    batch = random_rows(config, lengths, seed)
    for row, (_, _, change) in enumerate(cases):
        if change is not None:
            change(batch, row, config)
    return batch, [f"edge: {name}" for name, _, _ in cases]


Change = Callable[[Batch, int, ModelConfig], None]


def _cases(config: ModelConfig) -> list[tuple[str, tuple[int, int], Change | None]]:
    """(name, history lengths by customer and card, what else is changed)."""
    L = config.seq_len
    some = max(1, min(L, L // 2))
    return [
        ("only the current order", (1, 1), None),
        ("both histories full", (L, L), None),
        ("full history, new card", (L, 1), None),
        ("new customer, full card history", (1, L), None),
        ("one earlier order each", (min(2, L), min(2, L)), None),
        ("full but for one order", (max(1, L - 1), max(1, L - 1)), None),
        ("card history is all padding", (some, 0), None),
        ("both histories all padding", (0, 0), None),
        ("all orders at one moment", (some, some), _times(0.0)),
        ("all earlier orders at the time cap", (L, L), _times(MAX_TIME_S)),
        ("one second apart", (L, L), _times(1.0)),
        ("extreme amounts", (some, some), _amounts(EXTREME_AMOUNT)),
        ("extreme negative amounts", (some, some), _amounts(-EXTREME_AMOUNT)),
        ("all numbers zero", (some, some), _amounts(0.0)),
        ("unknown categories", (some, some), _categories(lambda config: 0)),
        ("last category", (some, some), _categories(lambda c: c.n_embedding - c.n_num_features)),
        ("last row of the table", (some, some), _categories(lambda config: config.n_embedding + 1)),
        ("orders without a feature", (some, some), _blank),
        ("garbage under the mask", (some, some), _garbage),
        ("extreme engineered features", (some, some), _engineered),
    ]


def _real(batch: Batch, row: int, names: History[str]) -> Tensor:
    return ~batch[names.mask][row, :-1]


def _times(value_s: float) -> Change:
    def change(batch: Batch, row: int, config: ModelConfig) -> None:
        for names in history_names(config.sequences):
            batch[names.time][row, _real(batch, row, names)] = value_s
            batch[names.time][row, -1] = 0.0

    return change


def _amounts(value: float) -> Change:
    def change(batch: Batch, row: int, config: ModelConfig) -> None:
        for names in history_names(config.sequences):
            batch[names.num][row, _real(batch, row, names)] = value

    return change


def _categories(index: Callable[[ModelConfig], int]) -> Change:
    def change(batch: Batch, row: int, config: ModelConfig) -> None:
        for names in history_names(config.sequences):
            batch[names.cat][row, _real(batch, row, names)] = index(config)

    return change


def _garbage(batch: Batch, row: int, config: ModelConfig) -> None:
    fill_masked(batch, config, torch.arange(n := len(batch[LABEL])) == row, seed=n)


def _blank(batch: Batch, row: int, config: ModelConfig) -> None:
    """Unknown categories, zeros and one moment: orders that only the mask tells from padding."""
    for change in (_categories(lambda config: 0), _amounts(0.0), _times(0.0)):
        change(batch, row, config)


def _engineered(batch: Batch, row: int, config: ModelConfig) -> None:
    if config.n_engineered_num_features:
        batch[ENGINEERED][row] = EXTREME_AMOUNT


def fill_masked(batch: Batch, config: ModelConfig, rows_B: Tensor, seed: int) -> None:
    """Write random values, in place, wherever the chosen rows are padding."""
    generator = torch.Generator().manual_seed(seed)
    for categories, numbers, time, mask in history_names(config.sequences):
        where_BL = batch[mask][:, :-1] & rows_B[:, None]
        where_BL[:, -1] = False  # the current order is read by feature attention even when it is masked
        n = int(where_BL.sum())
        batch[categories][where_BL] = torch.randint(
            1, config.n_embedding + 1, (n, config.n_cat_features), generator=generator
        )
        numbers_nF = torch.randn(n, config.n_num_features, generator=generator)
        batch[numbers][where_BL] = 100 * numbers_nF.to(batch[numbers])
        batch[time][where_BL] = (MAX_TIME_S * torch.rand(n, 1, generator=generator)).to(batch[time])
