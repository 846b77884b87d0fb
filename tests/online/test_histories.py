"""What an order is scored by online is, byte for byte, what the batch makes of the same orders."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest
from support.online import DAY_S, as_table, assert_same, description, histories, iso, orders

from tsa_model.events.errors import BadEvents
from tsa_model.online.cells import WrongOrder
from tsa_model.online.histories import Histories
from tsa_model.online.history import Contradiction, HistoryError, TooOld, UnknownOrder
from tsa_model.online.lmdb_store import LmdbStore
from tsa_model.online.loading import load_history
from tsa_model.online.records import Records
from tsa_model.online.requirements import columns_of
from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig
from tsa_model.simulation import simulate_orders


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return orders(160)


@pytest.fixture(scope="module")
def built(rows, tmp_path_factory) -> SequenceStore:
    return SequenceStore.build(as_table(rows), description(), tmp_path_factory.mktemp("built") / "store")


def histories_of(folder, built) -> Histories:
    return Histories(built.description, built.preprocessing, "dual", LmdbStore(folder))


def without_label(row: dict) -> dict:
    return {name: value for name, value in row.items() if name != "fraud"}


def test_a_stream_in_time_order_with_labels_as_they_become_known(rows, built, tmp_path) -> None:
    online = histories(tmp_path / "h", built)
    delay_s = 1.5 * DAY_S
    due = sorted((row["when"] + delay_s, row["id"], row["fraud"]) for row in rows if row["fraud"] is not None)
    n_alone = 0
    for row in rows:
        while due and due[0][0] <= row["when"]:
            moment, name, label = due.pop(0)
            online.add_labels([(name, label, iso(moment))])
        batch = online.tensors([without_label(row)])
        assert_same(batch, built.batch([row["id"]]), row["id"])
        n_alone += int(batch["key_padding_mask_ccid"].sum() == 5)
        online.add(without_label(row))
    assert n_alone > 20, "orders without a card's history are among them"


@pytest.mark.parametrize("seed", [1, 2])
def test_orders_and_labels_that_come_late_land_where_they_belong(built, tmp_path, seed) -> None:
    online = histories(tmp_path / "h", built, late_days=20)
    random = np.random.default_rng(seed)
    rows = orders(45, seed, customers=2)
    fitted = built.preprocessing
    wanted = SequenceStore.build(as_table(rows), built.description, tmp_path / "s", fitted)
    shuffled = [rows[place] for place in random.permutation(len(rows))]
    for row in shuffled:
        online.add(without_label(row))
    for row in (shuffled[place] for place in random.permutation(len(shuffled))):
        if row["fraud"] is not None:
            online.add_labels([(row["id"], row["fraud"], row["when"])])
    asked = [row["id"] for row in rows]
    assert_same(online.tensors([without_label(row) for row in rows]), wanted.batch(asked))


def test_a_loaded_log_and_then_a_stream(rows, built, tmp_path) -> None:
    for n in (50, 130):
        folder = tmp_path / str(n)
        counts = load_history(as_table(rows[:n]), built.description, folder)
        assert counts["orders"] == n
        online = histories_of(folder, built)
        for row in rows[n:]:
            assert_same(online.tensors([row]), built.batch([row["id"]]), row["id"])
            online.add(row)


def test_texts_that_differ_in_case_and_spaces_are_one_where_asked(rows, tmp_path) -> None:
    built = SequenceStore.build(as_table(rows), description(fold_text=True), tmp_path / "s")
    load_history(as_table(rows[:100]), built.description, tmp_path / "h")
    online = histories_of(tmp_path / "h", built)
    online.add(rows[100:])
    assert_same(online.tensors(rows), built.batch([row["id"] for row in rows]))


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[list[dict], SequenceStore]:
    """The demo's own description and simulator, with few orders, so that most of a key's lie far apart."""
    run = RunConfig.load("demo")
    frame = simulate_orders(run.simulation.changed(orders=2000))
    built = SequenceStore.build(frame, run.dataset, tmp_path_factory.mktemp("demo") / "store")
    frame = frame.sort_values(["order_time", "order_id"])
    found = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{**row, "order_time": iso(row["order_time"])} for row in found], built


def test_a_stream_of_the_demo(demo, tmp_path) -> None:
    rows, built = demo
    load_history(pa.Table.from_pylist(rows[:-100]), built.description, tmp_path / "h", late_days=0)
    online = histories_of(tmp_path / "h", built)
    due = [(row["order_time"], row) for row in rows[-100:] if row["label"] is not None]
    for row in rows[-100:]:
        while due and moved(due[0][0], 5) <= row["order_time"]:
            known_at, labelled = due.pop(0)
            online.add_labels([(labelled["order_id"], labelled["label"], moved(known_at, 5))])
        order = {name: value for name, value in row.items() if name != "label"}
        assert_same(online.tensors([order]), built.batch([row["order_id"]]), row["order_id"])
        online.add(order)
    assert len(due) < 90, "labels came in between"


def moved(moment: str, days: float) -> str:
    return iso(datetime.fromisoformat(moment).timestamp() + days * DAY_S)


def test_a_position_counts_orders_that_were_dropped(built, tmp_path) -> None:
    online = histories(tmp_path / "h", built, late_days=0.5)
    template = without_label(orders(1)[0])
    many = [dict(template, id=f"n{i:05d}", when=template["when"] + 5400 * i) for i in range(300)]
    load_history(as_table([{**row, "fraud": None} for row in many]), built.description, tmp_path / "l", 0.5)
    online.add(many)
    newest = dict(many[-1], id="newest", when=many[-1]["when"] + 60)
    wanted = SequenceStore.build(
        as_table([{**row, "fraud": None} for row in [*many, newest]]),
        built.description,
        tmp_path / "s",
        built.preprocessing,
    )
    assert online.store.counts()["orders"] < 250
    for each in (online, histories_of(tmp_path / "l", built)):
        assert_same(each.tensors([newest]), wanted.batch(["newest"]))


def test_a_key_with_many_orders_reads_no_more_blocks_than_one_with_a_few(
    built, tmp_path, monkeypatch
) -> None:
    template = dict(orders(1)[0], card=None)

    def read(n: int) -> int:
        many = [
            dict(template, id=f"n{i:06d}", when=template["when"] + 3 * DAY_S * i / n, fraud=i % 2)
            for i in range(n)
        ]
        load_history(as_table(many), built.description, tmp_path / str(n))
        online, unpacked = histories_of(tmp_path / str(n), built), []
        whole = Records.unpacked.__func__
        with monkeypatch.context() as patch:
            patch.setattr(
                Records, "unpacked", classmethod(lambda *words: unpacked.append(1) or whole(*words))
            )
            online.tensors([dict(template, id="new", when=template["when"] + 3.1 * DAY_S)])
        return len(unpacked)

    assert read(50) <= read(6000) <= 8


def test_a_label_counts_neither_before_its_delay_nor_before_it_is_known(rows, built, tmp_path) -> None:
    online = histories(tmp_path / "h", built)
    first = dict(without_label(rows[0]), id="early", when=iso(rows[0]["when"]))
    online.add(first)
    online.add_labels([("early", 1, first["when"])])  # known at once, but the batch waits for the delay
    names = {index: name for name, index in built.preprocessing.categorical["known_label"].values.items()}

    def known(after_days: float) -> str:
        later = dict(first, id="later", when=iso(rows[0]["when"] + after_days * DAY_S))
        return names[int(online.tensors([later])["x_seq_cat_cid"][0, -2, -1])]

    assert [known(1.49), known(1.5)] == ["not yet known", "fraud"]
    online.add_labels([("early", 1, iso(rows[0]["when"] + 3 * DAY_S))])
    assert [known(1.5), known(2.99), known(3.0)] == ["not yet known", "not yet known", "fraud"]


def test_what_no_order_to_come_needs_is_dropped(built, tmp_path) -> None:
    online = histories(tmp_path / "h", built, late_days=0.5)
    template = without_label(orders(1)[0])
    start = template["when"]
    many = [dict(template, id=f"n{i:05d}", when=start + 5400 * i) for i in range(300)]
    for first in range(0, len(many), 100):
        online.add(many[first : first + 100])
    kept = online.store.counts()
    needed = (0.5 + 4 + 1.5) * DAY_S / 5400
    assert needed < kept["orders"] < needed + 2 * 64 + 5
    late = dict(many[-1], id="late", when=many[-1]["when"] - 0.4 * DAY_S)
    newest = dict(many[-1], id="newest", when=many[-1]["when"] + 60)
    for row in (late, newest):
        wanted = SequenceStore.build(
            as_table([{**each, "fraud": None} for each in [*many, row]]),
            built.description,
            tmp_path / row["id"],
            built.preprocessing,
        )
        assert_same(online.tensors([row]), wanted.batch([row["id"]]))
    with pytest.raises(TooOld, match="comes too late"):
        online.add(dict(many[0], id="far too late", when=many[100]["when"]))
    with pytest.raises(UnknownOrder, match="no history needs it any more"):
        online.add_labels([(many[0]["id"], 1, many[-1]["when"])])


def test_an_order_is_what_it_was_when_it_was_sent_first(rows, built, tmp_path) -> None:
    online = histories(tmp_path / "h", built)
    row = next(row for row in rows if row["fraud"] == 1)
    assert online.add(without_label(row)) == 1
    assert online.add([row, row]) == 0
    with pytest.raises(Contradiction, match="sent before with other values"):
        online.add(dict(row, amount=row["amount"] + 1))
    with pytest.raises(Contradiction):
        online.add(dict(row, fraud=0))
    assert online.store.counts()["orders"] == 1


def test_all_or_none(rows, built, tmp_path) -> None:
    online = histories(tmp_path / "h", built)
    with pytest.raises(Contradiction):
        online.add([rows[0], rows[1], dict(rows[1], amount=1.0)])
    assert online.store.counts() == {"orders": 0, "blocks": 0}


def test_a_store_of_other_columns_is_refused(built, tmp_path) -> None:
    LmdbStore.create(tmp_path / "h", columns_of(description(label_delay_days=2.0))).close()
    with pytest.raises(HistoryError, match=r"label_delay_us.*load a store for it"):
        histories_of(tmp_path / "h", built)
    with pytest.raises(HistoryError, match="exists already"):
        LmdbStore.create(tmp_path / "h", columns_of(description()))
    with pytest.raises(HistoryError, match="tsa online load"):
        LmdbStore(tmp_path / "nothing")


def test_a_number_that_is_too_large_is_refused_before_it_is_kept(rows, built, tmp_path) -> None:
    numerical = dict(built.preprocessing.numerical)
    numerical["amount"] = numerical["amount"].changed(scale=1e25)
    steep = built.preprocessing.changed(numerical=numerical)
    store = LmdbStore.create(tmp_path / "h", columns_of(built.description))
    online = Histories(built.description, steep, "dual", store)
    online.add(dict(rows[0], amount=1e10))
    with pytest.raises(BadEvents, match=r"amount: 1e\+17 .* too large once it is scaled"):
        online.add(dict(rows[1], amount=1e17))
    with pytest.raises(WrongOrder, match=r"column amount: 1e\+20 is too large to be averaged"):
        online.add(dict(rows[1], amount=1e20))
    assert online.store.counts()["orders"] == 1


def test_an_order_that_no_window_can_add_up_leaves_the_next_ones_scorable(rows, built, tmp_path) -> None:
    online = histories(tmp_path / "h", built)
    online.add(rows[0])
    with pytest.raises(WrongOrder, match=r"column amount: 1e\+19 is too large to be averaged"):
        online.add(dict(rows[1], amount=1e19, who=rows[0]["who"], card=rows[0]["card"]))
    later = dict(rows[2], who=rows[0]["who"], card=rows[0]["card"])
    assert online.targets([later])[0].history("cid")["orders"] == 1


def test_a_column_of_ids_is_read_as_its_first_id_says(rows, built, tmp_path) -> None:
    online = histories(tmp_path / "h", built)
    online.add(dict(rows[0], card=None))
    online.add(dict(rows[1], card=17, who="customer 1"))
    assert online.store.columns.is_whole == {"id": False, "who": False, "card": True}
    with pytest.raises(WrongOrder, match="'card 2' is not a whole number"):
        online.add(dict(rows[2], card="card 2"))
