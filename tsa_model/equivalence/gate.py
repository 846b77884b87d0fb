"""The gate: every check in order, one verdict."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from tsa_model import progress
from tsa_model.batch import Batch
from tsa_model.equivalence.checks.algebra import ALGEBRA
from tsa_model.equivalence.checks.check import PROBE, TRAINED, Check, Subject
from tsa_model.equivalence.checks.contract import CONTRACT
from tsa_model.equivalence.checks.controls import CONTROLS
from tsa_model.equivalence.checks.decisions import DECISIONS
from tsa_model.equivalence.checks.divergence import DIVERGENCE, FIRST
from tsa_model.equivalence.checks.legacy import LEGACY
from tsa_model.equivalence.checks.metamorphic import METAMORPHIC
from tsa_model.equivalence.checks.rounding import ROUNDING
from tsa_model.equivalence.checks.training import TRAINING
from tsa_model.equivalence.environment import environment
from tsa_model.equivalence.evidence.effort import effort_for
from tsa_model.equivalence.evidence.networks import Networks
from tsa_model.equivalence.evidence.observations import Evidence
from tsa_model.equivalence.evidence.sample import Sample
from tsa_model.equivalence.members import measure_mean, merge, stored_of_member
from tsa_model.equivalence.results import CheckResult, Verdict
from tsa_model.network.description import DESCRIPTION_FILE, ModelDescription, config_digest
from tsa_model.network.networks import Network, members_of
from tsa_model.sealed import check_together, sealed, write_sealed
from tsa_model.settings.gate import GateConfig
from tsa_model.settings.model import ModelConfig
from tsa_model.settings.training import TrainConfig
from tsa_model.signing import require_key
from tsa_model.version import this_program

if TYPE_CHECKING:
    from pathlib import Path

    from tsa_model.settings.run import RunConfig

CHECKS = (
    CONTRACT,
    ALGEBRA,
    ROUNDING,
    DIVERGENCE,
    TRAINING,
    METAMORPHIC,
    LEGACY,
    CONTROLS,
    DECISIONS,
)
"""In the order in which they are carried out."""
PROBE_SEED = 20
NOT_YET = "0" * 64
LAST_WITH_BLOCKS = (DIVERGENCE, CONTROLS)
"""After these checks the recorded block inputs are dropped, to save memory."""


@dataclass(frozen=True)
class Identity:
    """What the verdict is about."""

    weights_sha256: str
    store_digest: str


def judge(
    shipped: Network,
    sample: Sample,
    identity: Identity,
    stored: dict[str, Tensor] | None = None,
    training: TrainConfig | None = None,
    gate: GateConfig | None = None,
    population: Batch | None = None,
) -> Verdict:
    """Run every check on a network.

    Args:
        shipped: float32, in evaluation mode, as it will be exported.
        sample: the rows to compare on.
        identity: digests of the weights and the data.
        stored: the tensors of the model file, where there is one.
        training: the loss and the optimiser the weights are trained with.
        gate: baselines and thresholds.
        population: real rows with labels on which decisions are compared; None = the sample.
    """
    started = time.perf_counter()
    training, gate = training or TrainConfig(), gate or GateConfig()
    population = sample.batch if population is None else population
    members = members_of(shipped)
    subjects = []
    for number, member in enumerate(members):
        evidence = Evidence(Networks.of(member), sample, effort_for(member.config))
        own = stored if stored is None or len(members) == 1 else stored_of_member(stored, number)
        subjects.append(
            Subject(
                evidences={TRAINED: evidence, PROBE: evidence.with_probe_weights(PROBE_SEED)},
                stored=own,
                training=training,
                gate=gate,
                population=population,
            )
        )
    if len(members) == 1:
        results = _carry_out(subjects[0], 0, 1)
    else:
        found = [_carry_out(subject, number, len(members)) for number, subject in enumerate(subjects)]
        mean = measure_mean(shipped, sample, [subject.trained.truth["logits"] for subject in subjects])
        results = [
            merge(each, mean if each[0].number == ALGEBRA.number else None)
            for each in zip(*found, strict=True)
        ]
    config = shipped.config.model_dump(mode="json")
    return make_verdict(results, identity, sample.summary(), config, started, gate)


def _carry_out(subject: Subject, number: int, members: int) -> list[CheckResult]:
    """Every check on one network, the `number`-th of the members."""
    results: list[CheckResult] = []
    done, total = number * len(CHECKS), members * len(CHECKS)
    for i, check in enumerate(CHECKS):
        progress.report(done + i, total, "check", check.name)
        results.append(check.carry_out(subject))
        if check in LAST_WITH_BLOCKS:
            for each in subject.evidences.values():
                each.release()
    progress.report(done + len(CHECKS), total, "check")
    return results


def make_verdict(
    results: list[CheckResult],
    identity: Identity,
    sample: dict[str, Any],
    config: dict[str, Any],
    started: float,
    gate: GateConfig | None = None,
) -> Verdict:
    """Put results together, as a sealed document."""
    failed = [result for result in results if not result.passed]
    if failed:
        reason = f"check {failed[0].number} ({failed[0].name}) failed: {failed[0].reason}"
        reason += "".join(f"; {check.reason}" for check in failed[1:] if check.reason.startswith(FIRST))
    else:
        reason = f"{len(results)} checks passed on {sample.get('rows', 0)} rows"
    verdict = Verdict(
        passed=bool(results) and not failed,
        verdict_id=NOT_YET,
        reason=reason,
        program=this_program(),
        weights_sha256=identity.weights_sha256,
        config_sha256=config_digest(ModelConfig.model_validate(config)) if config else "",
        store_digest=identity.store_digest,
        sample=sample,
        config=config,
        settings=gate or GateConfig(),
        checks=results,
        environment=environment(),
        seconds=round(time.perf_counter() - started, 3),
    )
    return sealed(verdict.changed(verdict_id=verdict.content_id()))


def check_equivalence(
    store_dir: str | Path,
    model_dir: str | Path,
    run: RunConfig,
    verdict_path: str | Path,
    report_path: str | Path,
) -> dict[str, Any]:
    """Prove that the trained weights, as they will be exported, compute what the reference computes.

    Args:
        store_dir: the sequence store real rows are taken from.
        model_dir: the model folder.
        run: the run description.
        verdict_path: where the verdict goes, as JSON; written whether it passes or fails.
        report_path: the same for people, one HTML page.

    Returns:
        Metrics for the stage table and the artifact's metadata.

    Raises:
        EquivalenceError: a check failed; the message names the first one and why.
    """
    from tsa_model.equivalence.page.verdict_page import render
    from tsa_model.legacy.errors import EquivalenceError
    from tsa_model.sealed_pages import write_page

    require_key(run.signing)
    verdict = judge_model(store_dir, model_dir, run)
    write_sealed(verdict_path, verdict)
    write_page(report_path, render(verdict), verdict.sha256)
    if not verdict.passed:
        raise EquivalenceError(f"{verdict.reason} (verdict: {verdict_path}, report: {report_path})")
    return metrics(verdict)


def judge_model(store_dir: str | Path, model_dir: str | Path, run: RunConfig) -> Verdict:
    """Judge a model folder on a store; what cannot even be loaded fails check 0."""
    from safetensors.torch import load_file

    from tsa_model.equivalence.evidence.sample import candidate_rows, sample_store
    from tsa_model.network.checkpoint import WEIGHTS_FILE, load_model, read_description
    from tsa_model.sequences import SequenceStore

    started = time.perf_counter()
    identity = Identity("", "")
    try:
        description = read_description(model_dir)
        identity = Identity(description.weights_sha256, "")
        shipped = load_model(model_dir).twin("fast", moe_eval="deterministic").eval()
        stored = load_file(f"{model_dir}/{WEIGHTS_FILE}")
        store = SequenceStore.open(store_dir)
        identity = Identity(description.weights_sha256, store.digest)
        _check_trained_on(model_dir, description, store_dir, store.digest)
        effort, gate = effort_for(shipped.config), run.equivalence
        sample = sample_store(store, shipped.config, gate.real_rows or effort.real_rows)
        rows = candidate_rows(store, gate.decision_rows or effort.decision_rows)
        population = store.batch_rows(rows, shipped.config.sequences)
    except ValueError as error:
        return make_verdict([CONTRACT.broken(error)], identity, {}, {}, started)
    return judge(shipped, sample, identity, stored, run.training, gate, population)


def _check_trained_on(
    model_dir: str | Path, description: ModelDescription, store_dir: str | Path, store_sha256: str
) -> None:
    """Refuse a store the model was not trained on; weights from elsewhere belong to the store they are given.

    Raises:
        ValueError: they do not belong together.
    """
    if description.store_sha256 is not None:
        check_together(
            "the sequence store is",
            (f"{model_dir}/{DESCRIPTION_FILE}", description.store_sha256),
            (f"{store_dir}/manifest.json", store_sha256),
            "take model and store of the same run",
        )


def metrics(verdict: Verdict) -> dict[str, Any]:
    """What the stage table and Kubeflow show of a verdict."""
    checks = {check.number: check for check in verdict.checks}

    def worst(check: Check, fragment: str) -> float | None:
        found = [
            m.value for m in checks[check.number].measurements if fragment in m.name and m.value is not None
        ]
        return max(found, default=None)

    used = worst(ALGEBRA, "share of the allowed")
    return {
        "key_figure": f"passed: {len(checks)} checks, {verdict.sample['rows']} rows, "
        f"float64 difference {used:.0e} of the allowed",
        "passed": verdict.passed,
        "verdict_id": verdict.verdict_id,
        "weights_sha256": verdict.weights_sha256,
        "rows": verdict.sample["rows"],
        "float64_share_of_allowed": used,
        "float32_error_ratio": worst(ROUNDING, "error / the reference"),
        "checks": {check.name: check.passed for check in verdict.checks},
        "seconds": verdict.seconds,
    }
