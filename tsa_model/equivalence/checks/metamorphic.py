"""Check 5: changes of the input that must not change a row's score, on the shipped network in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from tsa_model.batch import Batch, as_dtype, histories, history_names, rows_of
from tsa_model.equivalence import tolerance
from tsa_model.equivalence.checks.check import Check
from tsa_model.equivalence.checks.rounding import nudged
from tsa_model.equivalence.differences import difference
from tsa_model.equivalence.evidence.effort import effort_for
from tsa_model.equivalence.evidence.generated import fill_masked
from tsa_model.equivalence.evidence.networks import outputs
from tsa_model.equivalence.evidence.observations import Evidence
from tsa_model.equivalence.results import CheckResult, Measurement, at_least, at_most
from tsa_model.network.networks import Network
from tsa_model.network.trace import Trace

N_ALONE = 12
N_THRESHOLD = 8
N_PADDING = 7
N_SENSITIVITY = 4
"""Networks with nudged weights that show how sensitive the logits are."""


class Case(NamedTuple):
    """Rows and what the network gives for them in two ways that must agree."""

    found: Tensor
    expected: Tensor
    rows: list[str]


def check_metamorphic(evidences: dict[str, Evidence], only: str | None = None) -> CheckResult:
    """Check 5, for each set of weights.

    Args:
        evidences: name of the set of weights → evidence.
        only: one of the `RELATIONS`, tried alone; None = all of them, and what must hold to the bit.
    """
    measurements: list[Measurement] = []
    for label, evidence in evidences.items():
        network = evidence.networks.shipped64
        batch = as_dtype(evidence.traced_batch, torch.float64)
        names = [evidence.sample.names[int(row)] for row in evidence.traced_rows]
        base = outputs(network, batch)["logits"]
        sensitive = 0.0
        for relation, case in RELATIONS.items():
            if only not in (None, relation):
                continue
            found = case(network, batch, base, names)
            if found is not None:
                gap = difference(found.found, found.expected)
                where = f"order {found.rows[gap.row]}"
                bound = tolerance.UNCHANGED
                if not gap.relative <= bound:
                    sensitive = sensitive or _sensitivity(network, batch, base)
                    bound = max(bound, tolerance.DIVERGENCE_FACTOR * sensitive)
                measurements.append(
                    at_most(f"{label}, {relation}: change of the logits", gap.relative, bound, where)
                )
        if only is None:
            measurements += _exact(label, network, batch, base)
    measurements.append(at_least("relations tried", len(measurements), 1))
    return METAMORPHIC.conclude(
        measurements,
        f"{len(measurements) - 1} relations hold",
    )


METAMORPHIC = Check(
    5,
    "Metamorphic relations",
    "Does a row's score stay the same when only what must not matter is changed?",
    lambda subject: check_metamorphic(subject.evidences),
)


def _sensitivity(network: Network, batch: Batch, base: Tensor) -> float:
    """How far weights moved by a float64 rounding move a logit, relative to the largest one.

    A network with steep weights turns the rounding of another order of sums into a visible change: it is no
    fault of the computation that the network does so.
    """
    return max(
        difference(outputs(nudged(network, seed), batch)["logits"], base).relative
        for seed in range(N_SENSITIVITY)
    )


def share_of_alone(network: Network, batch: Batch) -> float:
    """Share of what `ALONE` lets pass by which logits differ when rows are computed one by one."""
    batch = as_dtype(batch, torch.float64)
    base = _logits(network, batch)
    case = _one_by_one(network, batch, base, [""] * len(base))
    gap = difference(case.found, case.expected).relative
    if gap <= tolerance.UNCHANGED:
        return gap / tolerance.UNCHANGED
    return gap / max(tolerance.UNCHANGED, tolerance.DIVERGENCE_FACTOR * _sensitivity(network, batch, base))


Relation = Callable[[Network, Batch, Tensor, list[str]], Case | None]


def _row_order(network: Network, batch: Batch, base: Tensor, names: list[str]) -> Case:
    order = torch.arange(len(names)).flip(0)
    return Case(_logits(network, rows_of(batch, order)), base[order], [names[i] for i in order.tolist()])


def _one_by_one(network: Network, batch: Batch, base: Tensor, names: list[str]) -> Case:
    every = slice(0, None, max(1, len(names) // N_ALONE))
    found = outputs(network, rows_of(batch, every), rows_per_call=1)["logits"]
    return Case(found, base[every], names[every])


def _smaller_batches(network: Network, batch: Batch, base: Tensor, names: list[str]) -> Case:
    return Case(outputs(network, batch, rows_per_call=7)["logits"], base, names)


def _duplicates(network: Network, batch: Batch, base: Tensor, names: list[str]) -> Case:
    copies = effort_for(network.config).copies
    repeated = torch.arange(len(names)).repeat(copies)
    return Case(_logits(network, rows_of(batch, repeated)), base[repeated], names * copies)


def _more_padding(network: Network, batch: Batch, base: Tensor, names: list[str]) -> Case:
    padded = dict(batch)
    for *values, mask in history_names(network.config.sequences):
        for name in values:
            x = batch[name]
            padded[name] = torch.cat([x.new_zeros(len(x), N_PADDING, x.shape[2]), x], dim=1)
        x = batch[mask]
        padded[mask] = torch.cat([x.new_ones(len(x), N_PADDING), x], dim=1)
    return Case(_logits(network, padded), base, names)


def _less_padding(network: Network, batch: Batch, base: Tensor, names: list[str]) -> Case | None:
    """Rows with at most one earlier order, cut to two orders."""
    return _cut(network, batch, base, names, 2)


def _single_order(network: Network, batch: Batch, base: Tensor, names: list[str]) -> Case | None:
    """Rows without any history, cut to the current order."""
    return _cut(network, batch, base, names, 1)


def _cut(network: Network, batch: Batch, base: Tensor, names: list[str], L: int) -> Case | None:
    short = torch.ones(len(names), dtype=torch.bool)
    for *_, mask in history_names(network.config.sequences):
        n_real = (~batch[mask][:, :-1]).sum(1)
        short &= (n_real <= L) & (n_real >= 1)
    (rows,) = torch.where(short)
    if len(rows) == 0 or network.config.seq_len <= L:
        return None
    cut = rows_of(batch, rows)
    for *values, mask in history_names(network.config.sequences):
        for name in values:
            cut[name] = cut[name][:, -L:]
        cut[mask] = cut[mask][:, -L - 1 :]
    return Case(_logits(network, cut), base[rows], [names[i] for i in rows.tolist()])


def _garbage(network: Network, batch: Batch, base: Tensor, names: list[str]) -> Case:
    filled = {name: x.clone() for name, x in batch.items()}
    fill_masked(filled, network.config, torch.ones(len(names), dtype=torch.bool), seed=1)
    return Case(_logits(network, filled), base, names)


def _without_card_history(network: Network, batch: Batch, base: Tensor, names: list[str]) -> Case | None:
    """The card's order attention must not reach rows without a card history, nor must their company."""
    if network.config.sequences == "single":
        return None
    _, card = histories(batch, network.config.sequences)
    (rows,) = torch.where((~card.mask[:, :-1]).sum(1) == 1)
    if len(rows) == 0:
        return None
    other = copy.deepcopy(network)
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            if name.startswith("order_attention_ccid."):
                parameter.add_(0.5)
    return Case(_logits(other, rows_of(batch, rows)), base[rows], [names[i] for i in rows.tolist()])


def _times_without_time(network: Network, batch: Batch, base: Tensor, names: list[str]) -> Case | None:
    """A network that is not temporal must not read the times."""
    config = network.config
    if config.use_time_seq or config.gate_use_time_seq or config.time_encoder != "none":
        return None
    times = {each.time: 3 * batch[each.time] + 5 for each in history_names(network.config.sequences)}
    return Case(_logits(network, {**batch, **times}), base, names)


ALONE = "each row alone"
RELATIONS: dict[str, Relation] = {
    "other row order": _row_order,
    ALONE: _one_by_one,
    "batches of seven": _smaller_batches,
    "a large batch of duplicates": _duplicates,
    "more padding": _more_padding,
    "less padding": _less_padding,
    "current order alone, no padding": _single_order,
    "garbage under the mask": _garbage,
    "no card history, other card weights": _without_card_history,
    "other times in a network without time": _times_without_time,
}


def _logits(network: Network, batch: Batch) -> Tensor:
    return outputs(network, batch)["logits"]


def _exact(label: str, network: Network, batch: Batch, base: Tensor) -> list[Measurement]:
    """What must hold to the bit."""
    before = {name: x.clone() for name, x in batch.items()}
    again = _logits(network, batch)
    changed = [name for name, x in batch.items() if not torch.equal(x, before[name])]
    state = network.state_dict()
    _logits(network, rows_of(batch, slice(0, 2)))
    moved = [name for name, x in network.state_dict().items() if not torch.equal(x, state[name])]
    found = [
        at_most(f"{label}, the same batch again: logits that differ", int((again != base).sum()), 0),
        at_most(f"{label}, inputs changed by the network", len(changed), 0, str(changed)),
        at_most(f"{label}, weights changed by the network", len(moved), 0, str(moved[:3])),
        at_most(f"{label}, logits that are not finite", int((~torch.isfinite(base)).sum()), 0),
    ]
    if network.config.sequences == "dual":
        found += _threshold(label, network, rows_of(batch, slice(0, N_THRESHOLD)))
    return found


@torch.no_grad()
def _threshold(label: str, network: Network, batch: Batch) -> list[Measurement]:
    """The card's history counts where the gate is above the threshold: strictly, so not where it is equal.

    Tried on the rows with the largest gates: one of 1e-90 moves no logit, open or closed, and proves nothing.
    """
    trace = Trace()
    network(batch, trace=trace)
    scores = trace.tensors["gate_scores"][:, 1]

    def logits(row: int, threshold: Tensor) -> Tensor:
        return _logits(network.twin(network.compute, gate_threshold=threshold.item()), batch)[row]

    let_through, shut_out, telling = [], [], []
    for row in scores.argsort(descending=True)[:2].tolist():
        at, below = scores[row], torch.nextafter(scores[row], scores.new_zeros(()))
        # Far below and far above every gate, whatever the network makes of a threshold.
        wide_open, closed = logits(row, at - 1.0), logits(row, at + 1.0)
        if not at > 0 or difference(wide_open, closed).relative <= tolerance.UNCHANGED:
            continue
        telling.append(row)
        if not torch.equal(logits(row, at), closed):
            let_through.append(row)
        if torch.equal(logits(row, below), closed):
            shut_out.append(row)
    return [
        at_most(
            f"{label}, rows whose card gate equals the threshold and are let through", len(let_through), 0
        ),
        at_most(f"{label}, rows whose card gate is above the threshold and are shut out", len(shut_out), 0),
    ] * bool(telling)
