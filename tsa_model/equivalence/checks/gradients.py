"""Check 4, one step: loss and every gradient, in float64 and in a run's own precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from tsa_model.equivalence import tolerance
from tsa_model.equivalence.checks.rounding import nudged
from tsa_model.equivalence.differences import difference
from tsa_model.equivalence.evidence.training_step import LOWERED, Gradients, Step
from tsa_model.equivalence.results import Measurement, at_least, at_most
from tsa_model.network.networks import Network

N_NUDGED = 4
"""Further runs of both networks where one run seems too far off."""
Take = Callable[[Network], Step]


def compare_steps(title: str, expected: Step, found: Step) -> list[Measurement]:
    """Two float64 steps with the same draws: nothing but the order of sums may differ.

    Args:
        title: what the step is about.
        expected: the reference's.
        found: the judged network's.
    """
    missing = only_in_one(expected.gradients, found.gradients)
    scale = max((g.abs().max().item() for g in expected.gradients.values() if g is not None), default=0.0)
    gaps = [
        (_gradient_gap(found.gradients[key], g, scale), key)
        for key, g in _both(expected.gradients, found.gradients)
    ]
    worst, where = max(gaps, default=(0.0, ""))
    loss = difference(found.loss, expected.loss).used
    logits = difference(found.logits, expected.logits).used
    return [
        at_most(f"{title}: training logits, share of the allowed difference", logits, 1.0),
        at_most(f"{title}: training loss, share of the allowed difference", loss, 1.0),
        at_most(
            f"{title}: parameters that get a gradient in one network only", len(missing), 0, str(missing[:3])
        ),
        at_most(f"{title}: gradients, largest share of the allowed difference", worst, 1.0, where),
        at_least(f"{title}: parameters whose gradients were compared", len(gaps), 1),
        *compare_draws(title, expected, found),
    ]


def compare_draws(title: str, expected: Step, found: Step) -> list[Measurement]:
    """Both computations draw at the same places, at their rates, and nothing else.

    A part that nothing is learned from may draw or not: with histories of one order no card counts, and the
    form for accelerators, whose shapes are fixed, computes the layers of cards all the same.
    """
    read = {name.split(".")[0] for name, g in expected.gradients.items() if g is not None and g.any()}
    apart = sorted(place for place in expected.drawn ^ found.drawn if place.split(".")[0] in read)
    strange = [*expected.strange, *found.strange]
    moved = int(not torch.equal(expected.generator, found.generator))
    return [
        at_most(f"{title}: places where one network alone drops", len(apart), 0, str(apart[:3])),
        at_most(f"{title}: draws at no known place", len(strange), 0, str(strange[:3])),
        at_most(f"{title}: random generators moved differently", moved, 0),
    ]


def only_in_one(expected: Gradients, found: Gradients) -> list[str]:
    """Parameters that get a gradient in one of two steps."""
    return [key for key in expected if (expected[key] is None) != (found.get(key) is None)]


def _both(expected: Gradients, found: Gradients) -> Iterator[tuple[str, Tensor]]:
    for key, gradient in expected.items():
        if gradient is not None and found.get(key) is not None:
            yield key, gradient


def _gradient_gap(found: Tensor | None, expected: Tensor, scale: float) -> float:
    """Largest difference over what is allowed; gradients that cancel to zero have the noise of the others."""
    assert found is not None
    allowed = tolerance.GRADIENT * expected.abs().max().item() + tolerance.GRADIENT_NOISE * scale
    gap = (found - expected).abs().nan_to_num(torch.inf).max().item()
    return gap / allowed if allowed else float(gap > 0)


def compare_rounded(
    title: str, truth: Step, reference: Network, shipped: Network, precision: str, take: Take
) -> list[Measurement]:
    """Steps in a run's own precision, both held against the float64 reference's step.

    A gradient jumps where a ReLU's input rounds across zero or a decision turns, in any run. Where one run is
    too far off, runs with weights nudged by a rounding follow: the median of the judged network's errors
    counts then, against the largest of the reference's.

    Args:
        title: what the step is about.
        truth: the float64 reference's step with the same draws.
        reference: float32.
        shipped: float32.
        precision: of the run.
        take: takes the step with one of the two.
    """
    scale = max((g.norm().item() for g in truth.gradients.values() if g is not None), default=0.0)
    names = [
        key
        for key, g in truth.gradients.items()
        if g is not None and g.norm() > tolerance.GRADIENT_NEGLIGIBLE * scale
    ]
    first, mine = take(reference), take(shipped)
    missing = only_in_one(first.gradients, mine.gradients)
    draws = compare_draws(title, first, mine)
    own = [_errors(first.gradients, truth.gradients, names)]
    found = [_errors(mine.gradients, truth.gradients, names)]
    del first, mine  # gradients of a large network; their errors are all that is kept
    measurements = _rounded(title, names, own, found, precision)
    if not all(m.passed for m in measurements):
        # Half a unit of what autocast computes in: a weight moved that far rounds to another number there.
        lowered = LOWERED[precision]
        ratio = 2.0 if lowered is None else tolerance.unit(lowered) / tolerance.unit(torch.float32)
        units = round(ratio / 2)
        for seed in range(N_NUDGED):
            for network, errors in ((reference, own), (shipped, found)):
                step = take(nudged(network, seed, units))
                errors.append(_errors(step.gradients, truth.gradients, names))
        measurements = _rounded(title, names, own, found, precision)
    return [
        at_most(
            f"{title}: parameters that get a gradient in one network only", len(missing), 0, str(missing[:3])
        ),
        *measurements,
        *draws,
    ]


def _rounded(
    title: str, names: list[str], own: list[Tensor], found: list[Tensor], precision: str
) -> list[Measurement]:
    """Errors of some runs, [2, parameters] each: the judged network's median, the reference's largest."""
    if not names:
        return []
    error, own_error = torch.stack(found).median(dim=0).values, torch.stack(own).amax(dim=0)
    lowered = LOWERED[precision]
    floor = tolerance.ROUNDING_FLOOR_ULP * tolerance.unit(lowered or torch.float32)
    # Where the reference happens to be right to the last places, as with one number whose sum cancels,
    # float32 owes no more than its typical error. Under autocast that error is too large to be given away.
    luck = floor if lowered else max(floor, own_error[0].median().item())
    worst = int(error[0].argmax())
    largest = error[0, worst].item() / max(own_error[0].max().item(), floor)
    typical = error[0].median().item() / max(own_error[0].median().item(), floor / 4)
    ratio = (error / own_error.clamp(min=luck)).nan_to_num(torch.inf)
    (whole, where), (along, lost) = ((x.max().item(), names[int(x.argmax())]) for x in ratio)
    title = f"{title}, gradients"
    return [
        at_most(
            f"{title}: largest relative error / the reference's",
            largest,
            tolerance.BLOCK_ROUNDING_FACTOR,
            names[worst],
        ),
        at_most(f"{title}: median relative error / the reference's", typical, tolerance.ROUNDING_FACTOR),
        at_most(f"{title}: error of a parameter / the reference's", whole, tolerance.PARAMETER_FACTOR, where),
        at_most(
            f"{title}: change of a parameter's gradient along itself / the reference's",
            along,
            tolerance.PARAMETER_FACTOR,
            lost,
        ),
    ]


def _errors(found: Gradients, truth: Gradients, names: list[str]) -> Tensor:
    """Relative error of each gradient, and the part of it along the true gradient, [2, parameters].

    The second shows a gradient that is too small or too large as a whole: random errors hardly add to it.
    """
    errors, along = [], []
    for name in names:
        true = truth[name]
        assert true is not None
        given = found.get(name)
        gap = -true if given is None else given.double() - true
        errors.append(gap.norm() / true.norm())
        along.append((gap * true).sum().abs() / true.square().sum())
    if not names:
        return torch.zeros(2, 0, dtype=torch.float64)
    return torch.stack([torch.stack(errors), torch.stack(along)]).nan_to_num(torch.inf)
