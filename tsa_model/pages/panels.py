"""Pictures of several panels as PNG bytes; matplotlib without its global state."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def panels(n_panels: int) -> tuple[Figure, Any]:
    """A figure of panels side by side, and its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * n_panels, 4.1), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, n_panels)


def dress(axes: Axes, title: str, x_label: str, y_label: str) -> None:
    """Give a panel its title, its axes' names and a light grid."""
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel(x_label, fontsize=9)
    axes.set_ylabel(y_label, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(color="#eceef1", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes, the same for the same figure."""
    stream = io.BytesIO()
    lay_out(figure)
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def lay_out(figure: Figure) -> None:
    """Place the axes of a figure whose canvas is the one it is saved with, and leave them there.

    Matplotlib would place them while it draws the whole figure once for nothing; what is saved is the same.
    """
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)
