"""What monitoring found in Prometheus' text form, for the node exporter's folder or a push gateway."""

from __future__ import annotations

from tsa_model.monitoring.documents import LEVELS, Monitoring

MOST_KNOWN = ("average_precision", "auc", "recall", "precision", "recall_at_rate", "calibration")


def prometheus_text(found: Monitoring) -> str:
    """Levels and figures of the newest day and the newest labelled week.

    Args:
        found: what monitoring found.

    Returns:
        Lines of `name{labels} value`, with help and type; levels are 0 = fine, 1 = look, 2 = act.
    """
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()
    names = {"dataset": found.dataset, "model": found.model_digest[:12]}

    def gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(f"tsa_monitor_{name}", text, (*names, *labels), registry=registry)

    gauge("level", "0 = fine, 1 = look, 2 = act").labels(**names).set(LEVELS.index(found.level))
    gauge("as_of_seconds", "Moment of knowledge").labels(**names).set(found.as_of.timestamp())
    newest = found.days[-1]
    gauge("orders", "Scored orders of the newest day").labels(**names).set(newest.orders)
    level = gauge("signal_level", "Level of a signal on the newest day", ("signal",))
    value = gauge("signal_value", "Value of a signal on the newest day", ("signal",))
    for one in newest.signals:
        level.labels(**names, signal=one.title).set(LEVELS.index(one.level))
        value.labels(**names, signal=one.title).set(one.value)
    kinds = {
        "realised": [week for week in found.weeks if week.is_labelled][-1:],
        "estimated": found.weeks[-1:],
    }
    figure = gauge(
        "figure", "Figure of the newest labelled week, or of the newest one", ("figure", "kind", "bound")
    )
    for kind, weeks in kinds.items():
        for week in weeks:
            held = week.realised if kind == "realised" else week.estimated
            for name in MOST_KNOWN:
                if name in held:
                    for bound in ("value", "low", "high"):
                        series = figure.labels(**names, figure=name, kind=kind, bound=bound)
                        series.set(getattr(held[name], bound))
    return generate_latest(registry).decode()
