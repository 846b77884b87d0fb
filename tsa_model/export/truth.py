"""What is taken for the truth: the plain network in float64, deterministic, in evaluation mode."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tsa_model.batch import histories, sequences_of
from tsa_model.export.network import output_names
from tsa_model.export.parity_rows import DistinctRows
from tsa_model.network.blocks import MixtureOfExperts
from tsa_model.network.networks import Network
from tsa_model.network.trace import Trace

Outputs = dict[str, NDArray[np.float64]]
ROWS_AT_ONCE = 32
"""The plain mixture's memory and time grow with the square of the rows it sees at once."""


def plain(network: Network, dtype: torch.dtype) -> Network:
    """A copy of a network that computes as the reference does, deterministic, in evaluation mode."""
    return copy.deepcopy(network.twin("reference", moe_eval="deterministic")).to(dtype).eval()


@torch.no_grad()
def outputs_of(network: Network, batch: Mapping[str, Tensor]) -> Outputs:
    """The outputs of a plain network under the names of the exported one, computed in its own precision."""
    dtype = next(network.parameters()).dtype
    trace = Trace()
    logits, ensemble = network(
        {name: x.to(dtype) if x.is_floating_point() else x for name, x in batch.items()}, trace=trace
    )
    gates = [gate for name, gate in trace.tensors.items() if name.split(".")[-1] == "gate_scores"]
    found = {
        "logits": logits,
        "score": torch.softmax(logits, dim=-1)[:, 1],
        "ensemble": ensemble,
    }
    if gates:
        found["gate_scores"] = torch.stack(gates).mean(dim=0)
    return {name: found[name].double().numpy() for name in output_names(network.config)}


class Truth:
    """The outputs of rows, and which experts their tokens were sent to.

    Args:
        network: any implementation and precision; a copy is made.
    """

    def __init__(self, network: Network) -> None:
        self.network = plain(network, torch.float64)
        self._gates: list[tuple[str, Tensor]] = []
        self._hit: dict[str, Tensor] = {}
        for name, module in self.network.named_modules():
            if isinstance(module, MixtureOfExperts):
                self._hit[name] = torch.zeros(module.num_experts, dtype=torch.bool)
                module.register_forward_pre_hook(partial(self._watch, name))

    @property
    def n_experts(self) -> int:
        """Experts of all mixtures."""
        return sum(len(hit) for hit in self._hit.values())

    @property
    def n_experts_hit(self) -> int:
        """Experts that at least one token was sent to."""
        return sum(int(hit.sum()) for hit in self._hit.values())

    def __call__(self, rows: DistinctRows) -> Outputs:
        """Outputs of all rows; rows of similar length are computed together, without their padding."""
        order = np.argsort(rows.columns.sum(axis=1), kind="stable")
        parts = []
        for start in range(0, len(order), ROWS_AT_ONCE):
            chosen = order[start : start + ROWS_AT_ONCE]
            columns = tuple(int(n) for n in rows.columns[chosen].max(axis=0))
            parts.append(self._piece(rows.taken(chosen, columns)))
        back = np.argsort(order)
        return {name: np.concatenate([part[name] for part in parts])[back] for name in parts[0]}

    def _watch(self, name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, MixtureOfExperts)
        self._gates.append((name, inputs[0] @ module.gate.w_gating))

    def _piece(self, batch: dict[str, Tensor]) -> Outputs:
        self._gates.clear()
        outputs = outputs_of(self.network, batch)
        with_card: Any = slice(None)
        of_ensemble = self.network.config.members > 1
        if "gate_scores" in outputs and not of_ensemble:
            with_card = torch.from_numpy(outputs["gate_scores"][:, 1] > self.network.config.gate_threshold)
        for name, gate_GNX in self._gates:
            block = name.split(".", 2)[2] if of_ensemble else name
            if of_ensemble and block.startswith("order_attention_ccid"):
                continue  # which rows a member sends there is not among the ensemble's outputs
            rows = with_card if block.startswith("order_attention_ccid") else slice(None)
            counts_NG = _tokens_that_count(block, batch, gate_GNX.shape[0])[rows]
            best = gate_GNX.topk(2, dim=-1).indices
            self._hit[name][best[counts_NG.T].unique()] = True
        return outputs


def _tokens_that_count(mixture: str, batch: Mapping[str, Tensor], n_tokens: int) -> Tensor:
    """[B, n_tokens]: False where a token is padding, whose routing changes no result."""
    n_rows = len(next(iter(batch.values())))
    if mixture.startswith("order_attention"):
        found = histories(batch, sequences_of(batch))
        history = found[-1] if mixture.startswith("order_attention_ccid") else found[0]
        return ~history.mask
    return torch.ones(n_rows, n_tokens, dtype=torch.bool)
