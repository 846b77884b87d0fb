"""The scoring stage: every labelled order of the late periods, once, through the exported model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tsa_model import progress
from tsa_model.calibration import (
    BoundedCalibrator,
    Bounds,
    Calibrator,
    PercentileMap,
    PriorCorrection,
    fit_calibrator,
)
from tsa_model.evaluation import missing_class
from tsa_model.export.description import OnnxDescription
from tsa_model.export.file_names import DESCRIPTION_FILE
from tsa_model.export.session import ScoringSession
from tsa_model.files import atomic_folder, write_json
from tsa_model.outputs import check_replaceable
from tsa_model.scoring.files import (
    METRICS_FILE,
    MODEL_FOLDER,
    Provenance,
    provenance_of,
    write_manifest,
    write_scores,
)
from tsa_model.scoring.measuring import measure
from tsa_model.scoring.model import ScoringModel, write_model_folder
from tsa_model.scoring.pictures import ScoredPeriod, draw_pictures
from tsa_model.scoring.reasons_section import explain_period
from tsa_model.scoring.report import render_report
from tsa_model.scoring.shards import score_in_shards
from tsa_model.scoring.table import ScoredOrders, score_table
from tsa_model.sealed import check_together
from tsa_model.sealed_pages import write_page
from tsa_model.sequences import SequenceStore
from tsa_model.sequences.store.storage import MANIFEST
from tsa_model.settings.monitoring import AskedFor
from tsa_model.settings.run import RunConfig
from tsa_model.signing import require_key, shown_signature

SCORED_PERIODS = ("vali", "cali", "test")
PERCENTILE_CSV = "percentile_map.csv"
PLOTS_FOLDER = "plots"


def generate_scores(
    store_dir: str | Path,
    onnx_dir: str | Path,
    run: RunConfig,
    scores_dir: str | Path,
    report_path: str | Path,
    events: Any = None,
) -> dict[str, Any]:
    """Score the validation, calibration and test targets and write score files, calibration and report.

    Args:
        store_dir: the sequence store.
        onnx_dir: the folder `export_onnx` wrote.
        run: the run description.
        scores_dir: folder to create. The test period's `score_file.csv`, `tag_file.csv` and `scores.parquet`
            lie at its top, the others' in `vali/` and `cali/`; `model/` scores outside any pipeline.
        report_path: one HTML page about the scored model.
        events: the orders the store was built from, for slices by columns that the store does not keep.

    Returns:
        Metrics of the stage.

    Raises:
        ValueError: the folders do not belong together, a score breaks the contract, or slices by columns are
            asked for without events.
    """
    require_key(run.signing)
    model = ScoringModel.load(onnx_dir)
    store = SequenceStore.open(store_dir)
    check_together(
        "the sequence store is",
        (Path(onnx_dir) / DESCRIPTION_FILE, model.description.store_sha256),
        (Path(store_dir) / MANIFEST, store.digest),
        "score with the store of the same run",
    )
    periods = _score_periods(store, model.session, run.scoring.shards, Path(scores_dir))
    percentiles = PercentileMap.fit(periods["cali"].rows.score)
    calibrator, refusal = _calibrate(periods["cali"], store, run.scoring.calibration)

    check_replaceable(Path(scores_dir), str(scores_dir))
    with atomic_folder(scores_dir) as folder:
        write_model_folder(model, percentiles, calibrator, folder / MODEL_FOLDER)
        percentiles.save_csv(folder / PERCENTILE_CSV)
        provenance = provenance_of(model.description, folder / MODEL_FOLDER)
        counts = {}
        for name, period in periods.items():
            table = score_table(period.rows.score, period.orders, percentiles, calibrator)
            counts[name] = write_scores(table, provenance, folder if name == "test" else folder / name)
        metrics = measure(store, periods, calibrator, run, events)
        metrics["calibration"] = refusal or run.scoring.calibration
        reasons = explain_period(model, store, periods["test"], metrics["thresholds"], run, folder)
        if reasons is not None:
            metrics["reasons"] = reasons.figures.model_dump(mode="json")
        write_json(folder / METRICS_FILE, metrics)
        pictures = draw_pictures(periods, calibrator, _prior_correction(store), model.config.gate_threshold)
        (folder / PLOTS_FOLDER).mkdir()
        for picture in pictures:
            (folder / PLOTS_FOLDER / picture.file).write_bytes(picture.png)
        pairs = {name: period.rows.pairs for name, period in periods.items()}
        seal = write_manifest(folder, provenance, counts, store.digest, pairs)
    facts = {**_asked_for(run.alarm), **_facts(model.description, provenance)}
    page = render_report(run.dataset.name, metrics, pictures, facts, reasons)
    write_page(report_path, page, seal)
    return {"key_figure": _key_figure(metrics), **metrics}


def _score_periods(
    store: SequenceStore, session: ScoringSession, shards: int, near: Path
) -> dict[str, ScoredPeriod]:
    sizes = {period: store.targets(period).size for period in SCORED_PERIODS}
    empty = [period for period, size in sizes.items() if not size]
    if empty:
        raise ValueError(f"{store.directory} has no labelled orders in {', '.join(empty)}: nothing to score")
    total, done = sum(sizes.values()), 0
    periods = {}
    for period in SCORED_PERIODS:

        def show(n_scored: int, _: int, before: int = done, name: str = period) -> None:
            progress.report(before + n_scored, total, "order", name)

        periods[period] = ScoredPeriod(
            rows=score_in_shards(store, session, store.targets(period), shards, near, show),
            orders=ScoredOrders.of(store, store.targets(period)),
        )
        done += sizes[period]
    return periods


def _calibrate(
    period: ScoredPeriod, store: SequenceStore, method: str
) -> tuple[Calibrator | None, str | None]:
    """A calibrator, or why there is none: a small calibration period must not stop the scores."""
    if method == "prior":
        correction = _prior_correction(store)
        if correction is None:
            return None, "none: the training orders hold one class only"
        return BoundedCalibrator(correction, Bounds.of_orders(period.label.size)), None
    try:
        return fit_calibrator(method, period.rows.score, period.label), None
    except ValueError as error:
        return None, f"none: {error}"


def _prior_correction(store: SequenceStore) -> PriorCorrection | None:
    sampled, prior = store.sampled_prior, store.prior
    if sampled is None or prior is None or not (0 < sampled < 1 and 0 < prior < 1):
        return None
    return PriorCorrection(sampled, prior)


def _asked_for(alarm: AskedFor | None) -> dict[str, str]:
    """The alarm that started the run, with a link to its page; empty without one."""
    if alarm is None:
        return {}
    from markupsafe import Markup

    words = f"{', '.join(alarm.signals)}, since {alarm.since:%Y-%m-%d}; alarm {alarm.alarm[:12]}"
    link = Markup('{}: <a href="{}">{}</a>').format(words, alarm.page, alarm.page)
    return {"started by monitoring": link, "monitoring document, SHA-256": alarm.document_sha256}


def _facts(description: OnnxDescription, provenance: Provenance) -> dict[str, str]:
    session = description.session
    return {
        "run": provenance.run_id,
        "validated events, SHA-256": description.events_sha256 or "built outside a run",
        "ONNX file, SHA-256": provenance.model_digest,
        "weights, SHA-256": description.weights_sha256,
        "configuration, SHA-256": description.config_sha256,
        "equivalence verdict": provenance.gate_id,
        "sequence store, SHA-256": description.store_sha256,
        "calibrator, SHA-256": provenance.calibrator_digest or "none",
        "parity": (
            f"worst logit difference {description.parity.worst_difference['logits']:.2g} over "
            f"{description.parity.rows} rows"
        ),
        "session": f"{', '.join(session.providers)}, {session.graph_optimization_level}, "
        f"{session.intra_op_num_threads} thread per operator, {session.rows_per_call} rows per call",
        "project version": description.project_version,
        "signature of onnx.json": shown_signature(description.signature),
    }


def _key_figure(metrics: dict[str, Any]) -> str:
    n_rows = f"{metrics['orders']['test']:,} orders scored"
    if "test" not in metrics:
        lacking = missing_class(metrics["orders"]["test"], metrics["frauds"]["test"])
        return f"{n_rows}; no AUC: {lacking} test labels"
    return (
        f"test AUC {metrics['test']['auc']['value']:.4f} (logistic regression on the order alone "
        f"{metrics['baseline']['auc']['value']:.4f}, trees {metrics['boosted_trees']['auc']['value']:.4f}), "
        f"{n_rows}"
    )
