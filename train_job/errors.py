"""How training on a cluster fails."""

from __future__ import annotations


class TrainJobError(RuntimeError):
    """The TrainJob did not give a model; nothing more will come of it."""


class UnavailableError(RuntimeError):
    """The Kubernetes API gave no answer this time; it may the next."""
