"""`OnlineScorer` gives the scores of the batch, once per order, whoever asks and however often."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.online import assert_same, iso

from tsa_model.online import OnlineScorer, load_history
from tsa_model.online.histories import Contradiction
from tsa_model.scoring.files import PARQUET_FILE
from tsa_model.scoring.model import ScoringModel

N_STREAM = 60


@pytest.fixture(scope="module")
def stream(scored) -> list[dict]:
    """The last orders of the log as JSON holds them."""
    events = scored.events.sort_values(["order_time", "order_id"])
    rows = events.astype(object).where(events.notna(), None).to_dict("records")
    return [{**row, "order_time": iso(row["order_time"])} for row in rows]


@pytest.fixture(scope="module")
def loaded(scored, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("loaded") / "store"
    events = scored.events.sort_values(["order_time", "order_id"])
    load_history(events.iloc[:-N_STREAM], scored.store.description, folder)
    return folder


@pytest.fixture
def scorer(scored, loaded, tmp_path):
    shutil.copytree(loaded, tmp_path / "store")
    scorer = OnlineScorer.open(scored.scores / "model", tmp_path / "store")
    yield scorer
    scorer.close()


def batch_scores(scored, ids: list) -> np.ndarray:
    """One order a call, as the scorer calls the model."""
    session = ScoringModel.load(scored.scores / "model").session
    return np.array([session.run(scored.store.batch([name]))["score"][0] for name in ids])


def test_a_stream_gets_the_scores_of_the_batch_to_the_last_bit(scored, stream, scorer) -> None:
    recent = stream[-N_STREAM:]
    answers = []
    for row in recent:
        assert_same(scorer.tensors([row]), scored.store.batch([row["order_id"]]), row["order_id"])
        answers.append(scorer.score(row))
    assert [answer.order_id for answer in answers] == [row["order_id"] for row in recent]
    scores = np.array([answer.score for answer in answers], np.float32)
    assert scores.tobytes() == batch_scores(scored, [row["order_id"] for row in recent]).tobytes()
    percentiles = scorer.model.percentiles().percentile(scores)
    assert [answer.percentile for answer in answers] == percentiles.tolist()
    assert {answer.model_digest for answer in answers} == {scorer.model.description.onnx_sha256}
    lengths = scored.store.history_lengths(scored.store.rows_of([row["order_id"] for row in recent]))
    assert [answer.history["card"]["orders"] for answer in answers] == lengths["ccid"].tolist()


def test_the_scores_are_those_of_the_score_file(scored, stream, scorer) -> None:
    table = pq.read_table(scored.scores / PARQUET_FILE).to_pandas().set_index("order_id")
    known = [row for row in stream if row["order_id"] in table.index][-50:]
    store = OnlineScorer.open(scored.scores / "model", scorer.store.folder.parent / "again")
    store.add(stream[: len(stream) - 1000])
    store.add(stream[len(stream) - 1000 :])
    answers = store.score_many(known)
    wanted = table.loc[[row["order_id"] for row in known]]
    np.testing.assert_allclose([a.score for a in answers], wanted["score"], rtol=1e-5, atol=1e-7)
    store.close()


def test_an_order_sent_twice_is_scored_once(stream, scorer) -> None:
    first = scorer.score(stream[-1])
    scorer.score_many(stream[-40:-1])  # late ones, of the same customers among them
    again = scorer.score({**stream[-1], "label": None})
    assert again.repeated
    assert not first.repeated
    assert (again.score, again.percentile, again.history) == (first.score, first.percentile, first.history)
    with pytest.raises(Contradiction):
        scorer.score({**stream[-1], "amount": 1.0})


def test_many_at_once_are_scored_as_one_after_the_other(scored, stream, scorer) -> None:
    recent = stream[-N_STREAM:]
    shuffled = [recent[place] for place in np.random.default_rng(0).permutation(len(recent))]
    answers = scorer.score_many([*shuffled, shuffled[0]])
    wanted = batch_scores(scored, [row["order_id"] for row in shuffled])
    np.testing.assert_allclose([answer.score for answer in answers[:-1]], wanted, rtol=1e-5, atol=1e-7)
    assert answers[-1].score == answers[0].score


def test_sixteen_clients_see_whole_histories(scored, stream, scorer) -> None:
    recent = stream[-N_STREAM:]
    # Orders of one moment go at once; a later one only after all earlier ones were answered.
    with ThreadPoolExecutor(16) as clients:
        for first in range(0, len(recent), 12):
            part = recent[first : first + 12]
            gate = threading.Barrier(len(part))

            def ask(row: dict, gate: threading.Barrier = gate) -> float:
                gate.wait()
                return scorer.score(row).score

            list(clients.map(ask, part))
    for row in recent:
        assert_same(scorer.tensors([row]), scored.store.batch([row["order_id"]]), row["order_id"])
    twice = dict(recent[-1], order_id=10**9)
    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(lambda _: scorer.score(twice), range(16)))
    assert len({answer.score for answer in answers}) == 1
    assert scorer.store.counts()["orders"] <= len(stream) + 1


def test_the_first_order_says_how_ids_are_read_unless_it_is_refused(scored, stream, tmp_path) -> None:
    scorer = OnlineScorer.open(scored.scores / "model", tmp_path / "new")
    with pytest.raises(ValueError, match="amount"):
        scorer.score({**stream[0], "customer_id": "C-1", "amount": "much"})
    assert scorer.score(stream[0]).history["customer"] == {"orders": 0, "newest_s": None}
    with pytest.raises(ValueError, match=r"column customer_id: 'C-1' is not a whole number"):
        scorer.score({**stream[1], "customer_id": "C-1"})
    scorer.close()
