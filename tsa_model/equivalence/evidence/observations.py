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
from tsa_model.network.networks import Network


class ReferenceCalls:
    """What went into and came out of the reference's blocks on some rows, until it is released.

    Args:
        reference: the network to record.
        batch: the rows.
    """

    def __init__(self, reference: Network, batch: Batch) -> None:
        self._reference, self._batch = reference, batch
        self._found: tuple[list[Call], dict[str, Tensor]] | None = None

    def found(self) -> tuple[list[Call], dict[str, Tensor]]:
        """The calls, and the traced tensors; recorded when first asked for, and again after `release`."""
        if self._found is None:
            self._found = calls_of(self._reference, self._batch)
        return self._found

    def release(self) -> None:
        """Drop the recording, to save memory."""
        self._found = None


@dataclass(frozen=True)
class Evidence:
    """The networks, the sample, and lazily what comes of them.

    Attributes:
        networks: what is compared.
        sample: on which rows.
        effort: how many rows each check gets.
        known: evidence about the same reference, whose `traced_rows` are this sample: what the reference
            computed there is not computed again.
    """

    networks: Networks
    sample: Sample
    effort: Effort
    known: Evidence | None = None

    def with_probe_weights(self, seed: int) -> Evidence:
        """The same comparison on random weights and the traced rows alone."""
        probe = with_probe_weights(self.networks.shipped, seed)
        return Evidence(Networks.of(probe), self.sample.part(self.traced_rows), self.effort)

    def in_small_pieces(self, rows: int) -> Evidence:
        """The same comparison, but the shipped float64 network cuts a batch of `rows` into some pieces."""
        return replace(self, networks=self.networks.in_small_pieces(rows))

    @cached_property
    def _observed64(self) -> tuple[dict[str, Tensor], Decisions]:
        return observe(self.networks.reference64, self.sample.batch)

    @cached_property
    def _observed32(self) -> tuple[dict[str, Tensor], Decisions]:
        return observe(self.networks.reference, self.sample.batch)

    @cached_property
    def truth(self) -> dict[str, Tensor]:
        """Outputs of the float64 reference."""
        if self.known is not None:
            return _rows_of_each(self.known.truth, self.known.traced_rows)
        return self._observed64[0]

    @cached_property
    def rounded(self) -> dict[str, Tensor]:
        """Outputs of the float32 reference."""
        if self.known is not None:
            return _rows_of_each(self.known.rounded, self.known.traced_rows)
        return self._observed32[0]

    @cached_property
    def margins(self) -> Tensor:
        """Smallest margin of a row's decisions in units of float32's rounding error, [B]."""
        if self.known is not None:
            return self.known.margins[self.known.traced_rows]
        truth, rounded = self._observed64[1], self._observed32[1]
        return decision_margins(truth, rounded, self.networks.shipped.config, len(self.sample))

    @property
    def at_risk(self) -> Tensor:
        """Rows with a decision that float32 rounding can turn, bool [B]."""
        return self.margins <= 1

    @cached_property
    def traced_rows(self) -> Tensor:
        """Row numbers whose layers are looked at: every edge case, then real rows, evenly spaced."""
        if self.known is not None:
            return torch.arange(len(self.sample))
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
        return self._recording.found()[1]

    @property
    def calls(self) -> list[Call]:
        """What went into and came out of the float64 reference's blocks on `traced_rows`."""
        return self._recording.found()[0]

    def release(self) -> None:
        """Forget `calls`, the largest part of what is kept; they are computed again when asked for."""
        self._recording.release()

    @cached_property
    def _recording(self) -> ReferenceCalls:
        if self.known is not None:
            return self.known._recording
        return ReferenceCalls(self.networks.reference64, self.traced_batch)

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
        return replace(self, networks=networks, sample=self.sample.part(self.traced_rows), known=self)


def _rows_of_each(tensors: dict[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    return {name: x[rows] for name, x in tensors.items()}
