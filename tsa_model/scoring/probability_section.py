"""The report's section about calibrated probabilities: extremes, bounds, and what each bin's count allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ProbabilitySection:
    """What the section says and shows."""

    sentences: list[str]
    rows: list[tuple[str, ...]]
    """Per bin: orders, frauds, mean probability, share of fraud, and the bounds of its 95 % interval."""


def probability_section(figures: Mapping[str, Any]) -> ProbabilitySection:
    """The section.

    Args:
        figures: `metrics["probability"]` of `generate_scores`.
    """
    names = ("predicted", "observed", "low", "high")
    rows = [
        (f"{bin_['orders']:,}", f"{bin_['frauds']:,}", *(f"{bin_[name]:.3g}" for name in names))
        for bin_ in figures["bins"]
    ]
    return ProbabilitySection(_sentences(figures), rows)


def _sentences(figures: Mapping[str, Any]) -> list[str]:
    text = [
        f"They lie between {figures['smallest']:.3g} and {figures['largest']:.10g}. "
        + (
            f"{figures['zeros']:,} orders have exactly 0 and {figures['ones']:,} exactly 1, "
            "which no number of orders can justify."
            if figures["zeros"] or figures["ones"]
            else "None is exactly 0 or 1."
        )
    ]
    if "bounds" in figures:
        text.append(_bounds(figures))
    text.append(
        f"{figures['orders_without_fraud']:,} orders lie in {figures['bins_without_fraud']} bins without a "
        "fraud. The calibration error takes 0 for their share of fraud, but their count allows any share up "
        f"to the interval's end. {figures['bins_contradicted']} of {len(figures['bins'])} bins contradict "
        "their mean probability."
    )
    return text


def _bounds(figures: Mapping[str, Any]) -> str:
    bounds = figures["bounds"]
    text = (
        f"The lower bound {bounds['low']:.3g} is given to {figures['share_at_low']:.1%} of the orders, the "
        f"upper bound {bounds['high']:.10g} to {figures['share_at_high']:.1%}. "
    )
    if bounds["orders_below"] is None:
        return text + f"Rarer classes would not be seen among the {bounds['orders']:,} calibration orders."
    return text + (
        f"Of {bounds['orders']:,} calibration orders {bounds['orders_below']:,} score below every fraud and "
        f"{bounds['orders_above']:,} above every genuine order. The bounds are the one-sided "
        f"{bounds['confidence']:.0%} limits of these counts, or the curve's own value for the lowest-scored "
        "fraud and for the highest-scored genuine order where that is nearer to 0 and 1."
    )
