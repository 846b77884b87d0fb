"""Check 1: in float64, where rounding is out of sight, do both networks compute the same numbers?"""

from __future__ import annotations

from torch import Tensor

from tsa_model.equivalence import tolerance
from tsa_model.equivalence.compare import difference
from tsa_model.equivalence.evidence import Evidence
from tsa_model.equivalence.networks import align, outputs, rows_of, traced
from tsa_model.equivalence.results import CheckResult, Measurement, Plot, at_least, at_most, conclude


def check_algebra(evidence: Evidence) -> CheckResult:
    """Check 1: outputs on every row, every tensor both computations name on some of them."""
    sample, shipped = evidence.sample, evidence.networks.shipped64
    found = outputs(shipped, sample.batch)
    rows = [sample.names[int(row)] for row in evidence.traced_rows]
    found_layers = traced(shipped, rows_of(sample.batch, evidence.traced_rows))
    layers = [name for name in evidence.layers if name in found_layers and name not in found]

    measurements: list[Measurement] = []
    alarms: list[str] = []
    errors: list[float | None] = []
    for name in found:
        measurements.append(_measure(name, found[name], evidence.truth[name], sample.names, alarms, []))
    for name in layers:
        wanted = align(evidence.layers[name], found_layers[name])
        measurements.append(_measure(name, found_layers[name], wanted, rows, alarms, errors))
    worst = max(m.value or 0.0 for m in measurements)
    measurements.append(at_least("intermediate tensors compared", len(layers), 1))
    return conclude(
        1,
        "Algebra in float64",
        "Do both networks compute the same numbers where rounding cannot hide a difference?",
        measurements,
        f"{len(layers) + 2} tensors agree on {len(sample)} rows; the largest difference uses {worst:.1e} of "
        f"what rtol {tolerance.RTOL:g} / atol {tolerance.ATOL:g} allows",
        notes=alarms or [f"No difference reaches the alarm of {tolerance.ALARM:g} of a tensor's scale."],
        plots=[
            Plot(
                title="Largest float64 difference per layer, relative to the layer's largest value",
                kind="points",
                x_label="layer, in the order computed",
                y_label="relative difference",
                labels=layers,
                series={"difference": errors},
                bound=tolerance.ALARM,
                log_y=True,
            )
        ],
    )


def _measure(
    name: str,
    found: Tensor,
    expected: Tensor,
    rows: list[str],
    alarms: list[str],
    errors: list[float | None],
) -> Measurement:
    if found.shape != expected.shape:
        return at_most(f"{name}: difference in shape", 1, 0, f"{tuple(found.shape)}, {tuple(expected.shape)}")
    gap = difference(found, expected)
    where = f"order {rows[gap.row]} {gap.column}".strip()
    errors.append(gap.relative if gap.relative != float("inf") else None)
    if gap.relative > tolerance.ALARM:
        alarms.append(
            f"ALARM: {name} differs by {gap.relative:.1e} of its scale at {where}; "
            "another order of operations explains about 1e-14."
        )
    return at_most(f"{name}: share of the allowed difference", gap.used, 1.0, where)
