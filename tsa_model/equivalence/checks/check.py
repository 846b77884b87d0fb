"""A check of the gate as a value: its number, its name, the question it asks, and how it is carried out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from tsa_model.batch import Batch
from tsa_model.equivalence.evidence.effort import effort_for
from tsa_model.equivalence.evidence.networks import Networks
from tsa_model.equivalence.evidence.observations import Evidence
from tsa_model.equivalence.evidence.sample import Sample
from tsa_model.equivalence.results import CheckResult, Measurement, Plot, describe
from tsa_model.network.networks import Network
from tsa_model.settings.gate import GateConfig
from tsa_model.settings.training import TrainConfig

TRAINED = "trained weights"
PROBE = "probe weights"


@dataclass(frozen=True)
class Subject:
    """What the gate judges, and what its checks may look at."""

    evidences: dict[str, Evidence]
    """`TRAINED` and `PROBE` → evidence on the same networks with these weights."""
    stored: dict[str, Tensor] | None
    """The tensors of the model file, read independently of the network; None = there is no file."""
    training: TrainConfig
    """The loss and the optimiser the weights are trained with."""
    gate: GateConfig
    population: Batch
    """Real rows with labels on which decisions are compared."""

    @classmethod
    def of(cls, shipped: Network, sample: Sample, training: TrainConfig, probe_seed: int) -> Subject:
        """A network that lies in no file, with the sample as its population.

        Args:
            shipped: float32, in evaluation mode.
            sample: the rows to compare on.
            training: how the weights are trained.
            probe_seed: of the probe weights.
        """
        evidence = Evidence(Networks.of(shipped), sample, effort_for(shipped.config))
        evidences = {TRAINED: evidence, PROBE: evidence.with_probe_weights(probe_seed)}
        return cls(evidences, None, training, GateConfig(), sample.batch)

    @property
    def trained(self) -> Evidence:
        """Evidence on the weights that will be exported."""
        return self.evidences[TRAINED]


@dataclass(frozen=True)
class Check:
    """One check of the gate."""

    number: int
    name: str
    question: str
    """What the check asks, in words a reader without the code understands."""
    run: Callable[[Subject], CheckResult]

    def carry_out(self, subject: Subject) -> CheckResult:
        """The outcome and the seconds it took; a check that breaks has failed."""
        started = time.perf_counter()
        try:
            result = self.run(subject)
        except Exception as error:  # a network that cannot be computed is a finding for the report
            result = self.broken(error)
        return result.changed(seconds=round(time.perf_counter() - started, 3))

    def broken(self, error: Exception) -> CheckResult:
        """The outcome when the check cannot be carried out."""
        return CheckResult(
            number=self.number,
            name=self.name,
            question="Can the check be carried out?",
            passed=False,
            reason=f"{type(error).__name__}: {error}",
            measurements=[],
        )

    def conclude(
        self,
        measurements: list[Measurement],
        shown: str,
        notes: list[str] | None = None,
        plots: list[Plot] | None = None,
        blame: str = "",
    ) -> CheckResult:
        """Turn measurements into the check's outcome; without any measurement it fails.

        Args:
            measurements: all must hold.
            shown: the reason given when they do.
            notes: remarks for the reader.
            plots: charts for the report.
            blame: the reason given when they do not hold; the default lists the failed measurements.
        """
        failed = [measurement for measurement in measurements if not measurement.passed]
        if not measurements:
            reason = "nothing was compared"
        elif failed and blame:
            reason = blame
        elif failed:
            reason = "; ".join(describe(measurement) for measurement in failed[:3])
            if len(failed) > 3:
                reason += f"; and {len(failed) - 3} more"
        else:
            reason = shown
        return CheckResult(
            number=self.number,
            name=self.name,
            question=self.question,
            passed=bool(measurements) and not failed,
            reason=reason,
            measurements=measurements,
            notes=notes or [],
            plots=plots or [],
        )
