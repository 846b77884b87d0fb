"""Labels that say since when they are known count online exactly as in the batch."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from support.adding_model import AddingModel
from support.online import DAY_S, as_table, assert_same, description, histories, iso, orders

from tsa_model.audit.decisions import _Batch, _replayed
from tsa_model.online.cells import WrongOrder
from tsa_model.online.digests import digests_of
from tsa_model.online.histories import Histories
from tsa_model.online.history import HistoryError
from tsa_model.online.lmdb_store import LmdbStore
from tsa_model.online.loading import load_history
from tsa_model.online.proof.replay import Findings, Replay
from tsa_model.online.proof.stream import Extent, Stream
from tsa_model.online.requirements import columns_of
from tsa_model.online.scorer import OnlineScorer
from tsa_model.sequences import SequenceStore

DELAY_S = 1.5 * DAY_S


def with_moments(rows: list[dict], seed: int = 0) -> list[dict]:
    """Labels known at once, in the moment of another order, hours or days later, or without a word."""
    choose = random.Random(seed)
    waits = [None, 0, 1800, 3600 * 7, DAY_S, 3 * DAY_S, 6 * DAY_S]
    found = []
    for row in rows:
        wait = choose.choice(waits)
        found.append(row | {"told": None if wait is None else row["when"] + wait})
    return found


def sent(row: dict) -> dict:
    """As it is sent before its label is known."""
    return {name: value for name, value in row.items() if name not in ("fraud", "told")}


def known_at(row: dict) -> float:
    return row["when"] + DELAY_S if row["told"] is None else row["told"]


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return with_moments(orders(100))


@pytest.fixture(scope="module")
def built(rows, tmp_path_factory) -> SequenceStore:
    described = description(label_time="told")
    return SequenceStore.build(as_table(rows), described, tmp_path_factory.mktemp("built") / "store")


def stream(online: Histories, rows: list[dict], wanted: SequenceStore, waiting: list[dict]) -> int:
    """Send orders, and labels when they become known; returns how many orders saw a label of a neighbour."""
    due = sorted((known_at(row), row["when"], row["id"], row["fraud"]) for row in waiting)
    due = [each for each in due if each[3] is not None]
    n_labels = 0
    for row in rows:
        while due and due[0][0] <= row["when"] and due[0][1] < row["when"]:
            moment, _, name, label = due.pop(0)
            online.add_labels([(name, label, iso(moment))])
            n_labels += 1
        assert_same(online.tensors([sent(row)]), wanted.batch([row["id"]]), row["id"])
        online.add(sent(row))
    return n_labels


def test_a_stream_in_time_order_with_labels_as_they_become_known(rows, built, tmp_path) -> None:
    online = histories(tmp_path / "h", built, late_days=20)
    assert stream(online, rows, built, rows) > 30


def test_orders_and_labels_that_come_late_land_where_they_belong(built, tmp_path) -> None:
    online = histories(tmp_path / "h", built, late_days=20)
    choose = random.Random(1)
    rows = with_moments(orders(45, 1, customers=2), 1)
    wanted = SequenceStore.build(as_table(rows), built.description, tmp_path / "s", built.preprocessing)
    shuffled = choose.sample(rows, len(rows))
    for place, row in enumerate(shuffled):
        online.add(row if place % 3 == 0 else sent(row))
    for row in choose.sample(shuffled, len(rows)):
        if row["fraud"] is None:
            continue
        if choose.random() < 0.3:  # first with another moment, or as the other label, then as it is
            online.add_labels([(row["id"], 1 - row["fraud"], row["when"] + choose.randrange(9) * 3600)])
        online.add_labels([(row["id"], row["fraud"], known_at(row))])
    asked = [row["id"] for row in rows]
    assert_same(online.tensors([sent(row) for row in rows]), wanted.batch(asked))


def test_a_loaded_log_and_then_a_stream(rows, built, tmp_path) -> None:
    """The log's labels count from their own moments on, those too that lie after its last order."""
    n = 50
    load_history(as_table(rows[:n]), built.description, tmp_path / "h")
    online = Histories(built.description, built.preprocessing, "dual", LmdbStore(tmp_path / "h"))
    assert stream(online, rows[n:], built, rows[n:]) > 3


def test_a_label_that_comes_as_late_as_those_of_the_log_still_counts(built, tmp_path) -> None:
    """Orders are kept for as long as the log's slowest label took, though the delay says less."""
    first = dict(sent(orders(1)[0]), id="n0000", fraud=1, told=None)
    many = [dict(first, id=f"n{i:04d}", when=first["when"] + 5400 * i) for i in range(200)]
    slow = many[0] | {"told": many[0]["when"] + 10 * DAY_S}
    late = many[-30]
    log = [slow, *(dict(row, fraud=None) for row in many[1:])]
    load_history(as_table(log), built.description, tmp_path / "h", late_days=0.5)
    online = Histories(built.description, built.preprocessing, "dual", LmdbStore(tmp_path / "h"))
    more = [dict(first, id=f"m{i:04d}", when=many[-1]["when"] + 5400 * i, fraud=None) for i in range(1, 120)]
    online.add([sent(row) for row in more])
    told = late["when"] + 9.5 * DAY_S
    online.add_labels([(late["id"], 1, told)])
    newest = dict(more[-1], id="newest", when=told + 3600)
    wanted = SequenceStore.build(
        as_table([*(row for row in log if row is not log[-30]), late | {"told": told}, *more, newest]),
        built.description,
        tmp_path / "s",
        built.preprocessing,
    )
    assert_same(online.tensors([sent(newest)]), wanted.batch(["newest"]))


def test_a_label_before_its_order_is_refused(rows, built, tmp_path) -> None:
    online = histories(tmp_path / "h", built)
    row = next(row for row in rows if row["fraud"] is not None)
    with pytest.raises(WrongOrder, match=r"column told: .* is before the order's own time; send the moment"):
        online.add(row | {"told": row["when"] - 1})
    online.add(sent(row))
    with pytest.raises(WrongOrder, match=r"column known_at: .* is before the order's own time"):
        online.add_labels([(row["id"], 1, row["when"] - 0.5)])
    assert online.add(row | {"told": row["when"]}) == 0, "a label that comes with a repeated order is taken"


def test_a_store_without_moments_of_labels_does_not_fit_a_model_with_them(built, tmp_path) -> None:
    store = LmdbStore.create(tmp_path / "h", columns_of(description()))
    with pytest.raises(HistoryError, match=r"has_label_times.*load a store for it"):
        Histories(built.description, built.preprocessing, "dual", store)


def test_the_replay_sends_labels_at_their_moments_and_finds_one_that_is_early(
    rows, built, tmp_path, monkeypatch
) -> None:
    def replayed(name: str) -> Findings:
        stream_of = Stream.of(as_table(rows), built, Extent(compared=1000, requests=0))
        load_history(stream_of.before, built.description, tmp_path / name)
        scorer = OnlineScorer(AddingModel.over(built), LmdbStore(tmp_path / name))
        return Replay(built, scorer, stream_of, {}).run()

    found = replayed("right")
    assert (found.compared, found.different_tensors) == (len(built.targets("test")), 0)
    assert found.labels > 3
    assert found.controls["a label a day early"]
    after_the_delay = SequenceStore.labels_known_us

    def too_late(store: SequenceStore, places: np.ndarray) -> np.ndarray:
        return after_the_delay(store, places) + int(2 * DAY_S * 10**6)

    monkeypatch.setattr(SequenceStore, "labels_known_us", too_late)
    assert replayed("late").different_tensors > 0


def test_the_audit_names_the_label_that_came_in_between(rows, built, tmp_path) -> None:
    earlier = next(r for r in rows if r["fraud"] == 1 and r["told"] == r["when"] + 1800)
    target = next(r for r in rows if r["who"] == earlier["who"] and r["when"] > earlier["when"] + DAY_S)
    before = [r for r in rows if r["when"] < earlier["when"]]
    scorer_log: list[dict] = []

    def log(kind: str, name: str, content: dict, **more: object) -> None:
        head = {
            "kind": kind,
            "order_id": name,
            "received_us": len(scorer_log),
            "content": json.dumps(content),
        }
        scorer_log.append({**head, "repeated": False, **more})

    load_history(as_table(before), built.description, tmp_path / "h", late_days=20)
    online = Histories(built.description, built.preprocessing, "dual", LmdbStore(tmp_path / "h"))
    for row in rows[len(before) : rows.index(target)]:
        known = row is not earlier and row["fraud"] is not None
        content = row if known else sent(row)
        online.add(content)
        log("order", row["id"], content)
    digest = digests_of(online.tensors([sent(target)]))[0]
    log("score", target["id"], sent(target), inputs_digest=digest, score=0.5)
    log("label", earlier["id"], {"order_id": earlier["id"], "label": 1, "known_at": earlier["told"]})
    batch = _Batch(AddingModel.over(built), as_table(rows), tmp_path)
    (answer,) = [each for each in scorer_log if each["kind"] == "score"]
    assert batch.compare(answer) == "tensors"
    replay = _replayed(batch, scorer_log, {target["id"]}, tmp_path, None)
    found = batch.difference(answer, "tensors", replay[target["id"]], scorer_log)
    assert (found.reason, found.detail) == (
        "a label came in between",
        f"of order {earlier['id']}, which came later",
    )
