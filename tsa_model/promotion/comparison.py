"""What a comparison found: plain values that are written as JSON and read back before a promotion."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import computed_field

from tsa_model.files import sha256
from tsa_model.sealed import Signed, read_sealed, write_sealed
from tsa_model.settings import Settings

if TYPE_CHECKING:
    from tsa_model.scoring.model import ScoringModel


class ModelIdentity(Settings):
    """Which model it was."""

    digest: str
    """SHA-256 of the folder's `onnx.json`, which holds the digest of every other file."""
    onnx_sha256: str
    weights_sha256: str
    verdict_id: str

    @classmethod
    def of(cls, model: ScoringModel) -> ModelIdentity:
        """The identity of an opened model folder."""
        from tsa_model.export.file_names import DESCRIPTION_FILE

        about = model.description
        return cls(
            digest=sha256(model.directory / DESCRIPTION_FILE),
            onnx_sha256=about.onnx_sha256,
            weights_sha256=about.weights_sha256,
            verdict_id=about.verdict_id,
        )


class PairedDifference(Settings):
    """One figure of both models on the same orders."""

    challenger: float
    champion: float
    difference: float
    """challenger minus champion."""
    low: float
    """Bounds of the paired bootstrap interval of the difference."""
    high: float
    margin: float
    """Largest loss that is accepted: `low` must not be below minus the margin."""

    @property
    def passed(self) -> bool:
        """Whether the challenger is not worse by more than the margin."""
        return self.low >= -self.margin


class SliceFigure(Settings):
    """One figure of both models in one group of orders."""

    challenger: float
    champion: float
    difference: float
    """challenger minus champion."""
    low: float
    """Bounds that hold for all groups and figures at once."""
    high: float
    margin: float
    """Largest loss that is accepted, however sure it is."""

    @property
    def passed(self) -> bool:
        """Whether the challenger did not lose more than the margin, or did so by chance."""
        return not (self.difference < -self.margin and self.high < 0)


class SliceDifference(Settings):
    """Both models in one group of orders."""

    slice: str
    group: str
    orders: int
    frauds: int
    too_small: str = ""
    """Why it was not judged, in words; empty where it was."""
    figures: dict[str, SliceFigure] = {}
    """Empty where it was not judged."""

    @property
    def title(self) -> str:
        """Slice and group in one name."""
        return f"{self.slice} {self.group}"

    @property
    def passed(self) -> bool:
        """Whether the challenger holds its own in this group; one that was not judged stops nothing."""
        return all(figure.passed for figure in self.figures.values())


class Condition(Settings):
    """One condition of a promotion."""

    name: str
    passed: bool
    reason: str


class Comparison(Signed):
    """Challenger against champion."""

    format: Literal[2] = 2
    evidence: dict[str, str] = {}
    """What the challenger's proofs were read from → its digest: verdict, results of the contracts, scores."""
    challenger: ModelIdentity
    champion: ModelIdentity | None
    """None: there was none, and the challenger needs only its own proofs."""
    period: tuple[datetime, datetime] | None = None
    """The compared orders' window [start, end): the challenger's test period."""
    rows: int = 0
    frauds: int = 0
    figures: dict[str, PairedDifference] = {}
    slices: tuple[SliceDifference, ...] = ()
    """Every group of orders that was asked for, those too small to be judged too."""
    checks: tuple[Condition, ...]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def passed(self) -> bool:
        """Whether the challenger may be promoted: there were checks, and everything passed."""
        good = all(check.passed for check in self.checks) and all(f.passed for f in self.figures.values())
        good = good and all(group.passed for group in self.slices)
        return bool(self.checks) and good

    @property
    def failures(self) -> str:
        """What did not pass, in one line."""
        if not self.checks:
            return "the comparison holds no checks"
        failed = {check.name: check.reason for check in self.checks if not check.passed}
        for name, one in self.figures.items():
            if not one.passed:
                failed.setdefault(name, f"{one.low:+.4f} is below {-one.margin:g}")
        for group in self.slices:
            for name, part in group.figures.items():
                if not part.passed:
                    failed.setdefault(f"{group.title}: {name}", f"{part.difference:+.4f}")
        return "; ".join(f"{name}: {reason}" for name, reason in failed.items())

    def save(self, path: str | Path) -> None:
        """Write the comparison as JSON, `passed` included for readers without this code."""
        write_sealed(path, self)

    @classmethod
    def load(cls, path: str | Path) -> Comparison:
        """Read what `save` wrote.

        Raises:
            ValueError: it is missing, no comparison, or was edited.
        """
        missing = "compare challenger and champion first"
        # Whether it passed is worked out from the checks.
        return read_sealed(Path(path), cls, "a comparison", missing, besides=("passed",))
