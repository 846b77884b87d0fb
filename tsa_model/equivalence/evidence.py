"""What the networks computed on the sample, each forward pass once, for all checks to share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from tsa_model.equivalence.networks import REFERENCE_ROWS, Networks, outputs, rows_of, traced
from tsa_model.equivalence.sample import Sample
from tsa_model.equivalence.ties import rows_at_risk

TRACED_ROWS = 48
"""Rows whose layers are compared too, the edge cases first."""


@dataclass(frozen=True)
class Evidence:
    """The networks, the sample, and lazily what comes of them."""

    networks: Networks
    sample: Sample

    @cached_property
    def truth(self) -> dict[str, Tensor]:
        """Outputs of the float64 reference."""
        return outputs(self.networks.reference64, self.sample.batch, REFERENCE_ROWS)

    @cached_property
    def rounded(self) -> dict[str, Tensor]:
        """Outputs of the float32 reference."""
        return outputs(self.networks.reference, self.sample.batch, REFERENCE_ROWS)

    @cached_property
    def at_risk(self) -> Tensor:
        """Rows with a decision that float32 rounding can turn, bool [B]."""
        return rows_at_risk(self.networks, self.sample.batch)

    @cached_property
    def traced_rows(self) -> Tensor:
        """Row numbers whose layers are looked at: every edge case, then real rows, evenly spaced."""
        edges = torch.arange(self.sample.n_real, len(self.sample))
        n_real = max(1, min(self.sample.n_real, TRACED_ROWS - len(edges)))
        return torch.cat([edges, torch.linspace(0, self.sample.n_real - 1, n_real).round().long()])

    @cached_property
    def layers(self) -> dict[str, Tensor]:
        """Traced tensors of the float64 reference on `traced_rows`."""
        part = rows_of(self.sample.batch, self.traced_rows)
        return traced(self.networks.reference64, part, REFERENCE_ROWS)

    def against(self, networks: Networks) -> Evidence:
        """The same evidence for another shipped network; what the reference computed is kept."""
        other = replace(self, networks=networks)
        for name in ("truth", "rounded", "at_risk", "traced_rows", "layers"):
            other.__dict__[name] = getattr(self, name)
        return other
