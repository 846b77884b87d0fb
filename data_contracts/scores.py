"""The contract of the scores: every target once, every file saying the same, every score recomputed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_contracts import suites
from data_contracts.context import check, check_measures
from data_contracts.findings import Example, Finding, merge
from data_contracts.result import publish_result
from tsa_model.settings.run import RunConfig

if TYPE_CHECKING:
    import pandas as pd

    from tsa_model.scoring.proof.statement import Statement
    from tsa_model.sequences import SequenceStore

FOLDERS = {"test": ".", "cali": "cali", "vali": "vali"}
"""Scored period → folder inside the score folder."""
SUMMARY = ["period", "orders", "fraud rate", "mean score", "mean score of frauds", "mean probability"]


def validate_scores(
    scores_dir: str | Path,
    store_dir: str | Path,
    run: RunConfig,
    report_path: str | Path,
    result_path: str | Path,
    events: str | Path | None = None,
    model_report: str | Path | None = None,
) -> dict[str, Any]:
    """Check the score files of every scored period against the store and the events they were made from.

    Args:
        scores_dir: the folder with the score files.
        store_dir: the sequence store.
        run: the run description.
        report_path: HTML page to write.
        result_path: JSON result to write, with the offending order ids.
        events: the validated events, from which a sample is rebuilt and computed again with the reference;
            None = not recomputed, which the result says.
        model_report: the report whose figures are computed again from the files; None = not looked at.

    Returns:
        Figures: rows, checks, and a `summary` in words.

    Raises:
        ContractViolation: the scores break the contract.
    """
    import pandas as pd

    from tsa_model.sequences import SequenceStore

    store = SequenceStore.open(store_dir)
    findings: list[Finding] = []
    measures, summary, rows = [], [], 0
    for period, folder in FOLDERS.items():
        path = Path(scores_dir) / folder
        if not (path / "scores.parquet").is_file():
            missing = f"{path} has no scores.parquet"
            findings.append(Finding("every period has its score files", detail=missing))
            continue
        frame = pd.read_parquet(path / "scores.parquet")
        findings += check(frame, suites.scores(), name="order_id")
        measures.append({"period": period, **measure_files(path, frame, store, period)})
        summary.append(_summary(period, frame))
        rows += len(frame)
    if measures:
        findings += check_measures(pd.DataFrame(measures), suites.score_files(), "period")
    findings = merge(findings)
    recomputed, proof = _recomputed(scores_dir, store, events, run, model_report)
    findings += proof
    bad_rows = max((finding.bad_rows for finding in findings), default=0)
    table = {"title": "Scores", "columns": SUMMARY, "rows": summary}
    facts = {
        "dataset": run.dataset.name,
        "store_sha256": store.digest,
        **_stated_by_manifest(Path(scores_dir)),
        "rows": rows,
        "bad_rows": bad_rows,
        "recomputed": recomputed,
        "tables": [table],
    }
    result = publish_result("scores", str(scores_dir), facts, findings, report_path, result_path)
    checks = len(result["findings"])
    again = f", {recomputed['orders']} of them recomputed" if recomputed else ""
    return {"rows": rows, "checks": checks, "summary": f"{rows:,} scores keep {checks} rules{again}"}


def _recomputed(
    scores_dir: str | Path,
    store: SequenceStore,
    events: str | Path | None,
    run: RunConfig,
    model_report: str | Path | None,
) -> tuple[dict[str, Any], list[Finding]]:
    """What the proof of the scores counted, and its statements as findings."""
    from tsa_model.scoring.proof.proof import prove_run

    if events is None:
        detail = "no events were given to recompute them from"
        return {}, [Finding("scores are recomputed", severity="warn", detail=detail)]
    try:
        proof = prove_run(scores_dir, store, events, run.scoring, model_report)
    except ValueError as error:
        sentence = "the scores can be held against the events and the model"
        return {}, [Finding(sentence, detail=str(error))]
    counts = {
        "orders": proof.recomputed,
        "other_routing": proof.other_routing,
        "worst_difference": proof.worst,
        "scored_again": proof.scored_again,
    }
    return counts, [_finding(statement) for statement in proof.statements]


def _finding(statement: Statement) -> Finding:
    examples = tuple(Example(one.words, one.order_id) for one in statement.counterexamples)
    return Finding(
        statement.sentence,
        rows=statement.rows,
        bad_rows=statement.wrong,
        examples=examples,
        detail=statement.detail,
    )


def _stated_by_manifest(folder: Path) -> dict[str, str | None]:
    """Which scores, of which model: what binds the result to them."""
    from tsa_model.scoring.files import MANIFEST_FILE, read_score_folder

    if not (folder / MANIFEST_FILE).is_file():
        return {}
    manifest = read_score_folder(folder)
    return {"model_digest": manifest.model_digest, "scores_sha256": manifest.sha256}


def measure_files(folder: Path, frame: pd.DataFrame, store: SequenceStore, period: str) -> dict[str, int]:
    """Count where the files of a period contradict the store or each other.

    Args:
        folder: the period's score files.
        frame: the content of `scores.parquet`.
        store: the sequence store.
        period: its name.

    Returns:
        Counts by the names that `suites.score_files` speaks of.
    """
    wanted, labels = store.order_ids(period), store.labels(period)
    scored = frame["order_id"].to_numpy()
    by_order = dict(zip(wanted.tolist(), labels.tolist(), strict=True))
    expected = np.array([by_order.get(order, -1) for order in scored.tolist()])
    stored = frame["label"].fillna(-1).to_numpy(dtype=np.int64)
    by_score = frame.sort_values("score", kind="stable")
    return {
        "unscored": len(by_order.keys() - set(scored.tolist())),
        "foreign": int((expected < 0).sum()),
        "relabelled": int(((expected >= 0) & (expected != stored)).sum()),
        "line_differences": _differences(folder / "score_file.csv", frame["score"].to_numpy()),
        "tag_differences": _differences(folder / "tag_file.csv", stored) if (stored >= 0).all() else 0,
        "percentile_inversions": int((np.diff(by_score["percentile"].to_numpy()) < 0).sum()),
    }


def _summary(period: str, frame: pd.DataFrame) -> list[str]:
    """A row for the page."""
    known = frame["label"].dropna()
    figures = (
        (known == 1).mean(),
        frame["score"].mean(),
        frame["score"][frame["label"] == 1].mean(),
        frame["calibrated_probability"].mean(),
    )
    return [period, f"{len(frame):,}", *("" if np.isnan(x) else f"{x:.2%}" for x in map(float, figures))]


def _differences(path: Path, values: np.ndarray) -> int:
    """Lines of a one-column file that are not these values; all of them when their number differs."""
    if not path.is_file():
        return max(1, len(values))
    lines = np.array(path.read_text(encoding="utf-8").split(), dtype=values.dtype)
    return int((lines != values).sum()) if len(lines) == len(values) else max(len(lines), len(values))
