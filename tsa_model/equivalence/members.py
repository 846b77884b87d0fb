"""A gate for each member of an ensemble, and the mean of their logits on top: one list of results.

Each member passes every check with its own weights, so the proof of a member is the proof of a network. What
is left is one operation, the mean, which is compared in float64 with the plain mean of what the members'
references gave.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

from torch import Tensor

from tsa_model.equivalence.differences import difference
from tsa_model.equivalence.evidence.networks import outputs
from tsa_model.equivalence.evidence.sample import Sample
from tsa_model.equivalence.results import CheckResult, Measurement, Plot, at_most
from tsa_model.network.networks import Network
from tsa_model.network.reference import REFERENCE


def stored_of_member(stored: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
    """The tensors of a model file that belong to one member, by their names in that member."""
    prefix = f"members.{number}."
    return {name.removeprefix(prefix): tensor for name, tensor in stored.items() if name.startswith(prefix)}


def measure_mean(shipped: Network, sample: Sample, truths: Sequence[Tensor]) -> Measurement:
    """The shipped ensemble's float64 logits against the plain mean of its members' references.

    Args:
        shipped: the whole ensemble, float32.
        sample: the compared rows.
        truths: each member's reference logits on them, float64 [B, classes].
    """
    found = outputs(copy.deepcopy(shipped).double(), sample.batch)["logits"]
    gap = difference(found, REFERENCE.mean_of_members(truths))
    name = f"mean of {len(truths)} members, logits: share of the allowed difference"
    return at_most(name, gap.used, 1.0, f"order {sample.names[gap.row]} {gap.column}".strip())


def merge(results: Sequence[CheckResult], mean: Measurement | None = None) -> CheckResult:
    """The outcomes of one check for all members as one outcome.

    Args:
        results: of the same check, one per member.
        mean: a further measurement about all of them.
    """
    measurements = [
        measurement.changed(name=_titled(number, measurement.name))
        for number, result in enumerate(results)
        for measurement in result.measurements
    ]
    passed = all(result.passed for result in results)
    if mean is not None:
        measurements.append(mean)
        passed = passed and mean.passed
    failed = [_titled(number, result.reason) for number, result in enumerate(results) if not result.passed]
    reason = failed[0] if failed else f"for each of {len(results)} members; the first: {results[0].reason}"
    if not failed and not passed:
        reason = "the mean of the members is not the mean of their references"
    return results[0].changed(
        question=next((result.question for result in results if not result.passed), results[0].question),
        passed=passed,
        reason=reason,
        measurements=measurements,
        notes=[_titled(number, note) for number, result in enumerate(results) for note in result.notes],
        plots=[_plot(number, plot) for number, result in enumerate(results) for plot in result.plots],
        seconds=round(sum(result.seconds for result in results), 3),
    )


def _titled(number: int, text: str) -> str:
    return f"member {number + 1}: {text}"


def _plot(number: int, plot: Plot) -> Plot:
    return plot.changed(title=_titled(number, plot.title))
