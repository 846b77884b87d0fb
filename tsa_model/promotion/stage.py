"""The comparison as a stage of the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tsa_model.export.file_names import DESCRIPTION_FILE
from tsa_model.promotion.champion import check_champion
from tsa_model.promotion.compare import CANNOT_COMPARE, compare_models
from tsa_model.promotion.comparison import Comparison
from tsa_model.promotion.page import render_comparison
from tsa_model.promotion.registry import Registry
from tsa_model.scoring.files import PARQUET_FILE, check_scored_with, read_score_folder
from tsa_model.scoring.model import ScoringModel
from tsa_model.scoring.stage import MODEL_FOLDER
from tsa_model.sealed import check_together, sealed
from tsa_model.sealed_pages import write_page
from tsa_model.sequences.store.storage import events_digest
from tsa_model.settings.run import RunConfig
from tsa_model.signing import require_key


def compare_champion(
    events: Any,
    scores_dir: str | Path,
    verdict_path: str | Path,
    contract_paths: Sequence[str | Path],
    run: RunConfig,
    champion: str | Path,
    promote: bool,
    comparison_path: str | Path,
    report_path: str | Path,
) -> dict[str, Any]:
    """Compare the run's model with the champion; promote it when asked to and when it may be.

    A challenger that is not good enough is a result, not a failure: the run succeeds, the champion stays.

    Args:
        events: the validated orders.
        scores_dir: what `generate_scores` wrote.
        verdict_path: the gate's verdict.
        contract_paths: results of the contracts of events, sequences and scores.
        run: the run description; its `promotion` section has the margins.
        champion: folder of the registry, made by `Registry.init`; empty = none, and only the model's own
            proofs are looked at.
        promote: without it nothing is ever changed.
        comparison_path: JSON file to write.
        report_path: the same for people, one HTML page.

    Returns:
        Metrics of the stage.

    Raises:
        ValueError: `champion` is no registry, the two models do not fit the orders, events and scores are not
            of one run, or `promote` is asked for without a registry.
    """
    require_key(run.signing)
    check_champion(champion, promote)
    registry = Registry(champion) if champion else None
    challenger_dir = Path(scores_dir) / MODEL_FOLDER
    manifest = read_score_folder(Path(scores_dir))
    about = ScoringModel.load(challenger_dir).description
    check_scored_with(Path(scores_dir), manifest, challenger_dir, about)
    check_together(
        "the validated events are",
        (challenger_dir / DESCRIPTION_FILE, about.events_sha256),
        (events, events_digest(events)),
        "take the events and the scores of the same run",
    )
    comparison = compare_models(
        challenger_dir,
        None if registry is None else registry.champion_dir(),
        events,
        verdict_path,
        contract_paths,
        run.promotion,
        test_labels=_test_labels(Path(scores_dir)),
        scores_sha256=manifest.sha256,
        dataset=run.dataset,
    )
    comparison.save(comparison_path)
    promoted = False
    if registry is not None and promote and comparison.passed:
        registry.promote(challenger_dir, comparison)
        promoted = True
    page = render_comparison(comparison, _outcome(comparison, promoted), _key_figure(comparison, promoted))
    write_page(report_path, page, sealed(comparison).sha256)
    differences = {
        name: {"difference": one.difference, "low": one.low, "high": one.high}
        for name, one in comparison.figures.items()
    }
    return {
        "key_figure": _key_figure(comparison, promoted),
        "may_be_promoted": comparison.passed,
        "promoted": promoted,
        **differences,
    }


def _test_labels(scores_dir: Path) -> NDArray[Any] | None:
    """The labels beside the test period's scores; None where there is a model folder only."""
    path = scores_dir / PARQUET_FILE
    if not path.is_file():
        return None
    import pyarrow.parquet as pq

    return pq.read_table(path, columns=["label"])["label"].to_numpy()


def _outcome(comparison: Comparison, promoted: bool) -> str:
    if promoted:
        return "promoted"
    return "may be promoted" if comparison.passed else "not promoted"


def _key_figure(comparison: Comparison, promoted: bool) -> str:
    outcome = _outcome(comparison, promoted)
    reasons = [check.reason for check in comparison.checks if check.name == CANNOT_COMPARE]
    if reasons:
        stays = outcome if comparison.champion is None else "the champion stays"
        return f"{reasons[0]}; {stays}"
    if "auc" not in comparison.figures:
        return f"no champion to compare with, {outcome}"
    one = comparison.figures["auc"]
    return f"AUC {one.difference:+.4f} [{one.low:+.4f}, {one.high:+.4f}] against the champion, {outcome}"
