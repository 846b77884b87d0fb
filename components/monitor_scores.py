"""Monitoring: judge scored orders of any days against the run that made their model."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def monitor_scores(
    reference: str,
    scores: str,
    events: str,
    history: str,
    labels: str,
    config: str,
    data_interval_end: str,
    monitoring: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    prometheus: dsl.Output[dsl.Artifact],
) -> None:
    """Realised and estimated figures, drift, and levels with their reasons, day by day.

    Args:
        reference: the scores folder of the run that made the model.
        scores: score folders, Parquet files with scores or decision logs, with commas between them.
        events: raw orders of these days; empty = no columns, histories, amounts and late orders.
        history: the orders before them; empty = they are among `events`.
        labels: a file with order ids and labels; empty = those of scores and events alone.
        config: run description: a shipped name, a path, or the YAML text itself.
        data_interval_end: moment of knowledge (UTC); empty = the newest order's time.
        monitoring: what was found, as JSON.
        report: the same for people, one page.
        prometheus: the newest figures in Prometheus' text form.
    """
    from contextlib import ExitStack
    from pathlib import Path

    from data_contracts.fetching import local_copy
    from tsa_model.monitoring.stage import monitor_scores
    from tsa_model.progress import metadata
    from tsa_model.settings.data_interval import interval_end
    from tsa_model.settings.run import RunConfig

    folder = Path(f"{monitoring.path}.given")
    with ExitStack() as copies:

        def here(place: str) -> str | None:
            return copies.enter_context(local_copy(place, folder)) if place else None

        metrics = monitor_scores(
            str(here(reference)),
            [str(here(one.strip())) for one in scores.split(",") if one.strip()],
            RunConfig.load(config),
            monitoring.path,
            report.path,
            prometheus.path,
            here(events),
            here(history),
            here(labels),
            interval_end(data_interval_end),
        )
    monitoring.metadata.update(metadata(metrics))
