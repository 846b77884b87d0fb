"""Raw orders to score files, outside any pipeline."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsa_model.files import atomic_folder
from tsa_model.memory import give_back
from tsa_model.outputs import check_output_folder
from tsa_model.scoring.files import provenance_of, write_manifest, write_scores
from tsa_model.scoring.given import GivenOrders, Look, Notes
from tsa_model.scoring.model import ScoringModel
from tsa_model.scoring.proof.own_lines import Selection, period_selection
from tsa_model.scoring.proof.raw_orders import RawOrders
from tsa_model.scoring.rows import Progress, ScoredRows
from tsa_model.scoring.shards import score_in_shards
from tsa_model.scoring.table import ScoredOrders, score_table
from tsa_model.scoring.usual import Tell, check_categories, check_columns, check_histories, check_labels
from tsa_model.scratch import scratch_folder
from tsa_model.sequences import SequenceStore


def score_events(
    model_dir: str | Path,
    events: Any,
    output_dir: str | Path,
    orders: str = "auto",
    since: datetime | None = None,
    show: Progress | None = None,
    history: str | Path | None = None,
    allow_short_histories: bool = False,
    tell: Tell = warnings.warn,
    look: Look | None = None,
    recompute: int | None = None,
    shards: int = 1,
) -> int:
    """Score raw orders and write the score files, once a sample of them is proven.

    No order needs a label. The column of labels may be missing; where the model reads the labels of earlier
    orders, those that are known must be given with them.

    Args:
        model_dir: a model folder, or the folder of the export.
        events: path or paths of raw orders, or a table; see `SequenceStore.build`.
        output_dir: the folder to create.
        orders: `test` = the labelled orders of the test period, as the pipeline scores them; `all` = every
            order; `auto` = `test` where the file has any, else `all`.
        since: leave out orders before this moment; UTC where it names no zone.
        show: called with (orders done, orders altogether).
        history: path of the earlier orders, which are not scored; None = they lie in `events` too.
        allow_short_histories: score orders whose histories are far shorter than in training.
        tell: called with each warning; the manifest repeats them.
        look: says what else is notable of the raw orders, as the contract of a run does.
        recompute: orders that are rebuilt from the events and computed again with the reference before
            anything is written; None = by the size of the network, 0 = nothing is proven.
        shards: processes that score a stretch of the orders each; the files do not depend on it.

    Returns:
        How many orders were scored.

    Raises:
        WrongScores: a score is not what the reference computes; nothing is written.
        ShardFailed: the process of a shard died again and again.
        ValueError: the events do not fit the model, there is nothing to score, the histories or their labels
            are missing, a column differs too much from training (`drift` in the model's description), or the
            output folder holds what this program did not write.
    """
    check_output_folder(output_dir, {"the model": model_dir, "the history": history}, "output")
    model = ScoringModel.load(model_dir)
    output_dir = Path(output_dir)
    given = GivenOrders.open(events, history, model.dataset)
    notes = Notes(tell)
    with scratch_folder(output_dir) as scratch:
        store = given.build_store(model, scratch / "store")
        give_back()
        rows = select_rows(store, orders, since)
        if history is not None:
            rows = rows[np.isin(rows, store.rows_of(given.order_ids()))]
        check_histories(store, rows, model, allow_short_histories, notes)
        check_labels(store, rows, model.dataset, allow_short_histories, notes)
        check_categories(store, rows, model, notes)
        check_columns(store, rows, model, notes)
        for words in (*given.words(store), *(look(given.sources, model.dataset, scratch) if look else ())):
            notes(words)
        give_back()
        is_proven = recompute != 0 and _can_be_proven(model, notes)
        scored = score_in_shards(store, model.session, rows, shards, scratch / "scores", show)
        with atomic_folder(output_dir) as folder:
            given.keep_aside(store, folder)
            _write(folder, model, store, rows, scored, notes)
            del scored  # the proof reads the files
            store.forget_pages()
            give_back()
            if is_proven:
                _prove(folder, model, given, store, _selection(store, orders, since), recompute)
    return rows.size


def _write(
    folder: Path,
    model: ScoringModel,
    store: SequenceStore,
    rows: NDArray[np.int64],
    scored: ScoredRows,
    notes: Notes,
) -> None:
    """Write the score files of some rows, and their manifest."""
    table = score_table(scored.score, ScoredOrders.of(store, rows), model.percentiles(), model.calibrator())
    provenance = provenance_of(model.description, model.directory)
    counts = {"test": write_scores(table, provenance, folder)}
    pairs = {"test": scored.pairs}
    write_manifest(folder, provenance, counts, model.description.store_sha256, pairs, notes.said)


def _prove(
    folder: Path,
    model: ScoringModel,
    given: GivenOrders,
    store: SequenceStore,
    selection: Selection,
    recompute: int | None,
) -> None:
    """Hold the files against the events, before they take their place."""
    from tsa_model.scoring.proof.proof import Ingredients, prove_scores  # torch: nothing before needs it

    raw = RawOrders(given.events.sources, model.dataset, given.history and given.history.sources)
    proof = prove_scores(folder, Ingredients(model, raw, {"test": selection}, store, recompute))
    proof.check("what would be written")


def _selection(store: SequenceStore, orders: str, since: datetime | None) -> Selection:
    """The orders that `select_rows` chooses, as a rule about events."""
    is_test = orders == "test" or (orders == "auto" and store.targets("test").size > 0)
    chosen = period_selection(store.description, "test") if is_test else Selection(labelled=False)
    return chosen.since(since)


def _can_be_proven(model: ScoringModel, notes: Notes) -> bool:
    if model.weights_dir is None:
        notes("the model folder holds no trained weights (network/): the scores were not computed again")
    return model.weights_dir is not None


def select_rows(store: SequenceStore, orders: str, since: datetime | None) -> NDArray[np.int64]:
    """Row numbers of the orders to score, in time order.

    Raises:
        ValueError: there are none.
    """
    rows = store.targets("test").astype(np.int64)
    if orders == "all" or (orders == "auto" and not rows.size):
        rows = np.arange(len(store))
    if since is not None:
        moment = since if since.tzinfo is None else since.astimezone(UTC).replace(tzinfo=None)
        rows = rows[store.times_of(rows) >= np.datetime64(moment, "us")]
    if not rows.size:
        window = store.description.split.window("test")
        unlabelled = "" if store.manifest.labelled_orders else ", and no order has a label: say --orders all"
        raise ValueError(
            f"no order to score among the {len(store)} orders: --orders {orders}"
            + (f", --since {since}" if since else "")
            + f"; the test period is {window[0]} to {window[1]}"
            + (unlabelled if orders == "test" else "")
        )
    return rows
