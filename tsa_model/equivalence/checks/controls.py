"""Check 7: can the gate still fail? Known-bad variants of the shipped network must be rejected."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from tsa_model.batch import history_names
from tsa_model.equivalence.checks.algebra import check_algebra
from tsa_model.equivalence.checks.check import Check
from tsa_model.equivalence.checks.divergence import check_divergence
from tsa_model.equivalence.checks.legacy import LEGACY, compare_entry
from tsa_model.equivalence.checks.metamorphic import check_metamorphic
from tsa_model.equivalence.checks.rounding import check_rounding
from tsa_model.equivalence.checks.training import TRAINING, compare_gradients
from tsa_model.equivalence.evidence.networks import Networks
from tsa_model.equivalence.evidence.observations import Evidence
from tsa_model.equivalence.results import CheckResult, at_least
from tsa_model.legacy.baseline import default_baseline, read_baseline
from tsa_model.network.networks import Network
from tsa_model.settings.training import TrainConfig


def check_controls(evidence: Evidence) -> CheckResult:
    """Check 7: every known-bad variant fails the check that is there to catch it."""

    def algebra(bad: Evidence) -> CheckResult:
        return check_algebra({"control": bad})

    def divergence(bad: Evidence) -> CheckResult:
        return check_divergence({"control": bad})

    def metamorphic(bad: Evidence) -> CheckResult:
        return check_metamorphic({"control": bad})

    def training(bad: Evidence) -> CheckResult:
        return TRAINING.conclude(compare_gradients("control", bad, TrainConfig()), "")

    controls: list[tuple[str, Callable[[Network], None], Callable[[Evidence], CheckResult]]] = [
        ("the oldest order of each history is forgotten", _forget_oldest, algebra)
        if evidence.networks.shipped.config.seq_len > 1
        else ("numbers of the current order are a thousandth larger", _scale_numbers, algebra),
        ("one weight of the classifier is off by 1e-5", _nudge_weight, algebra),
        ("the ensemble passes through float16", _half_precision, check_rounding),
        ("one block returns 1 + 1e-9 times the right value", _scale_block, divergence),
        ("the classifier's first layer gets no gradient", _cut_gradient, training),
        ("a row's score depends on its batch", _mix_rows, metamorphic),
    ]
    measurements = []
    for name, spoil, check in controls:
        result = check(evidence.against(_spoiled(evidence.networks, spoil)))
        measurements.append(
            at_least(f"{name}: rejected by check {result.number}", float(not result.passed), 1)
        )
    measurements.append(
        at_least(
            f"one captured logit is off by 1e-5: rejected by check {LEGACY.number}",
            float(_baseline_rejected()),
            1,
        )
    )
    return CONTROLS.conclude(
        measurements,
        f"all {len(measurements)} known-bad variants were rejected",
    )


CONTROLS = Check(
    7,
    "Negative control",
    "Would the gate notice? Networks that are known to be wrong must fail.",
    lambda subject: check_controls(subject.trained),
)


def _baseline_rejected() -> bool:
    """Whether captured outputs that are wrong are noticed."""
    entry = next(e for e in read_baseline(default_baseline()) if e.meta["kind"] == "single")
    wrong = {
        name: x + 1e-5 * name.endswith("/logits") for name, x in entry.arrays.items() if name[:4] == "out/"
    }
    spoiled = replace(entry, arrays={**entry.arrays, **wrong})
    return not all(measurement.passed for measurement in compare_entry(spoiled))


def _spoiled(networks: Networks, spoil: Callable[[Network], None]) -> Networks:
    """The same comparison with a shipped network that is wrong from the outside."""
    shipped, shipped64 = copy.deepcopy(networks.shipped), copy.deepcopy(networks.shipped64)
    spoil(shipped)
    spoil(shipped64)
    return Networks(shipped, networks.reference, shipped64, networks.reference64)


def _forget_oldest(network: Network) -> None:
    def forget(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple, dict]:
        batch = dict(args[0])
        for names in history_names(network.config.sequences):
            mask = batch[names.mask].clone()
            oldest = mask.int().argmin(dim=1)  # the first column that is not masked
            longer_than_one = oldest < mask.shape[1] - 2
            mask[longer_than_one, oldest[longer_than_one]] = True
            batch[names.mask] = mask
        return (batch, *args[1:]), kwargs

    network.register_forward_pre_hook(forget, with_kwargs=True)


def _scale_numbers(network: Network) -> None:
    def scale(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple, dict]:
        numbers = {names.num: 1.001 * args[0][names.num] for names in history_names(network.config.sequences)}
        return ({**args[0], **numbers}, *args[1:]), kwargs

    network.register_forward_pre_hook(scale, with_kwargs=True)


def _nudge_weight(network: Network) -> None:
    clf: Any = network.clf
    with torch.no_grad():
        clf[-1].bias[0] += 1e-5


def _half_precision(network: Network) -> None:
    clf: Any = network.clf
    clf.register_forward_pre_hook(lambda _, args: (args[0].half().to(args[0].dtype),))


def _scale_block(network: Network) -> None:
    block = network.get_submodule("feature_attention.layer_stack_feature.0.multi_attn")
    block.register_forward_hook(lambda _, args, output: output * (1 + 1e-9))


def _cut_gradient(network: Network) -> None:
    clf: Any = network.clf
    clf[0].register_forward_hook(lambda _, args, output: output.detach())


def _mix_rows(network: Network) -> None:
    clf: Any = network.clf
    clf.register_forward_pre_hook(lambda _, args: (args[0] + 1e-6 * args[0].mean(dim=0),))
