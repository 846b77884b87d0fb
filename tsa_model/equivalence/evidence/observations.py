"""What the networks computed on the sample, each forward pass once, for all checks to share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from tsa_model.batch import Batch, rows_of
from tsa_model.equivalence.evidence.calls import Call, calls_of
from tsa_model.equivalence.evidence.effort import Effort
from tsa_model.equivalence.evidence.networks import Networks, outputs, traced
from tsa_model.equivalence.evidence.probe import with_probe_weights
from tsa_model.equivalence.evidence.sample import Sample
from tsa_model.equivalence.evidence.ties import Decisions, decision_margins, observe


@dataclass(frozen=True)
class Evidence:
    """The networks, the sample, and lazily what comes of them."""

    networks: Networks
    sample: Sample
    effort: Effort

    def with_probe_weights(self, seed: int) -> Evidence:
        """The same comparison on random weights and the traced rows alone."""
        probe = with_probe_weights(self.networks.shipped, seed)
        return Evidence(Networks.of(probe), self.sample.part(self.traced_rows), self.effort)

    @cached_property
    def _observed64(self) -> tuple[dict[str, Tensor], Decisions]:
        return observe(self.networks.reference64, self.sample.batch)

    @cached_property
    def _observed32(self) -> tuple[dict[str, Tensor], Decisions]:
        return observe(self.networks.reference, self.sample.batch)

    @cached_property
    def truth(self) -> dict[str, Tensor]:
        """Outputs of the float64 reference."""
        return self._observed64[0]

    @cached_property
    def rounded(self) -> dict[str, Tensor]:
        """Outputs of the float32 reference."""
        return self._observed32[0]

    @cached_property
    def margins(self) -> Tensor:
        """Smallest margin of a row's decisions in units of float32's rounding error, [B]."""
        truth, rounded = self._observed64[1], self._observed32[1]
        return decision_margins(truth, rounded, self.networks.shipped.config, len(self.sample))

    @property
    def at_risk(self) -> Tensor:
        """Rows with a decision that float32 rounding can turn, bool [B]."""
        return self.margins <= 1

    @cached_property
    def traced_rows(self) -> Tensor:
        """Row numbers whose layers are looked at: every edge case, then real rows, evenly spaced."""
        edges = torch.arange(self.sample.n_real, len(self.sample))
        n_real = max(1, min(self.sample.n_real, self.effort.traced_rows - len(edges)))
        return torch.cat([torch.linspace(0, self.sample.n_real - 1, n_real).round().long(), edges])

    @cached_property
    def traced_batch(self) -> Batch:
        """The batch of `traced_rows`."""
        return rows_of(self.sample.batch, self.traced_rows)

    @cached_property
    def layers(self) -> dict[str, Tensor]:
        """Traced tensors of the float64 reference on `traced_rows`."""
        return self._calls_and_layers[1]

    @cached_property
    def calls(self) -> list[Call]:
        """What went into and came out of the float64 reference's blocks on `traced_rows`."""
        return self._calls_and_layers[0]

    def release(self) -> None:
        """Forget `calls`, the largest part of what is kept; they are computed again when asked for."""
        for name in ("calls", "_calls_and_layers"):
            self.__dict__.pop(name, None)

    @cached_property
    def _calls_and_layers(self) -> tuple[list[Call], dict[str, Tensor]]:
        return calls_of(self.networks.reference64, self.traced_batch)

    @cached_property
    def shipped_outputs(self) -> dict[str, Tensor]:
        """Outputs of the float64 shipped network."""
        return outputs(self.networks.shipped64, self.sample.batch)

    @cached_property
    def shipped_rounded(self) -> dict[str, Tensor]:
        """Outputs of the float32 shipped network: what production will see."""
        return outputs(self.networks.shipped, self.sample.batch)

    @cached_property
    def shipped_layers(self) -> dict[str, Tensor]:
        """Traced tensors of the float64 shipped network on `traced_rows`."""
        return traced(self.networks.shipped64, self.traced_batch)

    def against(self, networks: Networks) -> Evidence:
        """The traced rows for another shipped network; nothing the reference computed is computed again."""
        rows = self.traced_rows
        other = replace(self, networks=networks, sample=self.sample.part(rows))
        for name in ("truth", "rounded"):
            other.__dict__[name] = {key: x[rows] for key, x in getattr(self, name).items()}
        other.__dict__["margins"] = self.margins[rows]
        other.__dict__["traced_rows"] = torch.arange(len(rows))
        for name in ("traced_batch", "layers", "calls"):
            other.__dict__[name] = getattr(self, name)
        return other
