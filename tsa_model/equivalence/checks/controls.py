"""Check 7: can the gate still fail? Known-bad variants of the shipped network must be rejected."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from tsa_model.batch import history_names
from tsa_model.equivalence import tolerance
from tsa_model.equivalence.checks.algebra import check_algebra
from tsa_model.equivalence.checks.check import Check
from tsa_model.equivalence.checks.divergence import check_divergence
from tsa_model.equivalence.checks.legacy import LEGACY, compare_entry
from tsa_model.equivalence.checks.metamorphic import ALONE, check_metamorphic, share_of_alone
from tsa_model.equivalence.checks.rounding import check_rounding
from tsa_model.equivalence.checks.training import TRAINING, compare_training, training_batch
from tsa_model.equivalence.differences import difference
from tsa_model.equivalence.evidence.networks import Networks, outputs
from tsa_model.equivalence.evidence.observations import Evidence
from tsa_model.equivalence.evidence.training_step import Conditions
from tsa_model.equivalence.results import CheckResult, at_least
from tsa_model.legacy.baseline import default_baseline, read_baseline
from tsa_model.network.networks import Network
from tsa_model.settings.training import TrainConfig
from tsa_model.training.objective import Objective

Spoil = Callable[[Network], None]


@dataclass(frozen=True)
class Control:
    """A known fault, and the check that is there to catch it.

    Attributes:
        name: what is wrong.
        spoil: makes a network wrong, in place.
        check: judges the spoiled network.
        effect: largest share of what the check allows that the fault changes; None = the fault has no size.
        stronger: the same kind of fault, as large as these weights need, where the first one is immaterial.
    """

    name: str
    spoil: Spoil
    check: Callable[[Evidence], CheckResult]
    effect: Callable[[Networks, Evidence], float] | None = None
    stronger: tuple[str, Spoil] | None = None


def check_controls(evidence: Evidence) -> CheckResult:
    """Check 7: every known-bad variant fails the check that is there to catch it.

    A variant that changes less than its check allows is immaterial for these weights, for example a weight
    off by 1e-5 beside logits of 10,000. It is reported, and a stronger one must be rejected in its place.
    """
    measurements, notes = [], []
    for control in _controls(evidence):
        result, share = _try(evidence, control.spoil, control)
        name = control.name
        if result.passed and share is not None and share <= 1 and control.stronger is not None:
            notes.append(f"Immaterial for these weights, {share:.1g} of what is allowed: {name}.")
            name, spoil = control.stronger
            result, _ = _try(evidence, spoil, control)
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
        notes=notes,
    )


def _controls(evidence: Evidence) -> list[Control]:
    def algebra(bad: Evidence) -> CheckResult:
        return check_algebra({"control": bad})

    def divergence(bad: Evidence) -> CheckResult:
        return check_divergence({"control": bad})

    def metamorphic(bad: Evidence) -> CheckResult:
        return check_metamorphic({"control": bad}, only=ALONE)

    def training(bad: Evidence) -> CheckResult:
        conditions = Conditions(Objective(TrainConfig()))
        return TRAINING.conclude(compare_training("control", bad, training_batch(bad), conditions), "")

    largest = evidence.truth["logits"].abs().max().item()
    return [
        Control("the oldest order of each history is forgotten", _forget_oldest, algebra, _used, _SCALED)
        if evidence.networks.shipped.config.seq_len > 1
        else Control(
            "numbers of the current order are a thousandth larger", _scale_numbers, algebra, _used, _SCALED
        ),
        Control(
            "one weight of the classifier is off by 1e-5",
            _nudge_weight(1e-5),
            algebra,
            _used,
            (
                "one weight of the classifier is off by 1e-5 of the largest logit",
                _nudge_weight(1e-5 * largest),
            ),
        ),
        Control(
            "the ensemble passes through float16",
            _half_precision,
            check_rounding,
            _rounded,
            ("the logits pass through float16", _half_logits),
        ),
        Control("one block returns 1 + 1e-9 times the right value", _scale_block, divergence),
        Control("the classifier's first layer gets no gradient", _cut_gradient, training),
        Control(
            "a row's score depends on its batch",
            _mix_rows,
            metamorphic,
            _moved,
            ("every logit grows by a millionth with every row of its batch", _grow_logits),
        ),
    ]


def _try(evidence: Evidence, spoil: Spoil, control: Control) -> tuple[CheckResult, float | None]:
    """What the check says of a spoiled network, and how large the fault is."""
    bad = _spoiled(evidence.networks, spoil)
    result = control.check(evidence.against(bad))
    if not result.passed or control.effect is None:
        return result, None
    return result, control.effect(bad, evidence)


def _used(bad: Networks, evidence: Evidence) -> float:
    """Share of the promise by which the fault moves a logit or the ensemble, in float64."""
    batch = evidence.traced_batch
    found, good = (outputs(network, batch) for network in (bad.shipped64, evidence.networks.shipped64))
    return max(difference(found[name], good[name]).used for name in found)


def _rounded(bad: Networks, evidence: Evidence) -> float:
    """Share of the allowed float32 error by which the fault moves a logit."""
    batch, rows = evidence.traced_batch, evidence.traced_rows
    found, good = (outputs(network, batch)["logits"] for network in (bad.shipped, evidence.networks.shipped))
    truth, own = (x["logits"][rows].double() for x in (evidence.truth, evidence.rounded))
    floor = tolerance.ROUNDING_FLOOR_ULP * tolerance.unit(torch.float32) * truth.abs().max()
    allowed = tolerance.ROUNDING_FACTOR * torch.maximum((own - truth).abs().max(), floor)
    return ((found.double() - good.double()).abs().max() / allowed).item()


def _moved(bad: Networks, evidence: Evidence) -> float:
    """Share of what check 5 lets pass by which rows' logits differ alone and together, in float64."""
    return share_of_alone(bad.shipped64, evidence.traced_batch)


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


def _nudge_weight(by: float) -> Spoil:
    def nudge(network: Network) -> None:
        clf: Any = network.clf
        with torch.no_grad():
            clf[-1].bias[0] += by

    return nudge


def _change_logits(network: Network, change: Callable[[Tensor], Tensor]) -> None:
    """Of the whole network: a wide head or trees may weigh more than the classifier."""
    network.register_forward_hook(lambda _, args, output: (change(output[0]), *output[1:]))


def _scale_logits(network: Network) -> None:
    _change_logits(network, lambda logits: logits * (1 + 1e-4))


_SCALED = ("the logits are a ten-thousandth larger", _scale_logits)


def _half_logits(network: Network) -> None:
    _change_logits(network, lambda logits: logits.half().to(logits.dtype))


def _grow_logits(network: Network) -> None:
    _change_logits(network, lambda logits: logits * (1 + 1e-6 * len(logits)))


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
