"""Monitoring as one step: files in, a sealed document, its page and the text for Prometheus out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tsa_model import progress
from tsa_model.files import atomic_file
from tsa_model.monitoring.documents import Monitoring
from tsa_model.monitoring.monitor import monitor
from tsa_model.monitoring.page import render_monitoring
from tsa_model.monitoring.prometheus import prometheus_text
from tsa_model.sealed import write_sealed
from tsa_model.sealed_pages import write_page
from tsa_model.settings.run import RunConfig
from tsa_model.signing import require_key


def monitor_scores(
    reference: str | Path,
    scores: Sequence[str | Path],
    run: RunConfig,
    document_path: str | Path,
    report_path: str | Path,
    prometheus_path: str | Path | None = None,
    events: Any = None,
    history: Any = None,
    labels: Any = None,
    as_of: datetime | None = None,
) -> dict[str, Any]:
    """Judge scored orders and write what was found.

    Args:
        reference: the scores folder of the run that made the model.
        scores: score folders, Parquet files with scores, decision logs, or folders of these.
        run: the run description; its `monitoring` section has the levels.
        document_path: JSON to write; `Monitoring.load` reads it.
        report_path: the page to write.
        prometheus_path: the text for Prometheus; None = none.
        events: raw orders of these days; None = without.
        history: the orders before them.
        labels: a file with order ids and labels.
        as_of: the moment of knowledge, UTC; None = the newest order's time.

    Returns:
        Metrics of the stage.

    Raises:
        ValueError: the files do not fit each other.
    """
    require_key(run.signing)

    def show(done: int, total: int) -> None:
        progress.report(done, total, "day")

    found = monitor(reference, scores, run.monitoring, document_path, events, history, labels, as_of, show)
    write_sealed(document_path, found)
    write_page(report_path, render_monitoring(found), found.sha256)
    if prometheus_path is not None:
        with atomic_file(prometheus_path) as temporary:
            temporary.write_text(prometheus_text(found), encoding="utf-8")
    return metrics_of(found)


def metrics_of(found: Monitoring) -> dict[str, Any]:
    """What a run shows of a document."""
    orders = sum(day.orders for day in found.days)
    reason = f": {found.reasons[0].partition(';')[0]}" if found.reasons else ""
    return {
        "key_figure": f"{found.level}, {len(found.days)} days, {orders:,} orders{reason}",
        "level": found.level,
        "orders": orders,
        "days": len(found.days),
        "alarms": len(found.alarms),
    }
