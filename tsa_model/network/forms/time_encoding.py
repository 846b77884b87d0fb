"""Time encoders: a time in seconds becomes a vector that is added to the order token (TSA spec, section 11).

All map [B, L, 1] → [L, B, dim], the layout of the order tokens.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class PeriodicTimeEncoding(nn.Module):
    """First coordinate w·t + b, every other sin(w·t + b).

    Args:
        time_dim: width of the encoding.
    """

    def __init__(self, time_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(time_dim, 1))
        # The name is the legacy's: checkpoints carry the bias under it.
        self.emb_tbl_bias = nn.Parameter(torch.empty(time_dim))
        # One input, so Kaiming's bound for weight and bias alike is 1 (as in nn.Linear).
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        nn.init.uniform_(self.emb_tbl_bias, -1.0, 1.0)

    def forward(self, t_BL1: Tensor) -> Tensor:
        """Encode times [B, L, 1] in seconds as [L, B, time_dim]."""
        linear_LBE = functional.linear(t_BL1.transpose(0, 1), self.weight, self.emb_tbl_bias)
        return torch.cat([linear_LBE[..., :1], torch.sin(linear_LBE[..., 1:])], dim=-1)


TimeEncode = PeriodicTimeEncoding
"""The legacy's name."""


class TimeEncoder(nn.Module):
    """`PeriodicTimeEncoding` whose linear and periodic coordinates are two linear layers.

    Args:
        time_dim: width of the encoding, at least 2.
    """

    def __init__(self, time_dim: int) -> None:
        super().__init__()
        if time_dim < 2:
            raise ValueError(f"time_dim={time_dim}: one linear and at least one periodic coordinate need 2")
        self.periodic = nn.Linear(1, time_dim - 1)
        self.linear = nn.Linear(1, 1)

    def forward(self, t_BL1: Tensor) -> Tensor:
        """Encode times [B, L, 1] in seconds as [L, B, time_dim]."""
        t_LB1 = t_BL1.transpose(0, 1)
        return torch.cat([self.linear(t_LB1), torch.sin(self.periodic(t_LB1))], dim=-1)


class CosineTimeEncoding(nn.Module):
    """cos(t·f + φ) with learned frequencies f, from 1 to 10^-9 per second at first, and phases φ, 0 at first.

    Args:
        dim: width of the encoding.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.frequency = nn.Parameter(10.0 ** -torch.linspace(0, 9, dim))
        self.phase = nn.Parameter(torch.zeros(dim))

    def forward(self, t_BL1: Tensor) -> Tensor:
        """Encode times [B, L, 1] in seconds as [L, B, dim]."""
        return torch.cos(t_BL1.transpose(0, 1) * self.frequency + self.phase)
