"""What the networks computed on the sample, each forward pass once, for all checks to share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from tsa_model.equivalence.blocks import Call, calls_of
from tsa_model.equivalence.networks import REFERENCE_ROWS, Batch, Networks, outputs, rows_of, traced
from tsa_model.equivalence.probe import with_probe_weights
from tsa_model.equivalence.sample import Sample
from tsa_model.equivalence.ties import rows_at_risk

TRACED_ROWS = 48
"""Rows whose layers are compared too, the edge cases first."""


@dataclass(frozen=True)
class Evidence:
    """The networks, the sample, and lazily what comes of them."""

    networks: Networks
    sample: Sample

    def with_probe_weights(self, seed: int) -> Evidence:
        """The same comparison on random weights and the traced rows alone."""
        probe = with_probe_weights(self.networks.shipped, seed)
        return Evidence(Networks.of(probe), self.sample.part(self.traced_rows))

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
        return torch.cat([torch.linspace(0, self.sample.n_real - 1, n_real).round().long(), edges])

    @cached_property
    def traced_batch(self) -> Batch:
        """The batch of `traced_rows`."""
        return rows_of(self.sample.batch, self.traced_rows)

    @cached_property
    def layers(self) -> dict[str, Tensor]:
        """Traced tensors of the float64 reference on `traced_rows`."""
        return traced(self.networks.reference64, self.traced_batch, REFERENCE_ROWS)

    @cached_property
    def calls(self) -> list[Call]:
        """What went into and came out of the float64 reference's blocks on `traced_rows`."""
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
        """The same evidence for another shipped network; what the reference computed is kept."""
        other = replace(self, networks=networks)
        for name in ("truth", "rounded", "at_risk", "traced_rows", "traced_batch", "layers", "calls"):
            other.__dict__[name] = getattr(self, name)
        return other
