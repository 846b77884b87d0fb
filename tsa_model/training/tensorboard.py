"""Entries of TensorBoard beside the numbers: curves, score distributions, gate histograms."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from tsa_model.evaluation import plots


def draw_evaluation(
    loggers: Iterable[Any], stage: str, step: int, labels: NDArray[np.int64], scores: NDArray[np.float64]
) -> None:
    """Draw curves and score distributions of a two-class evaluation where a logger can show them.

    Args:
        loggers: the trainer's; others than TensorBoard's are passed over.
        stage: prefix of the names, "val" or "test".
        step: optimiser step.
        labels: 0 or 1, [N].
        scores: probability of class 1, [N].
    """
    for logger in _tensorboards(loggers):
        logger.experiment.add_pr_curve(f"{stage}/precision_recall", labels, scores, step)
        pictures = {
            "curves": plots.curves({stage: (scores, labels)}),
            "scores": plots.score_distribution(scores, labels),
        }
        for name, png in pictures.items():
            logger.experiment.add_image(f"{stage}/{name}", _pixels(png), step, dataformats="HWC")


def draw_gate(loggers: Iterable[Any], stage: str, step: int, card_gate: Tensor) -> None:
    """Histogram of the weight of the card's history, [N] in [0, 1]."""
    for logger in _tensorboards(loggers):
        logger.experiment.add_histogram(f"{stage}/gate_ccid", card_gate, step)


def _tensorboards(loggers: Iterable[Any]) -> list[TensorBoardLogger]:
    return [logger for logger in loggers if isinstance(logger, TensorBoardLogger)]


def _pixels(png: bytes) -> NDArray[np.float32]:
    from matplotlib.image import imread

    return imread(io.BytesIO(png), format="png")[..., :3]
