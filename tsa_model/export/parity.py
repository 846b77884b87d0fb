"""Parity: the ONNX session against the plain network in float64, on real rows and a (batch, length) grid."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tsa_model.batch import ENGINEERED, LABEL, histories, history_names, sequences_of
from tsa_model.equivalence.evidence.generated import random_rows
from tsa_model.export.network import input_names
from tsa_model.export.session import ScoringSession
from tsa_model.network.blocks import MixtureOfExperts
from tsa_model.network.networks import Network
from tsa_model.network.trace import Trace
from tsa_model.settings.model import ModelConfig

Batch = Mapping[str, Tensor]

ABSOLUTE = 1e-5
"""Float32 rounding of a logit near zero; ONNX Runtime's own float32 tolerance."""
RELATIVE = 1e-4
"""Float32 rounding of a large logit; ONNX Runtime's own float32 tolerance."""
SCORE_TOLERANCE = 5e-6
"""Largest error of a score whose two logits are each off by `ABSOLUTE` (its slope is at most 1/4)."""
FRAGILE_MARGIN = 1e-6
"""Where the second-best and third-best expert's gates, or the card gate and its threshold, lie closer than
this, rounding decides and either outcome is right."""
MAX_EXCUSED_SHARE = 0.01
GRID_BATCHES = (1, 2, 7, 64)
MORE_BATCHES = 8
SHOWN_VALUES = 10
ROWS_AT_ONCE = 32


class ParityError(ValueError):
    """The ONNX model does not compute what the network computes."""


@dataclass
class Parity:
    """The compared rows and their largest differences."""

    rows: int = 0
    excused_rows: int = 0
    """Rows beyond the tolerance whose routing rounding decides; see FRAGILE_MARGIN."""
    worst: dict[str, float] = field(default_factory=dict)
    """Output → largest absolute difference among the rows that count."""
    worst_share_of_tolerance: float = 0.0
    """Largest |difference of logits| / (absolute + relative·|logit|); above 1 the check fails."""
    grid: list[tuple[int, int]] = field(default_factory=list)
    """(batch, length) pairs that were run."""
    experts: int = 0
    experts_hit: int = 0
    """Experts of all mixtures, and those at least one compared token was sent to."""
    failures: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """The result as JSON-able values, the declared tolerance beside the measured worst."""
        return {
            "rows": self.rows,
            "excused_rows": self.excused_rows,
            "tolerance": {"logits_absolute": ABSOLUTE, "logits_relative": RELATIVE, "score": SCORE_TOLERANCE},
            "worst_difference": self.worst,
            "worst_share_of_tolerance": self.worst_share_of_tolerance,
            "grid_batch_length": [list(pair) for pair in self.grid],
            "experts": self.experts,
            "experts_hit": self.experts_hit,
        }


def check_parity(network: Network, session: ScoringSession, batch: Batch, seed: int = 0) -> Parity:
    """Compare a session with the network whose weights it holds.

    Args:
        network: the exported network.
        session: with the options that ship.
        batch: real rows, named as in TSA spec, section 1. Random rows are added, which reach experts that
            real rows may not; the grid cuts both to several batch sizes and lengths.
        seed: of the random rows.

    Raises:
        ParityError: a value is off by more than the tolerance; the message compares them.
    """
    truth = _Truth(network)
    names = input_names(network.config)
    real = {name: batch[name] for name in names}
    made = made_rows(network.config, len(real[names[0]]), seed)
    parity = Parity(experts=truth.n_experts)
    parts = list(_grid(real, made, network.config.seq_len))
    for part in itertools.chain(parts, _more_rows(truth, len(real[names[0]]), seed)):
        parity.grid.append((len(part[names[0]]), part[names[0]].shape[1]))
        _compare(parity, *truth(part), session.run(part))
    parity.experts_hit = truth.n_experts_hit
    if parity.excused_rows > MAX_EXCUSED_SHARE * parity.rows:
        parity.failures.append(
            f"{parity.excused_rows} of {parity.rows} rows differ within {FRAGILE_MARGIN} of another routing"
        )
    if parity.failures:
        shown = "\n  ".join(parity.failures[:SHOWN_VALUES])
        raise ParityError(
            f"ONNX Runtime and the network differ in {len(parity.failures)} values of {parity.rows} rows "
            f"(allowed: logits {ABSOLUTE} + {RELATIVE}·|logit|, score {SCORE_TOLERANCE}):\n  {shown}"
        )
    return parity


def made_rows(config: ModelConfig, n_rows: int, seed: int) -> dict[str, Tensor]:
    """Random rows whose histories have every length from none to all, in another order in each history."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.arange(n_rows) % (config.seq_len + 1)
    histories = [
        lengths[torch.randperm(n_rows, generator=generator)].tolist() for _ in history_names(config.sequences)
    ]
    return random_rows(config, histories, seed)


def _more_rows(truth: _Truth, n_rows: int, seed: int) -> Iterator[dict[str, Tensor]]:
    """Further random rows while an expert was not reached; some experts no row ever reaches."""
    for attempt in range(1, MORE_BATCHES + 1):
        if truth.n_experts_hit == truth.n_experts:
            return
        yield made_rows(truth.config, n_rows, seed + attempt)


def cut(batch: Batch, rows: slice, length: int) -> dict[str, Tensor]:
    """The given rows with their `length` latest orders."""
    part = {name: batch[name][rows] for name in (ENGINEERED, LABEL) if name in batch}
    for names in history_names(sequences_of(batch)):
        for name in names:
            width = length + 1 if name == names.mask else length
            part[name] = batch[name][rows, -width:]
    return part


def _grid(real: Batch, made: Batch, seq_len: int) -> Iterator[dict[str, Tensor]]:
    n_rows = len(next(iter(real.values())))
    yield cut(real, slice(None), seq_len)
    yield cut(made, slice(None), seq_len)
    for size in GRID_BATCHES:
        for length in sorted({1, 2, (seq_len + 1) // 2, seq_len}):
            for source in (real, made):
                if size < n_rows:
                    yield cut(source, slice(0, size), length)


class _Truth:
    """The plain network in float64, which also tells how close each row came to another routing."""

    def __init__(self, network: Network) -> None:
        self._network = copy.deepcopy(network.twin("reference", moe_eval="deterministic")).double().eval()
        self.config = network.config
        self._seen: list[tuple[str, Tensor]] = []
        self._hit: dict[str, Tensor] = {}
        for name, module in self._network.named_modules():
            if isinstance(module, MixtureOfExperts):
                self._hit[name] = torch.zeros(module.num_experts, dtype=torch.bool)
                module.register_forward_pre_hook(partial(self._watch, name))

    @property
    def n_experts(self) -> int:
        return sum(len(hit) for hit in self._hit.values())

    @property
    def n_experts_hit(self) -> int:
        return sum(int(hit.sum()) for hit in self._hit.values())

    def _watch(self, name: str, module: MixtureOfExperts, inputs: tuple[Tensor, ...]) -> None:
        self._seen.append((name, torch.softmax(inputs[0] @ module.gate.w_gating, dim=-1)))

    def __call__(self, batch: Batch) -> tuple[dict[str, NDArray[Any]], NDArray[Any]]:
        """Outputs as the exported network names them, and each row's distance to another routing [B]."""
        n_rows = len(next(iter(batch.values())))
        # The plain mixture's memory and time grow with the square of the rows it sees at once.
        parts = [
            self._piece({name: values[start : start + ROWS_AT_ONCE] for name, values in batch.items()})
            for start in range(0, n_rows, ROWS_AT_ONCE)
        ]
        outputs = {name: np.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
        return outputs, np.concatenate([part[1] for part in parts])

    @torch.no_grad()
    def _piece(self, batch: Batch) -> tuple[dict[str, NDArray[Any]], NDArray[Any]]:
        self._seen.clear()
        trace = Trace()
        double = {name: x.double() if x.is_floating_point() else x for name, x in batch.items()}
        logits, ensemble = self._network(double, trace=trace)
        outputs = {"logits": logits, "score": torch.softmax(logits, dim=-1)[:, 1], "ensemble": ensemble}
        margin_B = torch.full((len(logits),), torch.inf, dtype=torch.float64)
        with_card = torch.ones(len(logits), dtype=torch.bool)
        if "gate_scores" in trace.tensors:
            outputs["gate_scores"] = gate_B2 = trace.tensors["gate_scores"]
            threshold = self._network.config.gate_threshold
            margin_B = (gate_B2[:, 1] - threshold).abs()
            with_card = gate_B2[:, 1] > threshold
        for name, gates_GNX in self._seen:
            rows = with_card if name.startswith("order_attention_ccid") else slice(None)
            counts_NG = _tokens_that_count(name, batch, gates_GNX.shape[0])[rows]
            best = gates_GNX.topk(min(3, gates_GNX.shape[-1]), dim=-1)
            self._hit[name][best.indices[..., :2][counts_NG.T].unique()] = True
            if best.values.shape[-1] == 3:
                margin_GN = best.values[..., 1] - best.values[..., 2]
                margin_N = margin_GN.T.masked_fill(~counts_NG, torch.inf).amin(dim=1)
                margin_B[rows] = torch.minimum(margin_B[rows], margin_N)
        return {name: value.numpy() for name, value in outputs.items()}, margin_B.numpy()


def _tokens_that_count(mixture: str, batch: Batch, n_tokens: int) -> Tensor:
    """[B, n_tokens]: False where a token is padding, whose routing changes no result."""
    n_rows = len(next(iter(batch.values())))
    if mixture.startswith("order_attention"):
        found = histories(batch, sequences_of(batch))
        history = found[-1] if mixture.startswith("order_attention_ccid") else found[0]
        return ~history.mask
    return torch.ones(n_rows, n_tokens, dtype=torch.bool)


def _compare(
    parity: Parity, expected: dict[str, NDArray[Any]], margin: NDArray[Any], found: dict[str, NDArray[Any]]
) -> None:
    parity.rows += len(margin)
    differences = {}
    for name, truth in expected.items():
        differences[name] = np.abs(found[name].astype(np.float64) - truth)
        differences[name][~np.isfinite(found[name])] = np.inf
    logits = np.abs(expected["logits"])
    allowed = {"logits": ABSOLUTE + RELATIVE * logits, "score": np.full(len(margin), SCORE_TOLERANCE)}
    beyond = (differences["logits"] > allowed["logits"]).any(axis=1) | (
        differences["score"] > allowed["score"]
    )
    excused = beyond & (margin < FRAGILE_MARGIN)
    parity.excused_rows += int(excused.sum())
    for name, difference in differences.items():
        judged = difference[~excused]
        parity.worst[name] = max(parity.worst.get(name, 0.0), float(judged.max(initial=0.0)))
    share = (differences["logits"] / allowed["logits"])[~excused]
    parity.worst_share_of_tolerance = max(parity.worst_share_of_tolerance, float(share.max(initial=0.0)))
    for name, bound in allowed.items():
        wrong = (differences[name] > bound) & ~(excused[:, None] if bound.ndim == 2 else excused)
        for place in zip(*np.nonzero(wrong), strict=True):
            parity.failures.append(
                f"{name}[{', '.join(map(str, place))}] of batch {parity.grid[-1]}: "
                f"ONNX {found[name][place]:.9g}, network {expected[name][place]:.9g}, "
                f"difference {differences[name][place]:.3g}, allowed {bound[place]:.3g}"
            )
