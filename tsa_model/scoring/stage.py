"""The scoring stage: every labelled order of the late periods, once, through the exported model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsa_model import progress
from tsa_model.calibration import Calibrator, PercentileMap, fit_calibrator
from tsa_model.evaluation import (
    Interval,
    best_f1_threshold,
    evaluate,
    score_baseline,
    threshold_for_rate,
)
from tsa_model.export.session import DESCRIPTION_FILE, MODEL_FILE, ScoringSession, SessionSettings
from tsa_model.files import atomic_file, atomic_folder, sha256, write_json
from tsa_model.run_config import RunConfig
from tsa_model.scoring.files import Provenance, ScoreTable, write_scores
from tsa_model.scoring.pictures import ScoredPeriod, draw_pictures
from tsa_model.scoring.report import render_report
from tsa_model.scoring.rows import score_rows
from tsa_model.sequences import SequenceStore

SCORED_PERIODS = ("vali", "cali", "test")
CALIBRATOR_FILE = "calibration.json"
PERCENTILE_FILE = "percentile_map.json"
PERCENTILE_CSV = "percentile_map.csv"
ALERT_RATE = 0.01
MANIFEST_FILE = "manifest.json"
METRICS_FILE = "metrics.json"
PLOTS_FOLDER = "plots"


def generate_scores(
    store_dir: str | Path,
    onnx_dir: str | Path,
    run: RunConfig,
    scores_dir: str | Path,
    report_path: str | Path,
) -> dict[str, Any]:
    """Score the validation, calibration and test targets and write score files, calibration and report.

    Args:
        store_dir: the sequence store.
        onnx_dir: the folder `export_onnx` wrote.
        run: the run description.
        scores_dir: folder to create. The test period's `score_file.csv`, `tag_file.csv` and `scores.parquet`
            lie at its top, the others' in `vali/` and `cali/`.
        report_path: one HTML page about the scored model.

    Returns:
        Metrics of the stage.

    Raises:
        ValueError: the folders do not belong together, or a score breaks the contract.
    """
    onnx_dir = Path(onnx_dir)
    store = SequenceStore.open(store_dir)
    description = read_onnx_description(onnx_dir)
    if description["store_sha256"] != store.digest:
        raise ValueError(
            f"{onnx_dir} was exported for the store {description['store_sha256']}, "
            f"{store_dir} is {store.digest}: score with the store of the same run"
        )
    session = open_session(onnx_dir)
    periods = _score_periods(store, session)
    calibration = periods["cali"]
    percentiles = PercentileMap.fit(calibration.rows.score)
    calibrator, refusal = _calibrate(calibration)

    with atomic_folder(scores_dir) as folder:
        percentiles.save(folder / PERCENTILE_FILE)
        percentiles.save_csv(folder / PERCENTILE_CSV)
        if calibrator is not None:
            calibrator.save(folder / CALIBRATOR_FILE)
        provenance = _provenance(description, folder, run)
        counts = {
            name: write_scores(
                _table(period, percentiles, calibrator),
                provenance,
                folder if name == "test" else folder / name,
            )
            for name, period in periods.items()
        }
        metrics = _metrics(store, periods, calibrator)
        metrics["calibration"] = refusal or "monotone spline"
        write_json(folder / METRICS_FILE, metrics)
        pictures = draw_pictures(periods, calibrator, description["model_config"]["gate_threshold"])
        (folder / PLOTS_FOLDER).mkdir()
        for picture in pictures:
            (folder / PLOTS_FOLDER / picture.file).write_bytes(picture.png)
        _write_manifest(folder, provenance, counts)
    page = render_report(run.dataset.name, metrics, pictures, _facts(description, provenance))
    with atomic_file(report_path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return {"key_figure": _key_figure(metrics), **metrics}


def read_onnx_description(onnx_dir: str | Path) -> dict[str, Any]:
    """The content of `onnx.json`, after checking that the model file is the one it describes.

    Raises:
        ValueError: a file is missing, or the model file was changed.
    """
    path = Path(onnx_dir) / DESCRIPTION_FILE
    if not path.is_file():
        raise ValueError(f"{path} is missing: {onnx_dir} is not an exported model")
    description = json.loads(path.read_text(encoding="utf-8"))
    digest = sha256(Path(onnx_dir) / MODEL_FILE)
    if digest != description["onnx_sha256"]:
        raise ValueError(
            f"{Path(onnx_dir) / MODEL_FILE} has the SHA-256 {digest}, {DESCRIPTION_FILE} was written for "
            f"{description['onnx_sha256']}: export the model again"
        )
    return description


def open_session(onnx_dir: str | Path) -> ScoringSession:
    """The session with the options that the parity check used."""
    description = read_onnx_description(onnx_dir)
    return ScoringSession(Path(onnx_dir) / MODEL_FILE, SessionSettings.model_validate(description["session"]))


def _score_periods(store: SequenceStore, session: ScoringSession) -> dict[str, ScoredPeriod]:
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
            rows=score_rows(store, session, store.targets(period), show),
            label=store.labels(period),
            order_id=store.order_ids(period),
            order_time=store.order_times(period),
        )
        done += sizes[period]
    return periods


def _calibrate(period: ScoredPeriod) -> tuple[Calibrator | None, str | None]:
    """A calibrator, or why there is none: a small calibration period must not stop the scores."""
    try:
        return fit_calibrator("spline", period.rows.score, period.label), None
    except ValueError as error:
        return None, f"none: {error}"


def _provenance(description: dict[str, Any], folder: Path, run: RunConfig) -> Provenance:
    calibrator = folder / CALIBRATOR_FILE
    parts = (description["onnx_sha256"], description["store_sha256"], run.model_dump_json())
    return Provenance(
        # The same inputs give the same scores, so they give the same id.
        run_id=hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16],
        model_digest=description["onnx_sha256"],
        calibrator_digest=sha256(calibrator) if calibrator.is_file() else None,
        gate_id=description["verdict_id"],
    )


def _table(period: ScoredPeriod, percentiles: PercentileMap, calibrator: Calibrator | None) -> ScoreTable:
    score = period.rows.score
    return ScoreTable(
        order_id=period.order_id,
        order_time=period.order_time,
        score=score,
        percentile=percentiles.percentile(score),
        probability=None if calibrator is None else calibrator.probability(score),
        label=period.label,
    )


def _metrics(
    store: SequenceStore, periods: dict[str, ScoredPeriod], calibrator: Calibrator | None
) -> dict[str, Any]:
    """Figures of the test period at thresholds chosen on the calibration period."""
    cali, test = periods["cali"], periods["test"]
    thresholds = {f"alert_rate_{ALERT_RATE:.0%}": threshold_for_rate(cali.rows.score, ALERT_RATE)}
    if 0 < cali.label.sum() < cali.label.size:
        thresholds["best_f1"] = best_f1_threshold(cali.rows.score, cali.label)
    metrics: dict[str, Any] = {
        "orders": {name: period.label.size for name, period in periods.items()},
        "frauds": {name: int(period.label.sum()) for name, period in periods.items()},
        "thresholds": thresholds,
    }
    if not 0 < test.label.sum() < test.label.size:
        return metrics
    probability = None if calibrator is None else calibrator.probability(test.rows.score)
    metrics["test"] = _plain(evaluate(test.rows.score, test.label, probability, thresholds, _amount(store)))
    baseline = evaluate(score_baseline(store, "test"), test.label)
    metrics["baseline"] = _plain({name: baseline[name] for name in ("auc", "average_precision")})
    return metrics


def _amount(store: SequenceStore) -> NDArray[np.float64] | None:
    """Raw amounts of the test orders, where a numerical column tells them."""
    from tsa_model.evaluation.baseline import current_orders

    names = [name for name in store.preprocessing.numerical if name.lower() in ("amount", "tx_amount")]
    if not names:
        return None
    scaling = store.preprocessing.numerical[names[0]]
    place = list(store.preprocessing.numerical).index(names[0])
    _, values = current_orders(store, store.targets("test"))
    return ((values[:, place] - scaling.min) / scaling.scale).clip(0.0)


def _facts(description: dict[str, Any], provenance: Provenance) -> dict[str, str]:
    session = description["session"]
    return {
        "run": provenance.run_id,
        "ONNX file, SHA-256": provenance.model_digest,
        "weights, SHA-256": description["weights_sha256"],
        "equivalence verdict": provenance.gate_id,
        "sequence store, SHA-256": description["store_sha256"],
        "calibrator, SHA-256": provenance.calibrator_digest or "none",
        "parity": (
            f"worst logit difference {description['parity']['worst_difference']['logits']:.2g} over "
            f"{description['parity']['rows']} rows"
        ),
        "session": f"{', '.join(session['providers'])}, {session['graph_optimization_level']}, "
        f"{session['intra_op_num_threads']} thread per operator, {session['rows_per_call']} rows per call",
        "project version": description["project_version"],
    }


def _plain(figures: dict[str, Interval]) -> dict[str, dict[str, float]]:
    return {name: {"value": one.value, "low": one.low, "high": one.high} for name, one in figures.items()}


def _key_figure(metrics: dict[str, Any]) -> str:
    n_rows = f"{metrics['orders']['test']:,} orders scored"
    if "test" not in metrics:
        return f"{n_rows}; one class only, no AUC"
    return (
        f"test AUC {metrics['test']['auc']['value']:.4f} (logistic regression on the order alone "
        f"{metrics['baseline']['auc']['value']:.4f}), {n_rows}"
    )


def _write_manifest(folder: Path, provenance: Provenance, counts: dict[str, dict[str, int]]) -> None:
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            files[path.relative_to(folder).as_posix()] = {
                "bytes": path.stat().st_size,
                "sha256": sha256(path),
            }
    for period, rows in counts.items():
        for name, n_rows in rows.items():
            files[name if period == "test" else f"{period}/{name}"]["rows"] = n_rows
    write_json(folder / MANIFEST_FILE, {**provenance.__dict__, "files": files})
