"""Orders for which the right reasons are known: a session that computes a formula instead of a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from tsa_model.batch import ENGINEERED, history_names, network_inputs
from tsa_model.export.background import BackgroundOrder, ReasonsDescription
from tsa_model.export.session import ScoringSession
from tsa_model.reasons import Case, ReasonsConfig, Rules
from tsa_model.sequences.features.preprocessing import Preprocessing, Scaler, Vocabulary
from tsa_model.settings.dataset import DatasetDescription, Split

N_CAT, N_NUM, LENGTH = 2, 2, 20
Formula = Callable[[dict[str, np.ndarray]], np.ndarray]
"""From a batch to [B] logits."""


class FormulaSession:
    """Looks like a session of an exported model."""

    def __init__(self, formula: Formula) -> None:
        self.formula = formula
        self.input_names = network_inputs("dual", engineered=True)

    def run(self, batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
        logit = self.formula({name: np.asarray(x, dtype=np.float64) for name, x in batch.items()})
        return {"logits": np.stack([np.zeros_like(logit), logit], axis=1), "score": 1 / (1 + np.exp(-logit))}


def built_dataset() -> DatasetDescription:
    days = [f"2025-01-{day:02d}T00:00:00Z" for day in range(1, 9)]
    split = Split.model_validate(dict(zip(Split.model_fields, days, strict=True)))
    return DatasetDescription.model_validate(
        {
            "name": "built",
            "order_id": "order_id",
            "customer_id": "customer_id",
            "card_id": "card_id",
            "order_time": "order_time",
            "label": "label",
            "categorical": ["device", "country"],
            "numerical": ["amount", "items"],
            "engineered": ["amount", "card_count_1d"],
            "windows": [{"name": "card_count", "key": "card", "statistic": "count", "days": [1]}],
            "seq_len": LENGTH,
            "split": split.model_dump(mode="json"),
        }
    )


def built_rules(formula: Formula, n_background: int = 5, **settings: Any) -> Rules:
    scaler = Scaler(scale=0.001, min=0.0)
    fitted = Preprocessing(
        n_embedding=12,
        categorical={
            "device": Vocabulary(values={"phone": 2, "tablet": 3}, unknown=1),
            "country": Vocabulary(values={"DE": 5, "FR": 6}, unknown=4),
        },
        numerical={"amount": scaler, "items": Scaler(scale=0.1, min=0.0)},
        engineered={"amount": scaler, "card_count_1d": Scaler(scale=0.1, min=0.0)},
    )
    drawn = np.random.default_rng(3)
    background = tuple(
        BackgroundOrder(
            order_id=k,
            categorical=(int(drawn.integers(2, 4)), int(drawn.integers(5, 7))),
            numbers=tuple(drawn.random(4).astype(np.float32).tolist()),
        )
        for k in range(n_background)
    )
    described = ReasonsDescription(settings=ReasonsConfig(**settings), amount="amount", background=background)
    return Rules(cast(ScoringSession, FormulaSession(formula)), built_dataset(), fitted, described)


def built_row(customer: int, card: int, seed: int = 0) -> dict[str, np.ndarray]:
    """An order with so many earlier ones on each side; the current one is the same in both."""
    drawn = np.random.default_rng(seed)
    row: dict[str, np.ndarray] = {}
    now = None
    for earlier, names in zip((customer, card), history_names("dual"), strict=True):
        mask = np.ones((1, LENGTH + 1), dtype=bool)
        mask[:, LENGTH - 1 - earlier :] = False
        real = ~mask[:, :-1, None]
        cat = np.stack([drawn.integers(2, 4, LENGTH), drawn.integers(5, 7, LENGTH)], axis=-1)[None] * real
        num = drawn.random((1, LENGTH, N_NUM)).astype(np.float32) * real
        time = np.sort(drawn.random((1, LENGTH, 1)), axis=1)[:, ::-1].astype(np.float32) * 1e5 * real
        time[:, -1] = 0
        now = (cat[:, -1].copy(), num[:, -1].copy()) if now is None else now
        cat[:, -1], num[:, -1] = now
        row |= dict(zip(names, (cat, num, time.astype(np.float32), mask), strict=True))
    row[ENGINEERED] = np.concatenate([now[1][:, :1], drawn.random((1, 1))], axis=1).astype(np.float32)
    return row


def built_case(formula: Formula, customer: int = 3, card: int = 2, **settings: Any) -> Case:
    return Case(built_rules(formula, **settings), built_row(customer, card))
