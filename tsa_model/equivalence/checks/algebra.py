"""Check 1: in float64, where rounding is out of sight, do both networks compute the same numbers?"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from tsa_model.batch import rows_of
from tsa_model.equivalence import tolerance
from tsa_model.equivalence.checks.check import PROBE, TRAINED, Check
from tsa_model.equivalence.checks.evaluation_sizes import compare_evaluation
from tsa_model.equivalence.differences import difference
from tsa_model.equivalence.evidence.networks import POLICIES, align, has_capacity, outputs
from tsa_model.equivalence.evidence.observations import Evidence
from tsa_model.equivalence.evidence.stand_in import threads
from tsa_model.equivalence.results import CheckResult, Measurement, at_least, at_most

N_TOGETHER = (1, 2, 4)
"""Rows of a call, of four rows: with so few, none or hardly one queues."""
N_QUEUEING = 32
"""Rows of the legacy's evaluation, every edge case among them; few, because there the reference's cost grows
with their square."""


def check_algebra(
    evidences: dict[str, Evidence], seed: int = 0, batch_size: int | None = None
) -> CheckResult:
    """Check 1: outputs on every row, and every tensor both computations name, for each set of weights.

    Args:
        evidences: name of the set of weights → evidence.
        seed: of the random second-expert policy's draws.
        batch_size: of the run, for batches of its size on a stand-in; None = without a stand-in.
    """
    alarms: list[str] = []
    measurements: list[Measurement] = []
    n_rows = n_layers = 0
    for label, evidence in evidences.items():
        sample, found = evidence.sample, evidence.shipped_outputs
        n_rows += len(sample)
        for name, x in found.items():
            measurements.append(_measure(f"{label}, {name}", x, evidence.truth[name], sample.names, alarms))
        rows = [sample.names[int(row)] for row in evidence.traced_rows]
        for name, expected in evidence.layers.items():
            if name not in evidence.shipped_layers:
                continue
            n_layers += name not in found
            x = evidence.shipped_layers[name]
            title = f"{label}, {name}" + (" while traced" if name in found else "")
            measurements.append(_measure(title, x, align(expected, x), rows, alarms))
        configured = evidence.networks.shipped.config.moe_second_policy_eval
        policies = {TRAINED: (configured,), PROBE: POLICIES}.get(label, ())
        cut = evidence.in_small_pieces(N_QUEUEING) if label == PROBE else evidence
        measurements += _legacy_evaluation(label, cut, policies, alarms, seed)
    if batch_size is not None:
        trained, n_threads = next(iter(evidences.items())), max(2, torch.get_num_threads())
        measurements += _threaded(*trained, n_threads, alarms)
        measurements += compare_evaluation(trained[1].networks.shipped.config, batch_size, n_threads, seed)
    worst = max(m.value or 0.0 for m in measurements)
    measurements.append(at_least("intermediate tensors compared", n_layers, 1))
    return ALGEBRA.conclude(
        measurements,
        f"{len(measurements) - 1} tensors agree on {n_rows} rows; the largest difference uses {worst:.1e} of "
        f"what rtol {tolerance.RTOL:g} / atol {tolerance.ATOL:g} allows",
        notes=alarms or [f"No difference reaches the alarm of {tolerance.ALARM:g} of a tensor's scale."],
    )


ALGEBRA = Check(
    1,
    "Algebra in float64",
    "Do both networks compute the same numbers where rounding cannot hide a difference?",
    lambda subject: check_algebra(subject.evidences, batch_size=subject.training.batch_size),
)


def _threaded(label: str, evidence: Evidence, n_threads: int, alarms: list[str]) -> list[Measurement]:
    """The traced rows again, with one thread and with as many as scoring may use."""
    rows, measurements = evidence.traced_rows, []
    names = [evidence.sample.names[int(row)] for row in rows]
    for n in sorted({1, n_threads} - {torch.get_num_threads()}):
        with threads(n):
            found = outputs(evidence.networks.shipped64, evidence.traced_batch)["logits"]
        title = f"{label}, logits, threads {n}"
        measurements.append(_measure(title, found, evidence.truth["logits"][rows], names, alarms))
    return measurements


def _legacy_evaluation(
    label: str, evidence: Evidence, policies: Iterable[str], alarms: list[str], seed: int
) -> list[Measurement]:
    """The legacy's own evaluation, in which rows queue for experts: a few rows, each policy."""
    if not has_capacity(evidence.networks.shipped.config):
        return []
    names = [evidence.sample.names[int(row)] for row in evidence.traced_rows]
    measurements = []
    for policy in policies:
        twins = [
            network.twin(network.compute, moe_eval="legacy", moe_second_policy_eval=policy)
            for network in evidence.networks.pair(torch.float64)
        ]
        for title, cut, rows_per_call in (
            ("", slice(-N_QUEUEING, None), None),
            *((f", {n} at once", slice(0, N_TOGETHER[-1]), n) for n in N_TOGETHER),
        ):
            found = []
            for twin in twins:
                torch.manual_seed(seed)
                found.append(outputs(twin, rows_of(evidence.traced_batch, cut), rows_per_call)["logits"])
            name = f"{label}, logits, legacy evaluation{title}, second expert {policy}"
            measurements.append(_measure(name, found[1], found[0], names[cut], alarms))
    return measurements


def _measure(name: str, found: Tensor, expected: Tensor, rows: list[str], alarms: list[str]) -> Measurement:
    if found.shape != expected.shape:
        return at_most(f"{name}: difference in shape", 1, 0, f"{tuple(found.shape)}, {tuple(expected.shape)}")
    gap = difference(found, expected)
    where = f"order {rows[gap.row]} {gap.column}".strip()
    if not gap.relative <= tolerance.ALARM:
        alarms.append(
            f"ALARM: {name} differs by {gap.relative:.1e} of its scale at {where}; "
            "another order of operations explains about 1e-14."
        )
    return at_most(f"{name}: share of the allowed difference", gap.used, 1.0, where)
