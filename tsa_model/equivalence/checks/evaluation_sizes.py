"""Check 1, on a stand-in: evaluation batches of a validation, of a scoring call, and larger ones.

See `evidence/stand_in.py` for what a stand-in is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tsa_model.batch import Batch, n_rows, rows_of
from tsa_model.equivalence import tolerance
from tsa_model.equivalence.checks.rounding import N_RUNS, nudged
from tsa_model.equivalence.checks.run_sizes import masked_batches
from tsa_model.equivalence.differences import difference
from tsa_model.equivalence.evidence.draws import SameDraws
from tsa_model.equivalence.evidence.networks import Networks, has_capacity, outputs, traced
from tsa_model.equivalence.evidence.stand_in import (
    DISTINCT_ROWS,
    EVALUATED_ROWS,
    FEW_ROWS,
    other_computations,
    stand_in,
    stand_in_config,
    stand_in_rows,
    threads,
    training_rows,
)
from tsa_model.equivalence.evidence.ties import decision_margins, observe
from tsa_model.equivalence.results import Measurement, at_most
from tsa_model.network.networks import Network
from tsa_model.network.static.form import STATIC
from tsa_model.settings.model import ModelConfig

SCORING_CALLS = (1, 64, 256)
"""Rows of a call when orders are scored one by one, by the scoring stage, and by a server."""

FEWEST_CARDS = 4
"""That a threshold can divide."""
MOST_ORDERS = 4
"""Orders of a history in the largest batches."""


def compare_evaluation(
    config: ModelConfig, batch_size: int, n_threads: int, seed: int = 0
) -> list[Measurement]:
    """The stand-in of a configuration, evaluated in batches of every size a run evaluates.

    Args:
        config: of the network that is judged.
        batch_size: rows of a validation batch.
        n_threads: threads that scoring may use.
        seed: of weights and rows.
    """
    small = stand_in_config(config, DISTINCT_ROWS)
    small = small.changed(seq_len=min(small.seq_len, MOST_ORDERS))
    networks, distinct = stand_in(small, seed), stand_in_rows(small, DISTINCT_ROWS, seed)
    (truth, decisions), (_, in_float32) = (
        observe(network, distinct) for network in (networks.reference64, networks.reference)
    )
    held = decision_margins(decisions, in_float32, small, DISTINCT_ROWS) > 1
    expected = truth["logits"]
    measurements = []
    for n in sorted({*SCORING_CALLS, batch_size, EVALUATED_ROWS}):
        rows = torch.arange(n) % DISTINCT_ROWS
        rows = rows[torch.randperm(n, generator=torch.Generator().manual_seed(n))]
        batch, title = rows_of(distinct, rows), f"stand-in, evaluation of {n} rows"
        for count in {1, n_threads} if n == EVALUATED_ROWS else {torch.get_num_threads()}:
            with threads(count):
                found = outputs(networks.shipped64, batch)["logits"]
            measurements.append(_promise(f"{title}, {count} threads", found, expected[rows]))
        if n == EVALUATED_ROWS:
            measurements.append(_rounding(title, networks, distinct, rows, expected, held))
    measurements += _cut(networks, small, seed)
    if has_capacity(config):
        measurements += _queueing(config, batch_size, seed)
    return measurements


def _promise(title: str, found: Tensor, expected: Tensor) -> Measurement:
    gap = difference(found, expected)
    return at_most(f"{title}: share of the allowed difference", gap.used, 1.0, f"row {gap.row}")


def _rounding(
    title: str, networks: Networks, distinct: Batch, rows: Tensor, truth: Tensor, held: Tensor
) -> Measurement:
    """float32 in a large batch against the reference's own error on the distinct rows that have no tie.

    The largest error of one run is luck on both sides. Where it seems too large, runs with other weights
    follow, each a rounding away: the median of the judged network's errors counts then, against the
    reference's largest.
    """
    batch, floor = rows_of(distinct, rows), tolerance.unit(torch.float32) * truth[held].abs().max()
    own, found = [tolerance.ROUNDING_FLOOR_ULP * floor], []

    def ratio(reference: Network, shipped: Network, truth: Tensor) -> float:
        error = (outputs(reference, distinct)["logits"].double() - truth)[held].abs()
        own.extend([error.max(), tolerance.ROUNDING_TAIL * error.square().mean().sqrt()])
        error = (outputs(shipped, batch)["logits"].double() - truth[rows])[held[rows]].abs()
        found.append(error.nan_to_num(torch.inf).max())
        return (torch.stack(found).median() / torch.stack(own).max()).item()

    used = ratio(networks.reference, networks.shipped, truth)
    if used > tolerance.ROUNDING_FACTOR:
        for seed in range(N_RUNS):
            pair = nudged(networks.reference, seed), nudged(networks.shipped, seed)
            exact = outputs(nudged(networks.reference, seed).double(), distinct)["logits"]
            used = ratio(*pair, exact)
    return at_most(f"{title} in float32: error / the reference's", used, tolerance.ROUNDING_FACTOR)


def _cut(networks: Networks, config: ModelConfig, seed: int) -> list[Measurement]:
    """A small batch in pieces of several sizes, and under attention masks."""
    batch = stand_in_rows(config, FEW_ROWS, seed + 1)
    expected = outputs(networks.reference64, batch)["logits"]
    measurements = []
    for name, compute in other_computations(config, FEW_ROWS).items():
        found = outputs(networks.shipped64.twin(compute), batch)["logits"]
        measurements.append(_promise(f"stand-in, {name}", found, expected))
    if config.sequences == "dual":
        measurements += _thresholds(networks, batch)
    static = networks.shipped64.twin(STATIC)
    for name, masked in masked_batches(config, batch, seed).items():
        expected = outputs(networks.reference64, masked)["logits"]
        for network, form in ((networks.shipped64, ""), (static, ", form for accelerators")):
            found = outputs(network, masked)["logits"]
            measurements.append(_promise(f"stand-in, {name}{form}", found, expected))
    return measurements


def _thresholds(networks: Networks, batch: Batch) -> list[Measurement]:
    """A threshold amid the gate's weights: cards below it are left out although they weigh something.

    It lies in the widest gap of the middle half of those above 0, so that no rounding decides on a card.
    """
    weights = traced(networks.reference64, batch)["gate_scores"][:, 1].sort().values
    weights = weights[weights > 0]  # cards without a history weigh nothing, above a threshold or below
    if len(weights) < FEWEST_CARDS:
        return []  # histories of one order: no card takes part
    quarter = len(weights) // 4
    lower = quarter + int(weights.diff()[quarter:-quarter].argmax())
    threshold = float(weights[lower : lower + 2].mean())
    expected = outputs(networks.reference64.twin("reference", gate_threshold=threshold), batch)["logits"]
    measurements = []
    for name, compute in (("fast form", networks.shipped64.compute), ("form for accelerators", STATIC)):
        found = outputs(networks.shipped64.twin(compute, gate_threshold=threshold), batch)["logits"]
        measurements.append(_promise(f"stand-in, {name}, half of the cards left out", found, expected))
    return measurements


def _queueing(config: ModelConfig, batch_size: int, seed: int) -> list[Measurement]:
    """A validation batch in the legacy's evaluation, whole and in pieces, with the same random draws."""
    n = training_rows(config, batch_size)
    small = stand_in_config(config, n).changed(moe_eval="legacy")
    networks, batch = stand_in(small, seed), stand_in_rows(small, n, seed)
    few = rows_of(batch, slice(0, FEW_ROWS))
    expected, cut = _drawn(networks.reference64, batch, seed), _drawn_by_row(networks.reference64, few, seed)
    title = f"stand-in, legacy evaluation of {n} rows"
    measurements = [_promise(title, _drawn(networks.shipped64, batch, seed), expected)]
    for name, compute in other_computations(small, n_rows(few)).items():
        found = _drawn_by_row(networks.shipped64.twin(compute), few, seed)
        measurements.append(_promise(f"stand-in, legacy evaluation, {name}", found, cut))
    return measurements


def _drawn(network: Network, batch: Batch, seed: int) -> Tensor:
    torch.manual_seed(seed)
    return outputs(network, batch)["logits"]


def _drawn_by_row(network: Network, batch: Batch, seed: int) -> Tensor:
    """A row has its own numbers, also where a computation draws for rows that others leave out."""
    with SameDraws({}, {}, by_row=True, seed=seed):
        return outputs(network, batch)["logits"]
