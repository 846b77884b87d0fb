"""The configured loss as one function of (logits, labels, epoch)."""

from __future__ import annotations

from torch import Tensor, nn

from tsa_model.losses import AsymmetricLoss, compute_loss, create_loss_function
from tsa_model.settings.training import TrainConfig


class Objective(nn.Module):
    """Loss of a batch, a mean over its rows unless the loss's own `reduction` says `sum`.

    Args:
        config: `loss`, `loss_parameters`; a cyclical loss runs over `max_epochs` unless told otherwise.
    """

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        parameters = dict(config.loss_parameters)
        if config.loss == "CyclicalFocalLoss":
            parameters.setdefault("epochs", config.max_epochs)
        self.loss = create_loss_function(config.loss, **parameters)

    def forward(self, logits: Tensor, labels: Tensor, epoch: int = 0) -> Tensor:
        """Loss of logits [B, C] against class numbers int64 [B]; a scalar."""
        loss = compute_loss(self.loss, logits, labels, epoch)
        if isinstance(self.loss, AsymmetricLoss):  # it has no reduction of its own and always sums
            return loss / len(labels)
        return loss.mean()  # of a reduction `none`; anything else is a scalar already
