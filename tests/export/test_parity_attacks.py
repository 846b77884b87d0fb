"""Sessions with nothing but `run` that answer wrongly, in ways that the export catalogue does not have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.batches import ragged_batch, tiny_config, tiny_network

from tsa_model import Network
from tsa_model.batch import Batch, histories
from tsa_model.equivalence.evidence.ties import other_choice
from tsa_model.export import ParityError, check_parity
from tsa_model.export.truth import outputs_of, plain
from tsa_model.network.blocks import MixtureOfExperts

ROWS = 256
LENGTHS = {"n_layers_order": 1, "n_layers_feature": 1, "seq_len": 40}
Outputs = dict[str, Any]
Spoil = Callable[[Batch, Outputs], Any]


class PlainSession:
    """A network in float32 that answers as an exported file does; `spoil` changes its answers."""

    def __init__(self, network: Network, spoil: Spoil = lambda *_: None) -> None:
        self.network, self.spoil = plain(network, torch.float32), spoil

    def run(self, batch: Batch) -> Any:
        with torch.no_grad():
            # Rows meet in the plain mixture: 32 at once, or its cost grows with their square.
            parts = [
                outputs_of(self.network, {name: x[i : i + 32] for name, x in batch.items()})
                for i in range(0, len(batch["x_engineered"]), 32)
            ]
        outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        outputs = {name: x.astype(np.float32) for name, x in outputs.items()}
        changed = self.spoil(batch, outputs)
        return outputs if changed is None else changed


@pytest.fixture(scope="module")
def network() -> Network:
    return tiny_network(tiny_config(**LENGTHS))


@pytest.fixture(scope="module")
def orders(network: Network) -> dict[str, Any]:
    batch = ragged_batch(network.config, ROWS, seed=3)
    return {**batch, "order_id": np.array([f"order-{row}" for row in range(ROWS)])}


def mark(batch: Batch) -> np.ndarray:
    """A number that tells rows apart, wherever they stand."""
    return batch["x_engineered"][:, 0].numpy()


def lengths(batch: Batch) -> np.ndarray:
    return np.stack([(~history.mask[:, :-1]).sum(1).numpy() for history in histories(batch, "dual")], axis=1)


def chosen(where: Callable[[Batch], np.ndarray], by: float = 1e-3) -> Spoil:
    """Logits off in the rows that a rule chooses."""

    def spoil(batch: Batch, outputs: Outputs) -> None:
        outputs["logits"] = outputs["logits"] + np.float32(by) * where(batch)[:, None].astype(np.float32)

    return spoil


def among(numbers: slice) -> Callable[[Batch], np.ndarray]:
    """Real rows, by their place among all real rows' marks."""

    def where(batch: Batch) -> np.ndarray:
        marks = np.sort(mark(ragged_batch(tiny_config(**LENGTHS), ROWS, seed=3)))
        return np.isin(mark(batch), marks[numbers])

    return where


def rolled(batch: Batch, outputs: Outputs) -> None:
    """Every piece of 64 rows has its middle rows one place further."""
    for start in range(0, len(outputs["score"]), 64):
        for x in outputs.values():
            x[start + 20 : start + 30] = np.roll(x[start + 20 : start + 30], 1, axis=0)


def put(name: str, change: Callable[[Any], Any]) -> Spoil:
    def spoil(batch: Batch, outputs: Outputs) -> None:
        outputs[name] = change(outputs[name])

    return spoil


def one_value(x: np.ndarray, value: float) -> np.ndarray:
    x = x.copy()
    x[-1].flat[-1] = value
    return x


def raises(batch: Batch, outputs: Outputs) -> None:
    raise RuntimeError("the server is gone")


QUICK: dict[str, Spoil] = {
    "an output missing": lambda batch, outputs: outputs.pop("ensemble") and None,
    "no answer": lambda batch, outputs: [],
    "it raises": raises,
    "half precision": put("logits", lambda x: x.astype(np.float16)),
    "whole numbers": put("score", lambda x: x.round().astype(np.int64)),
    "texts": put("score", lambda x: x.astype(str)),
    "not a number": put("ensemble", lambda x: one_value(x, np.nan)),
    "infinite": put("logits", lambda x: one_value(x, np.inf)),
}
SLOWER: dict[str, Spoil] = {
    "+5 on a logit of ten real rows": chosen(among(slice(100, 110)), 5.0),
    "one row of 256": chosen(among(slice(77, 78))),
    "rows rotated inside a piece": rolled,
    "only histories of more than 32 orders": chosen(lambda batch: (lengths(batch) > 32).any(1)),
    "only the last row of a call": chosen(lambda batch: np.arange(len(mark(batch))) == len(mark(batch)) - 1),
    "only without a card history": chosen(lambda batch: lengths(batch)[:, 1] <= 1),
    "only where both histories are empty": chosen(lambda batch: (lengths(batch) <= 1).all(1)),
    "both logits moved alike": put("logits", lambda x: x + np.float32(1e-3)),
    "scores of float16 logits": put("score", lambda x: x.astype(np.float16).astype(np.float32)),
    "the smallest scores cut to 0": put("score", lambda x: np.where(x <= x.min(), np.float32(0), x)),
    "the card gate open for all": put("gate_scores", lambda x: np.clip(x, 1e-3, None)),
}


@pytest.mark.parametrize("name", QUICK)
def test_an_answer_of_another_form_is_refused(name) -> None:
    network = tiny_network(tiny_config(n_layers_order=1, n_layers_feature=1, seq_len=3))
    with pytest.raises(ParityError):
        check_parity(network, PlainSession(network, QUICK[name]), ragged_batch(network.config, 4))


def test_one_wrong_row_of_256_is_named(network, orders) -> None:
    with pytest.raises(ParityError, match=r"values of 1 of \d+ rows(?s:.)*order 'order-\d+'"):
        check_parity(network, PlainSession(network, SLOWER["one row of 256"]), orders)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOWER)
def test_values_that_are_wrong_in_some_rows_are_refused(network, orders, name) -> None:
    with pytest.raises(ParityError, match="difference"):
        check_parity(network, PlainSession(network, SLOWER[name]), orders)


@pytest.mark.slow
def test_third_experts_are_refused_where_rounding_does_not_choose_them(network, orders) -> None:
    session = PlainSession(network)

    def third(block: MixtureOfExperts, inputs: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        score = inputs[0] @ block.gate.w_gating
        best = score.topk(3, dim=-1).values
        close = best[..., 1] - best[..., 2] < 1e-2
        if close.any():
            output = output.clone()
            output[close] = other_choice(block, inputs[0][close])
        return output

    for module in session.network.modules():
        if isinstance(module, MixtureOfExperts):
            module.register_forward_hook(third)
    with pytest.raises(ParityError, match="difference"):
        check_parity(network, session, orders)


@pytest.mark.slow
def test_a_true_session_passes_whatever_holds_its_outputs(network, orders) -> None:
    assert check_parity(network, PlainSession(network), orders).tensors == 0
    as_tensors = PlainSession(
        network, lambda _, outputs: {k: torch.from_numpy(x) for k, x in outputs.items()}
    )
    assert check_parity(network, as_tensors, orders).excused == []
