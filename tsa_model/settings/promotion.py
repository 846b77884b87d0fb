"""When a new model may take the place of the one in use."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from tsa_model.settings.base import Settings


class SliceMargin(Settings):
    """Margins of one slice, or of one of its groups."""

    slice: str
    group: str | None = None
    """None = every group of the slice."""
    auc_margin: NonNegativeFloat | None = None
    """None = as for other slices."""
    average_precision_margin: NonNegativeFloat | None = None


class PromotionConfig(Settings):
    """How much worse a challenger may at most be, and how sure of it one has to be.

    The lower bound of the interval of (challenger − champion) must be at least minus the margin. With few
    frauds the interval is wide, and the champion stays.

    In a group of a slice it is the reverse: a challenger is refused where it lost more than the margin and
    the upper bound, which allows for the number of groups, is below 0.
    """

    auc_margin: NonNegativeFloat = 0.005
    """Area under the ROC curve that may be lost."""
    average_precision_margin: NonNegativeFloat = 0.02
    """Average precision that may be lost. Some 1,000 frauds cannot tell less from the luck of a seed; see
    docs/SLICES.md."""
    confidence: float = Field(default=0.95, ge=0.5, lt=1.0)
    """Share of the bootstrap distribution inside an interval."""
    resamples: int = Field(default=1000, ge=100)
    """Bootstrap samples of the compared orders."""
    seed: NonNegativeInt = 0
    hold_slices: bool = True
    """Refuse a challenger that is worse for a group of orders (`dataset.slices`)."""
    slice_auc_margin: NonNegativeFloat = 0.01
    """Area under the ROC curve that a group may lose, however sure the loss is."""
    slice_average_precision_margin: NonNegativeFloat = 0.02
    """The same of average precision."""
    slice_margins: tuple[SliceMargin, ...] = ()
    """Other margins for some slices or groups; the last that fits counts."""

    def slice_margin(self, slice_name: str, group: str, figure: str) -> float:
        """The margin of a group's figure, `auc` or `average_precision`."""
        margin: float = getattr(self, f"slice_{figure}_margin")
        for one in self.slice_margins:
            own = getattr(one, f"{figure}_margin")
            if one.slice == slice_name and one.group in (None, group) and own is not None:
                margin = own
        return margin
