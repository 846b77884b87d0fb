"""Prior correction: what a score means where fraud is rarer than in the downsampled training orders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsa_model.calibration.checks import checked_score
from tsa_model.calibration.documents import Document, number, read_as
from tsa_model.files import write_json


@dataclass(frozen=True)
class PriorCorrection:
    """Bayes' rule between two shares of fraud; needs no labels, and trusts the model's own probabilities.

    Args:
        sampled_prior: share of fraud among the training orders as the model saw them, in (0, 1).
        prior: share of fraud where the scores are used, in (0, 1).
    """

    sampled_prior: float
    prior: float

    def __post_init__(self) -> None:
        for name, value in (("sampled_prior", self.sampled_prior), ("prior", self.prior)):
            if not 0.0 < value < 1.0:
                raise ValueError(f"{name}={value} is not in (0, 1)")

    def probability(self, score: ArrayLike) -> NDArray[np.float64]:
        """Corrected probability of each score in [0, 1]; the order of the scores is kept."""
        scores = checked_score(score).clip(0.0, 1.0)
        fraud = scores * self.prior / self.sampled_prior
        genuine = (1.0 - scores) * (1.0 - self.prior) / (1.0 - self.sampled_prior)
        return fraud / (fraud + genuine)

    def document(self) -> dict[str, Any]:
        """Both shares, as they are written."""
        return {"method": "prior", "sampled_prior": self.sampled_prior, "prior": self.prior}

    def save(self, path: str | Path) -> None:
        """Write both shares as JSON."""
        write_json(path, self.document())

    @classmethod
    def load(cls, path: str | Path) -> PriorCorrection:
        """Read what `save` wrote."""
        return read_as(cls.of_document, path)

    @classmethod
    def of_document(cls, document: Document) -> PriorCorrection:
        """The correction of a document; raises ValueError when a share is missing or impossible."""
        return cls(number(document, "sampled_prior"), number(document, "prior"))
