"""Check 2, block by block: the float32 blocks on the float64 reference's own inputs.

The outputs of the whole network do not show every fault. The rounding of an ill-conditioned network can be
larger than a fault in its head, and rows with a tie are not compared as a whole.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tsa_model.batch import rows_of
from tsa_model.equivalence import tolerance
from tsa_model.equivalence.evidence.calls import LEAVES, Call, calls_of, replay
from tsa_model.equivalence.evidence.observations import Evidence
from tsa_model.equivalence.evidence.ties import other_choice, tied_tokens
from tsa_model.equivalence.results import Measurement, at_most
from tsa_model.network.blocks import MixtureOfExperts

N_RISKY = 16
"""Most rows with a decision in a tie that are compared."""


def compare_blocks(evidence: Evidence) -> list[Measurement]:
    """Largest float32 error of a block, beside the reference's own.

    The heads are compared on the traced rows, the innermost blocks on rows not compared free-running.
    For other rows free-running is the fairer comparison: a time factor of e^10 can make the rounding of one
    attention block large by chance, and the layer normalisations behind it take most of that away.
    """
    heads = [call for call in evidence.calls if call.is_head]
    measurements = _compare("heads", evidence, heads, evidence.traced_rows)
    (risky,) = torch.where(evidence.at_risk)
    risky = risky[:N_RISKY]
    if len(risky):
        calls, _ = calls_of(evidence.networks.reference64, rows_of(evidence.sample.batch, risky))
        calls = [call for call in calls if call.is_head or isinstance(call.block, LEAVES)]
        measurements += _compare("rows not compared free-running", evidence, calls, risky)
    return measurements


def _compare(title: str, evidence: Evidence, calls: list[Call], rows: Tensor) -> list[Measurement]:
    """Real rows and edge cases apart: an extreme amount's rounding would cover an ordinary row's error."""
    networks = evidence.networks
    shares: dict[str, list[tuple[float, str]]] = {"real rows": [], "edge cases": []}
    pairs = zip(replay(calls, networks.shipped), replay(calls, networks.reference), strict=True)
    for (call, found), (_, own) in pairs:
        truth = call.rows_first(call.output).abs().flatten(1).amax(1)
        error, own_error = _row_errors(call, found), _row_errors(call, own)
        is_real = rows[call.rows] < evidence.sample.n_real
        for group, held in (("real rows", is_real), ("edge cases", ~is_real)):
            if held.any():
                floor = tolerance.ROUNDING_FLOOR_ULP * tolerance.unit(torch.float32) * truth[held].max()
                allowed = tolerance.BLOCK_ROUNDING_FACTOR * torch.maximum(own_error[held].max(), floor)
                worst = error[held].max()
                shares[group].append(((worst / allowed).item() if allowed else float(worst > 0), call.name))
    return [
        at_most(f"{title}, {group}, block by block: largest share of the allowed error", share, 1.0, name)
        for group, found in shares.items()
        for share, name in [max(found, default=(0.0, ""))]
        if found
    ]


def _row_errors(call: Call, x: Tensor) -> Tensor:
    """Largest error of each row of one block's output; a token in a tie may have gone to either expert."""
    error = (x.double() - call.output).abs()
    if isinstance(call.block, MixtureOfExperts):
        tied_GN = tied_tokens(call.block, call.args[0], torch.float32)
        if tied_GN.any():
            other = other_choice(call.block, call.args[0][tied_GN])
            error[tied_GN] = torch.minimum(
                error[tied_GN].amax(-1), (x[tied_GN].double() - other).abs().amax(-1)
            )[:, None]
    return call.rows_first(error).flatten(1).amax(1).nan_to_num(torch.inf)
