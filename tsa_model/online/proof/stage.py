"""The proof as a stage of the pipeline, and the same for `tsa online check`."""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from tsa_model import progress
from tsa_model.online.lmdb_store import LmdbStore
from tsa_model.online.loading import load_history
from tsa_model.online.proof.page import render
from tsa_model.online.proof.replay import TOLERANCE, Findings, Replay, Show
from tsa_model.online.proof.served import served
from tsa_model.online.proof.stream import Extent, Stream
from tsa_model.online.proof.verdict import OnlineVerdict, not_needed
from tsa_model.online.scorer import OnlineScorer
from tsa_model.scoring.files import PARQUET_FILE, read_score_folder
from tsa_model.scoring.model import ScoringModel
from tsa_model.scoring.stage import MODEL_FOLDER
from tsa_model.scratch import scratch_folder
from tsa_model.sealed import check_together, sealed, write_sealed
from tsa_model.sealed_pages import write_page
from tsa_model.sequences import SequenceStore
from tsa_model.sequences.store.storage import events_digest
from tsa_model.settings.run import RunConfig
from tsa_model.signing import require_key
from tsa_model.version import this_program

LATE_DAYS = 1.0
SAME_RUN = "take the orders, the store and the model of one run"


class OnlineError(ValueError):
    """An order does not get online what the batch gave it, or a planted fault was not found."""


def check_online(
    events: str | Path,
    store_dir: str | Path,
    scores_dir: str | Path,
    run: RunConfig,
    verdict_path: str | Path,
    report_path: str | Path,
) -> dict[str, Any]:
    """Prove that orders get online what the batch gave them, by the library and by the server.

    Args:
        events: the validated orders.
        store_dir: the sequence store that was built of them.
        scores_dir: what `generate_scores` wrote, the model folder included.
        run: the run description.
        verdict_path: where the verdict goes, as JSON; written whether it passes or fails.
        report_path: the same for people, one HTML page.

    Returns:
        Metrics of the stage.

    Raises:
        OnlineError: something differs, or a planted fault was not found; the message says what.
        ValueError: orders, store and model are not of one run.
    """
    require_key(run.signing)
    scores = Path(scores_dir)

    def show(done: int, total: int) -> None:
        progress.report(done, total, "order")

    verdict = prove(events, store_dir, scores / MODEL_FOLDER, Path(verdict_path), scores, show)
    write(verdict, verdict_path, report_path)
    if not verdict.passed:
        raise OnlineError(f"{verdict.reason} (verdict: {verdict_path}, report: {report_path})")
    return {
        "key_figure": verdict.reason,
        "compared": verdict.compared,
        "requests": verdict.requests,
        "largest_difference": verdict.largest_difference,
    }


def write(verdict: OnlineVerdict, verdict_path: str | Path, report_path: str | Path | None = None) -> None:
    """Write a verdict with its seal, and its page."""
    write_sealed(verdict_path, verdict)
    if report_path is not None:
        write_page(report_path, render(verdict), sealed(verdict).sha256)


def prove(
    events: Any,
    store_dir: str | Path,
    model_dir: str | Path,
    work: Path,
    scores_dir: Path | None = None,
    show: Show | None = None,
    extent: Extent | None = None,
) -> OnlineVerdict:
    """Replay the test period through an embedded history store, and through a server of its own.

    Args:
        events: the orders that the sequence store was built of.
        store_dir: the sequence store.
        model_dir: the model folder.
        work: a path beside which history stores are made, and removed again.
        scores_dir: the scores of the run; None = they are not compared.
        show: called with (orders done, orders altogether).
        extent: how much is replayed; None = as much as in every run.

    Raises:
        ValueError: orders, store and model are not of one run.
    """
    began = time.perf_counter()
    store, model = SequenceStore.open(store_dir), ScoringModel.load(model_dir)
    about, manifest = model.description, None if scores_dir is None else read_score_folder(scores_dir)
    described = (model_dir, about.store_sha256)
    check_together("the sequence store is", (store_dir, store.digest), described, SAME_RUN)
    if scores_dir is not None:
        found = (events, events_digest(events))
        check_together("the validated events are", found, (model_dir, about.events_sha256), SAME_RUN)
    seal = None if manifest is None else manifest.sha256
    if model.dataset.layout == "wide":
        return not_needed(model, seal)
    extent = extent or Extent()
    stream = Stream.of(events, store, extent)
    in_file = _in_file(store, stream, scores_dir)
    findings = _replay(store, Path(model_dir), stream, work, in_file, extent.requests, show)
    problem = problem_of(findings, stream.wanted)
    return OnlineVerdict(
        dataset=model.dataset.name,
        passed=not problem,
        reason=problem or _shown(findings),
        events_sha256=about.events_sha256,
        store_sha256=about.store_sha256,
        model_digest=about.onnx_sha256,
        scores_sha256=seal,
        program=this_program(),
        streamed=len(stream.rows),
        wanted=stream.wanted,
        tolerance=TOLERANCE,
        seconds=time.perf_counter() - began,
        **asdict(findings),
    )


def _replay(
    store: SequenceStore,
    model_dir: Path,
    stream: Stream,
    work: Path,
    in_file: dict[int, float],
    requests: int,
    show: Show | None,
) -> Findings:
    with scratch_folder(work) as scratch, contextlib.ExitStack() as stack:
        folder = scratch / "history"
        if len(stream.before):
            load_history(stream.before, store.description, folder, LATE_DAYS)
        else:
            OnlineScorer.open(model_dir, folder, LATE_DAYS).close()
        shutil.copytree(folder, scratch / "served")
        server = stack.enter_context(served(model_dir, scratch / "served", scratch / "log"))
        scorer = OnlineScorer(ScoringModel.load(model_dir), LmdbStore(folder))
        stack.callback(scorer.close)
        return Replay(store, scorer, stream, in_file, server, requests).run(show)


def _in_file(store: SequenceStore, stream: Stream, scores_dir: Path | None) -> dict[int, float]:
    """Row number → score in the score file, of the compared orders."""
    if scores_dir is None:
        return {}
    rows = np.array(sorted(stream.chosen))
    table = pq.read_table(scores_dir / PARQUET_FILE)
    ids = table.column(table.column_names[0]).to_pylist()
    score = dict(zip(ids, table["score"].to_pylist(), strict=True))
    names = [name.decode() if isinstance(name, bytes) else name for name in store.ids_of(rows).tolist()]
    return {row: score[name] for row, name in zip(rows.tolist(), names, strict=True) if name in score}


def problem_of(found: Findings, wanted: int) -> str:
    """What is wrong, in one sentence; empty = nothing."""
    counts = {
        "orders have other tensors": found.different_tensors,
        "orders have another score": found.different_scores,
        "orders have another score in the score file": found.different_in_file,
        "orders get another answer from the server": found.different_answers,
    }
    problems = [f"{count} of {found.compared:,} {what}" for what, count in counts.items() if count]
    if problems:
        return f"{', '.join(problems)} ({found.example})"
    missed = [name for name, was_found in found.controls.items() if was_found is False]
    if missed:
        return f"planted faults were not found: {', '.join(missed)}"
    if found.compared < min(wanted, 1):
        return "there is no order to compare"
    return ""


def _shown(found: Findings) -> str:
    n_controls = sum(was_found is True for was_found in found.controls.values())
    return (
        f"{found.compared:,} orders have the batch's tensors and scores, {found.requests} of them over HTTP; "
        f"{n_controls} planted faults were found"
    )
