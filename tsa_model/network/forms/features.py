"""Feature aggregations other than the production one, and pairwise interactions (TSA spec, section 11)."""

from __future__ import annotations

from torch import Tensor, nn


class FeatureAggregationReLU(nn.Module):
    """[..., D, F] → [..., D, 1]: widths halve down to 1, ReLU after each, then Linear(1, 1).

    Args:
        n_features: F.
    """

    def __init__(self, n_features: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = n_features
        while width > 1:
            layers += [nn.Linear(width, width // 2), nn.ReLU()]
            width //= 2
        self.encoder = nn.Sequential(*layers, nn.Linear(1, 1))

    def forward(self, x_DF: Tensor) -> Tensor:
        """Aggregate the last axis."""
        return self.encoder(x_DF)


class FeatureAggregationLinear(nn.Module):
    """[..., D, F] → [..., D, 1]: one weight per feature and a bias.

    Args:
        n_features: F.
    """

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(n_features, 1)

    def forward(self, x_DF: Tensor) -> Tensor:
        """Aggregate the last axis."""
        return self.encoder(x_DF)


def compute_fm_parallel(v_FD: Tensor) -> Tensor:
    """Second-order term of a factorisation machine: the sum of v_i·v_j over all pairs of features i < j.

    Computed as ((Σ v)² - Σ v²) / 2 per coordinate, in time linear in the features.

    Args:
        v_FD: float [..., F, D], embedding of each feature.

    Returns:
        float [..., D].
    """
    return 0.5 * (v_FD.sum(dim=-2).square() - v_FD.square().sum(dim=-2))
