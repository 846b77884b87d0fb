"""The percentile map: where a score lies among the calibration period's scores (TSA spec, section 14)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsa_model.calibration.checks import checked_score
from tsa_model.files import atomic_file, write_json
from tsa_model.sealed import read_json

ENTRIES = 1000


@dataclass(frozen=True)
class PercentileMap:
    """A table of 1000 scores at the quantiles 0/1000 … 999/1000."""

    scores: NDArray[np.float64]
    """[1000], non-decreasing."""

    @classmethod
    def fit(cls, score: ArrayLike) -> PercentileMap:
        """Take the quantiles of the calibration scores.

        Args:
            score: [N] raw scores, at least one.

        Raises:
            ValueError: no scores, or scores that are not finite.
        """
        scores = checked_score(score)
        if scores.size == 0:
            raise ValueError(
                "no calibration scores: the percentile map needs the calibration period's orders"
            )
        return cls(np.quantile(scores, np.arange(ENTRIES) / ENTRIES))

    @property
    def percentiles(self) -> NDArray[np.float64]:
        """The percentile of each table entry, in [0, 1)."""
        return np.arange(self.scores.size) / self.scores.size

    def percentile(self, score: ArrayLike) -> NDArray[np.float64]:
        """The percentile of the first table entry that is not below the score, in [0, 1].

        Scores ≤ 0 give 0, scores ≥ 1 and scores above the whole table give 1.
        """
        scores = checked_score(score)
        if scores.size == 1:  # the same, sooner
            value = scores.item()
            if 0.0 < value < 1.0:
                return self._steps[self.scores.searchsorted(scores, side="left")]
            return np.full(scores.shape, 0.0 if value <= 0.0 else 1.0)
        mapped = self._steps[self.scores.searchsorted(scores, side="left")]
        return np.where(scores <= 0.0, 0.0, np.where(scores >= 1.0, 1.0, mapped))

    @cached_property
    def _steps(self) -> NDArray[np.float64]:
        """The percentiles, and 1 above the whole table."""
        return np.append(self.percentiles, 1.0)

    def document(self) -> dict[str, Any]:
        """What `save` writes: a list of [score, percentile] pairs under `table`."""
        return {"table": np.stack([self.scores, self.percentiles], axis=1).tolist()}

    def save(self, path: str | Path) -> None:
        """Write the document as JSON."""
        write_json(path, self.document())

    def save_csv(self, path: str | Path) -> None:
        """Write the same table as CSV with the header `score,percentile`."""
        lines = [
            f"{score!r},{percentile!r}"
            for score, percentile in zip(self.scores.tolist(), self.percentiles.tolist(), strict=True)
        ]
        with atomic_file(path) as temporary:
            temporary.write_text("\n".join(["score,percentile", *lines]) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> PercentileMap:
        """Read what `save` wrote.

        Raises:
            ValueError: the table is not a percentile map.
        """
        pairs = read_json(Path(path), "a percentile map").get("table")
        try:
            table = np.asarray(pairs, dtype=np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{path} is not a percentile map: {error}") from None
        if table.ndim != 2 or table.shape[1] != 2 or (np.diff(table[:, 0]) < 0).any():
            raise ValueError(
                f"{path}: shape {table.shape} is not a table of sorted [score, percentile] pairs"
            )
        return cls(table[:, 0])
