"""Check 6: do reference and shipped code still compute what the legacy model computed?

The other checks hold the shipped computation against the reference. This one holds both against outputs that
were captured from the legacy itself, so an error that both share is found here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tsa_model.batch import LABEL, as_dtype, n_rows
from tsa_model.equivalence import tolerance
from tsa_model.equivalence.checks.check import Check
from tsa_model.equivalence.checks.rounding import compare_rounding
from tsa_model.equivalence.differences import difference
from tsa_model.equivalence.evidence.draws import set_apart
from tsa_model.equivalence.evidence.networks import outputs
from tsa_model.equivalence.evidence.ties import decision_margins, observe
from tsa_model.equivalence.evidence.training_step import for_training
from tsa_model.equivalence.results import CheckResult, Measurement, at_least, at_most
from tsa_model.legacy.baseline import Recording, default_baseline, read_baseline
from tsa_model.losses import create_loss_function
from tsa_model.network.blocks import MixtureOfExperts
from tsa_model.network.implementation import ImplementationName
from tsa_model.network.networks import Network

IMPLEMENTATIONS: tuple[ImplementationName, ...] = ("reference", "fast")
FLOAT32_RUN = "deterministic"
"""The run whose float32 outputs are compared: in others a decision that rounding turns moves other rows."""


def check_baselines(folders: Iterable[str | Path]) -> CheckResult:
    """Check 6 on every file of every baseline."""
    measurements: list[Measurement] = []
    notes: list[str] = []
    n_files = 0
    for folder in folders:
        for entry in read_baseline(folder):
            n_files += 1
            measurements += compare_entry(entry, notes)
    n_compared = len(measurements)
    measurements.append(at_least("captured files compared", n_files, 1))
    return LEGACY.conclude(
        measurements,
        f"both computations reproduce the captured values: {n_compared} comparisons, {n_files} file(s)",
        notes=notes,
    )


LEGACY = Check(
    6,
    "Legacy baseline",
    "Do both computations give what the legacy model itself gave?",
    lambda subject: check_baselines([default_baseline(), *subject.gate.baselines]),
)


def compare_entry(entry: Recording, notes: list[str] | None = None) -> list[Measurement]:
    """Hold both computations against one captured file."""
    notes = [] if notes is None else notes
    if entry.meta["kind"] == "losses":
        return _losses(entry)
    measurements = []
    loaded = entry.network("reference")
    rounding = _ReferenceRounding(entry, loaded)
    for implementation in IMPLEMENTATIONS:
        network = loaded.twin(implementation)
        found = []
        for run in entry.runs():
            alone = entry.output("f64", f"{run}/logits") is None
            found += _float32_alone(entry, network, run) if alone else _evaluation(entry, network, run)
        if FLOAT32_RUN in entry.runs():
            found += _rounding(entry, network, rounding, notes)
        if entry.meta.get("train"):
            found += _gradients(entry, network)
        if entry.meta.get("steps"):
            found += _steps(entry, network)
        measurements += found or [at_least(f"{entry.title}, {implementation}: outputs compared", 0, 1)]
    return measurements


def _evaluation(entry: Recording, network: Network, run: str) -> list[Measurement]:
    """One evaluation in float64; `network` is float64."""
    _set_run(network, run)
    if run == "random":
        torch.manual_seed(entry.meta["random_seed"])
    found = outputs(network, entry.batch)
    title = f"{entry.title}, {run}, {network.implementation}"
    captured = {name: entry.output("f64", f"{run}/{name}") for name in found}
    return [_promise(f"{title}, {name}", found[name], x) for name, x in captured.items() if x is not None]


def _set_run(network: Network, run: str) -> Network:
    """Put the network into the routing of one evaluation run; returns it."""
    for module in network.modules():
        if isinstance(module, MixtureOfExperts):
            module.deterministic_eval = run == "deterministic"
            module.second_policy_eval = run
    return network.eval()


def _promise(title: str, found: Tensor, captured: Tensor) -> Measurement:
    gap = difference(found, captured)
    return at_most(f"{title}: share of the allowed difference", gap.used, 1.0, f"row {gap.row} {gap.column}")


class _ReferenceRounding:
    """The reference on a recording's rows, in both precisions; computed once for both implementations."""

    def __init__(self, entry: Recording, loaded: Network) -> None:
        self._entry, self._loaded = entry, loaded

    @cached_property
    def found(self) -> tuple[dict[str, Tensor], Tensor]:
        """(outputs in float64, margins of the rows' decisions)."""
        twin = self._loaded.twin("reference", moe_eval=FLOAT32_RUN).eval()
        rounded = copy.deepcopy(twin).float()
        exact = copy.deepcopy(rounded).double()
        (truth, decisions), (_, in_float32) = (observe(n, self._entry.batch) for n in (exact, rounded))
        return truth, decision_margins(decisions, in_float32, exact.config, n_rows(self._entry.batch))


def _rounding(
    entry: Recording, network: Network, reference: _ReferenceRounding, notes: list[str]
) -> list[Measurement]:
    """Both float32 results against the float64 reference: ours may be off twice as far as the legacy's."""
    twin = network.twin(network.compute, moe_eval=FLOAT32_RUN)
    truth, margins = reference.found
    title = f"{entry.title}, {FLOAT32_RUN}, {network.implementation}"
    (held,) = torch.where(margins > 1)
    if len(held) < len(margins):
        notes.append(f"{title}: float32 of {len(margins) - len(held)} rows with a decision within rounding")
    found = outputs(copy.deepcopy(twin).float().eval(), entry.batch)
    measurements = []
    for name in found:
        captured = entry.output("f32", f"{FLOAT32_RUN}/{name}")
        if captured is not None and len(held):
            measurements += compare_rounding(
                f"{title}, {name} in float32", found[name][held], captured[held], truth[name][held]
            )
    return measurements


def _float32_alone(entry: Recording, network: Network, run: str) -> list[Measurement]:
    """A run that was captured in float32 only: both float32 results may be off, each by its own rounding.

    How far rounding takes the reference is measured with the same weights and rows, but without random draws,
    which differ from one precision to the other.
    """
    calm = "all" if run == "random" else run
    reference = _set_run(network.twin("reference"), calm)
    truth, rounded = (
        outputs(n, entry.batch) for n in (reference, _set_run(copy.deepcopy(reference).float(), calm))
    )
    shipped = _set_run(copy.deepcopy(network).float(), run)
    if run == "random":
        torch.manual_seed(entry.meta["random_seed"])
    found = outputs(shipped, entry.batch)
    measurements = []
    for name, x in found.items():
        captured = entry.output("f32", f"{run}/{name}")
        if captured is not None:
            level = (rounded[name].double() - truth[name]).abs().max()
            floor = tolerance.ROUNDING_FLOOR_ULP * tolerance.unit(torch.float32) * truth[name].abs().max()
            ratio = (x.double() - captured).abs().max() / (2 * torch.maximum(level, floor))
            title = f"{entry.title}, {run}, {network.implementation}, {name}, float32 alone"
            measurements.append(
                at_most(f"{title}: difference / two roundings", ratio.item(), tolerance.ROUNDING_FACTOR)
            )
    return measurements


def _training_network(entry: Recording, network: Network) -> Network:
    policy = "random" if entry.meta.get("random_seed") is not None else "all"
    # Deterministic evaluation must not reach into training: the captured training knows no such thing.
    training = for_training(network.twin(network.compute, moe_eval="deterministic"), policy)
    set_apart(training, 0.0)  # the legacy's draws are not recorded: nothing is dropped
    return training


def _gradients(entry: Recording, network: Network) -> list[Measurement]:
    """Gradient of every parameter; the loss is cross entropy, summed."""
    network = _training_network(entry, network)
    batch = as_dtype(entry.batch, torch.float64)
    if entry.meta.get("random_seed") is not None:
        torch.manual_seed(entry.meta["random_seed"])
    logits, _ = network(batch)
    loss = functional.cross_entropy(logits, batch[LABEL], reduction="sum")
    named = {name: p for name, p in network.named_parameters() if p.requires_grad}
    gradients = dict(
        zip(named, torch.autograd.grad(loss, list(named.values()), allow_unused=True), strict=True)
    )
    title = f"{entry.title}, training, {network.implementation}"
    prefix = "out/f64/train/grad/"
    captured = [name.removeprefix(prefix) for name in entry.arrays if name.startswith(prefix)]
    wrong = [name for name in captured if gradients.get(name) is None]
    wrong += [name for name, g in gradients.items() if g is not None and name not in captured]
    gaps = []
    for name in captured:
        gradient, expected = gradients.get(name), entry.output("f64", f"train/grad/{name}")
        if gradient is not None and expected is not None:
            gaps.append((difference(gradient, expected).used, name))
    worst, where = max(gaps, default=(0.0, ""))
    measurements = [
        at_most(f"{title}: parameters with a gradient here or there only", len(wrong), 0, str(wrong[:3])),
        at_most(f"{title}: gradients, share of the allowed difference", worst, 1.0, where),
        at_least(f"{title}: gradients compared", len(gaps), 1),
    ]
    for name, x in (("logits", logits), ("loss", loss)):
        expected = entry.output("f64", f"train/{name}")
        if expected is not None:
            measurements.append(_promise(f"{title}, {name}", x.detach(), expected))
    return measurements


def _steps(entry: Recording, network: Network) -> list[Measurement]:
    """Adam steps (rate 1e-3, mean cross entropy): the loss before each, the evaluation after all."""
    network = _training_network(entry, network)
    batch = as_dtype(entry.batch, torch.float64)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=1e-3)
    losses = []
    for _ in range(entry.meta["steps"]):
        optimizer.zero_grad()
        loss = functional.cross_entropy(network(batch)[0], batch[LABEL])
        losses.append(loss.detach())
        loss.backward()
        optimizer.step()
    logits = outputs(_set_run(network, "all"), entry.batch)["logits"]
    title = f"{entry.title}, {len(losses)} training steps, {network.implementation}"
    pairs = (("loss", torch.stack(losses)), ("logits", logits))
    captured = [(name, x, entry.output("f64", f"steps/{name}")) for name, x in pairs]
    return [_promise(f"{title}, {name}", x, y) for name, x, y in captured if y is not None]


def _losses(entry: Recording) -> list[Measurement]:
    """Value and gradient of every captured loss call."""
    gaps = []
    for case in entry.meta["cases"]:
        name, parameters, call = parse_loss_call(case["call"])
        logits = torch.from_numpy(entry.arrays[f"in/{case['inputs']}/logits"]).double().requires_grad_()
        target = torch.from_numpy(entry.arrays[f"in/{case['inputs']}/target"])
        target = target.double() if target.is_floating_point() else target
        value = create_loss_function(name, **parameters)(logits, target, **call)
        (gradient,) = torch.autograd.grad(value.sum(), logits)
        for what, x in (("value", value.detach()), ("grad", gradient)):
            expected = entry.output("f64", f"{case['index']}/{what}")
            if expected is None or x.shape != expected.shape:
                gaps.append((torch.inf, f"{case['call']}, {what}"))
            else:
                gaps.append((difference(x, expected).used, f"{case['call']}, {what}"))
    worst, where = max(gaps, default=(0.0, ""))
    return [
        at_most(f"{entry.title}: share of the allowed difference", worst, 1.0, where),
        at_least(f"{entry.title}: loss values and gradients compared", len(gaps), 1),
    ]


def parse_loss_call(text: str) -> tuple[str, dict[str, Any], dict[str, int]]:
    """`Name a=1 b=mean epoch=3 note` → name, constructor arguments, call arguments."""
    name, *words = text.split()
    literals = {"True": True, "False": False, "mean": "mean", "sum": "sum", "none": "none"}
    parameters: dict[str, Any] = {}
    for word in words:
        key, separator, value = word.partition("=")
        if separator:
            parameters[key] = literals[value] if value in literals else float(value)
    call = {"epoch": int(parameters.pop("epoch"))} if "epoch" in parameters else {}
    return name, parameters, call
