"""Pictures of a scored period, as PNG bytes; matplotlib without its global state."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tsa_model.calibration.counts import share_at_least, share_at_most
from tsa_model.evaluation.metrics import Ranking, auc, average_precision, reliability_bins
from tsa_model.pages.panels import dress, panels, png

BLUE, ORANGE, GREY, GREEN = "#1f5fa8", "#d1601f", "#8a8f98", "#2b7a4b"
PERIOD_COLOURS = {"test": BLUE, "vali": GREY, "cali": GREEN}
MAX_CURVE_POINTS = 1000


def curves(periods: dict[str, tuple[ArrayLike, ArrayLike]]) -> bytes:
    """ROC and precision-recall curves.

    Args:
        periods: name → (score, label); a period with one class only is left out.
    """
    figure, (roc, pr) = panels(2)
    roc.plot([0, 1], [0, 1], color="#c8ccd2", linewidth=1, linestyle=(0, (4, 3)))
    for name, (score, label) in periods.items():
        labels = np.asarray(label)
        if labels.min() == labels.max():
            continue
        fraud, genuine = Ranking(score, label).counts()
        kept = thinned(fraud.size)
        found, alarmed = fraud / fraud[-1], genuine / genuine[-1]
        colour = PERIOD_COLOURS.get(name, GREEN)
        style = {"color": colour, "linewidth": 2 if name == "test" else 1.4}
        roc.plot(
            np.append(0, alarmed[kept]),
            np.append(0, found[kept]),
            label=f"{name}  AUC {auc(fraud, genuine):.4f}",
            **style,
        )
        precision = fraud / (fraud + genuine)
        pr.plot(
            found[kept], precision[kept], label=f"{name}  AP {average_precision(fraud, genuine):.4f}", **style
        )
        pr.axhline(labels.mean(), color=colour, linewidth=0.8, linestyle=(0, (4, 3)))
    dress(roc, "ROC", "share of genuine orders alerted", "share of frauds found (recall)")
    dress(pr, "Precision and recall", "share of frauds found (recall)", "share of alerts that are fraud")
    for axes, place in ((roc, "lower right"), (pr, "upper right")):
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(frameon=False, loc=place)
    return png(figure)


def score_distribution(score: ArrayLike, label: ArrayLike) -> bytes:
    """How raw scores are distributed among genuine orders and frauds; counts on a logarithmic axis."""
    scores, labels = np.asarray(score), np.asarray(label)
    figure, (counts, cumulative) = panels(2)
    bins = np.linspace(0, max(float(scores.max()), 1e-6), 61)
    for value, name, colour in ((0, "genuine", BLUE), (1, "fraud", ORANGE)):
        part = scores[labels == value]
        if not part.size:
            continue
        counts.hist(part, bins=bins, color=colour, alpha=0.55, label=f"{name} ({part.size:,})")
        ordered = np.sort(part)[thinned(part.size)]
        cumulative.step(ordered, np.linspace(0, 1, ordered.size), color=colour, linewidth=2, label=name)
    counts.set_yscale("log")
    dress(counts, "Scores by class", "raw score", "orders")
    dress(cumulative, "Cumulative", "raw score", "share of the class at or below")
    counts.legend(frameon=False)
    cumulative.legend(frameon=False, loc="lower right")
    return png(figure)


def reliability(curves_by_name: dict[str, ArrayLike], label: ArrayLike) -> bytes:
    """Reliability diagram: predicted probability against the share of fraud, in equally full bins.

    Args:
        curves_by_name: name → [N] probabilities ("raw score", "calibrated").
        label: [N] 0 or 1.
    """
    from matplotlib.ticker import NullFormatter

    figure, (linear, log) = panels(2)
    top = 0.0
    lowest = 1.0
    for (name, probability), colour in zip(curves_by_name.items(), (GREY, GREEN, BLUE), strict=False):
        bins = reliability_bins(probability, label)
        predicted, observed = bins["predicted"], bins["observed"]
        frauds = np.rint(observed * bins["count"])
        # Exact intervals: a bin without fraud has one, too, and on the logarithmic axis it is all one sees.
        least = share_at_least(frauds, bins["count"], 0.975)
        most = share_at_most(frauds, bins["count"], 0.975)
        error = np.stack([observed - least, most - observed]).clip(0.0)
        for axes in (linear, log):
            axes.errorbar(
                predicted, observed, yerr=error, color=colour, linewidth=1.5, marker="o", markersize=4,
                elinewidth=0.8, label=name,
            )  # fmt: skip
        top = max(top, float(predicted.max()), float(observed.max()))
        positive = predicted[predicted > 0]
        lowest = min(lowest, float(positive.min(initial=1.0)))
    line = np.array([max(lowest / 2, 1e-6), max(top * 1.05, 1e-3)])
    for axes in (linear, log):
        axes.plot(line, line, color="#c8ccd2", linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    linear.set(xlim=(0, line[1]), ylim=(0, line[1]))
    log.set(xscale="log", yscale="log", xlim=line, ylim=line)
    for axis in (log.xaxis, log.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    for axes, title in ((linear, "Reliability"), (log, "Reliability, logarithmic")):
        dress(axes, title, "predicted probability", "share that was fraud (95 % interval)")
    linear.legend(frameon=False, loc="upper left")
    return png(figure)


def gate_scores(gate: ArrayLike, card_orders: ArrayLike, label: ArrayLike, threshold: float) -> bytes:
    """How much weight the card's history gets: its distribution by class, and by history length.

    Args:
        gate: [N, 2] gate scores (customer, card).
        card_orders: [N] orders in the card's history, the current one included.
        label: [N] 0 or 1.
        threshold: gates at or below it skip the card's history.
    """
    card = np.asarray(gate)[:, 1]
    lengths, labels = np.asarray(card_orders), np.asarray(label)
    figure, (distribution, by_length) = panels(2)
    bins = np.linspace(0, 1, 51)
    for value, name, colour in ((0, "genuine", BLUE), (1, "fraud", ORANGE)):
        part = card[(labels == value) & (lengths > 1)]
        if part.size:
            weights = np.full(part.size, 1 / part.size)
            distribution.hist(part, bins=bins, weights=weights, color=colour, alpha=0.55, label=name)
    distribution.axvline(threshold, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    dress(distribution, "Card gate, orders with a card history", "weight of the card's history", "share")
    if distribution.get_legend_handles_labels()[0]:
        distribution.legend(frameon=False)
    edges = [1, 2, 3, 5, 9, 17, 33, max(int(lengths.max(initial=1)) + 1, 34)]
    names, groups = [], []
    for first, end in itertools.pairwise(edges):
        part = card[(lengths >= first) & (lengths < end)]
        if part.size:
            groups.append(part)
            names.append(f"{first - 1}" if end == first + 1 else f"{first - 1}-{end - 2}")
    if groups:
        by_length.boxplot(
            groups, tick_labels=names, showfliers=False, patch_artist=True, widths=0.6,
            boxprops={"facecolor": "#dbe7f4", "edgecolor": BLUE}, medianprops={"color": ORANGE},
            whiskerprops={"color": BLUE}, capprops={"color": BLUE},
        )  # fmt: skip
    by_length.set_ylim(-0.02, 1.02)
    dress(
        by_length, "Card gate by history length", "earlier orders of the card", "weight of the card's history"
    )
    return png(figure)


def thinned(size: int) -> NDArray[np.intp]:
    """Places of at most `MAX_CURVE_POINTS` of `size` points, the first and the last among them."""
    return np.unique(np.linspace(0, size - 1, min(size, MAX_CURVE_POINTS)).astype(np.intp))
