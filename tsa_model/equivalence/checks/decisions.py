"""Check 8: what does the change from the legacy's evaluation to the deterministic one do to decisions?

In the legacy's evaluation second experts are dropped at random and rows of a batch compete for experts, so
the same order scores differently from batch to batch. Deterministic evaluation, which is shipped, ends that.
It is no rounding: the scores are others. This check measures how far, beside the legacy's distance from
itself.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tsa_model.batch import LABEL, Batch, n_rows
from tsa_model.equivalence.checks.check import Check
from tsa_model.equivalence.evidence.networks import outputs
from tsa_model.equivalence.evidence.observations import Evidence
from tsa_model.equivalence.results import CheckResult, Measurement, at_least, at_most, reported
from tsa_model.network.networks import Network
from tsa_model.settings.gate import GateConfig

N_RESAMPLES = 200
CHANCE = 3.0
"""Standard errors of a paired difference that are put down to chance."""
FEWEST_FRAUDS = 10
Scores = NDArray[np.float64]


def check_decisions(
    evidence: Evidence, population: Batch, config: GateConfig, batch_size: int, seed: int = 0
) -> CheckResult:
    """Check 8.

    Args:
        evidence: of the shipped network.
        population: real rows with labels.
        config: thresholds and bounds.
        batch_size: rows that meet in one legacy batch.
        seed: of the legacy's draws.
    """
    shipped = evidence.networks.shipped
    scores = score(shipped, population, batch_size)
    legacy_network = shipped.twin(shipped.compute, moe_eval="legacy").eval()
    torch.manual_seed(seed)
    legacy, again = (score(legacy_network, population, batch_size) for _ in range(2))
    thresholds = {rate: float(np.quantile(scores, 1 - rate)) for rate in config.alert_rates}
    measurements = _implementation(evidence, thresholds)
    for title, first, second in (
        ("deterministic against legacy", scores, legacy),
        ("legacy against itself", again, legacy),
    ):
        measurements += _changes(title, first, second, thresholds)
    labels = population[LABEL].numpy()
    notes = []
    if min((labels == 1).sum(), (labels == 0).sum()) >= FEWEST_FRAUDS:
        measurements += _ranking(scores, legacy, labels, config, seed)
    else:
        notes.append(f"AUC and AP are not compared: fewer than {FEWEST_FRAUDS} orders of a class.")
    measurements.append(at_least("orders scored", n_rows(population), 1))
    change = float(np.abs(scores - legacy).max())
    return DECISIONS.conclude(
        measurements,
        f"deterministic evaluation moves a score by at most {change:.2g} and costs no ranking quality",
        notes=notes,
    )


DECISIONS = Check(
    8,
    "Decisions",
    "How do deterministic and legacy evaluation differ in their decisions, and by how much?",
    lambda subject: check_decisions(
        subject.trained, subject.population, subject.gate, subject.training.batch_size
    ),
)


def score(network: Network, batch: Batch, batch_size: int) -> Scores:
    """softmax(logits)[:, 1] of every row, float64."""
    logits = outputs(network, batch, batch_size)["logits"].double()
    return _probability(logits).numpy()


def _probability(logits: Tensor) -> Tensor:
    return torch.softmax(logits.double(), dim=-1)[:, 1]


def _implementation(evidence: Evidence, thresholds: dict[float, float]) -> list[Measurement]:
    """The shipped float32 scores against the float64 reference's: the same decisions."""
    held = ~evidence.at_risk
    held[evidence.sample.n_real :] = False
    if not held.any():
        return []
    shipped, truth = (
        _probability(x["logits"][held]).numpy() for x in (evidence.shipped_rounded, evidence.truth)
    )
    gap = np.abs(shipped - truth).max()
    flips = sum(int(((shipped >= t) != (truth >= t)).sum()) for t in thresholds.values())
    near = sum(int((np.abs(truth - t) <= gap).sum()) for t in thresholds.values())
    return [
        reported("shipped float32 against float64 reference: largest change of a score", gap),
        at_most(
            "shipped float32 against float64 reference: decisions flipped, none of them a tie", flips, near
        ),
    ]


def _changes(title: str, first: Scores, second: Scores, thresholds: dict[float, float]) -> list[Measurement]:
    gap = np.abs(first - second)
    found = [
        reported(f"{title}: largest change of a score", gap.max()),
        reported(f"{title}: mean change of a score", gap.mean()),
        reported(f"{title}: rank correlation", rank_correlation(first, second)),
    ]
    for rate, threshold in thresholds.items():
        flips = ((first >= threshold) != (second >= threshold)).mean()
        found.append(reported(f"{title}: share of decisions flipped at an alert rate of {rate:.1%}", flips))
    return found


def rank_correlation(first: Scores, second: Scores) -> float:
    """Spearman's rank correlation; 1 for two constant rankings."""
    ranks = [
        np.argsort(np.argsort(x, kind="stable"), kind="stable").astype(np.float64) for x in (first, second)
    ]
    if first.size < 2 or np.array_equal(first, second):
        return 1.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranking(
    scores: Scores, legacy: Scores, labels: NDArray[np.int64], config: GateConfig, seed: int
) -> list[Measurement]:
    """Loss of AUC and AP, over its standard error from resampled orders, the same ones for both."""
    from tsa_model.evaluation.metrics import Ranking, auc, average_precision

    rng = np.random.default_rng(seed)
    rankings = [Ranking(x, labels) for x in (legacy, scores)]
    weights = [
        None,
        *(rng.multinomial(labels.size, np.full(labels.size, 1 / labels.size)) for _ in range(N_RESAMPLES)),
    ]
    measurements = []
    for title, figure, allowed in (
        ("AUC", auc, config.max_auc_drop),
        ("average precision", average_precision, config.max_ap_drop),
    ):
        losses = []
        for weight in weights:
            w = None if weight is None else weight.astype(np.float64)
            before, after = (float(figure(*ranking.counts(w))) for ranking in rankings)
            losses.append(before - after)
            if weight is None:
                measurements += [
                    reported(f"{title}, legacy evaluation", before),
                    reported(f"{title}, deterministic evaluation", after),
                ]
        bound = allowed + CHANCE * float(np.nanstd(losses[1:]))
        measurements.append(at_most(f"{title} lost by deterministic evaluation", losses[0], bound))
    return measurements
