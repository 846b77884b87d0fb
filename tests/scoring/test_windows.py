"""Windows of rows: the next one is gathered meanwhile, and every row keeps its own outputs."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from tsa_model.scoring.model import ScoringModel
from tsa_model.scoring.rows import BATCH, WINDOW, compute_rows, score_rows

LONG_S = 60
"""A wait that ends so late has failed."""


@pytest.fixture(scope="module")
def session(scored):
    return ScoringModel.load(scored.onnx).session


@pytest.fixture(scope="module")
def rows(scored):
    """Row numbers of three windows, in no order."""
    return np.random.default_rng(2).integers(len(scored.store), size=2 * WINDOW + 100)


class Watched:
    """A session that does something before each batch, and counts those that are done."""

    def __init__(self, session, before) -> None:
        self._session, self._before = session, before
        self.input_names = session.input_names
        self.begun, self.done = 0, threading.Semaphore(0)
        self._lock = threading.Lock()

    def run(self, batch):
        with self._lock:
            number, self.begun = self.begun, self.begun + 1
        self._before(self, number)
        outputs = self._session.run(batch)
        self.done.release()
        return outputs


class Noted:
    """A store that says when rows are gathered."""

    def __init__(self, store) -> None:
        self._store, self.gathered = store, threading.Semaphore(0)
        self.ids_of, self.forget_pages = store.ids_of, store.forget_pages

    def arrays(self, *given):
        self.gathered.release()
        return self._store.arrays(*given)


def test_a_window_is_gathered_while_the_one_before_is_computed(scored, session, rows):
    store = Noted(scored.store)

    def wait_for_the_second_window(_, number):
        if number == 0:
            assert all(store.gathered.acquire(timeout=LONG_S) for _ in range(2)), "nothing was gathered"

    found = compute_rows(store, Watched(session, wait_for_the_second_window), rows)
    np.testing.assert_array_equal(found.score, score_rows(scored.store, session, rows).score)


def test_batches_may_end_in_any_order(scored, session, rows):
    def wait_for_the_others(watched, number):
        if number == 0:
            others = WINDOW // BATCH - 1
            assert all(watched.done.acquire(timeout=LONG_S) for _ in range(others)), "others waited for it"

    found = compute_rows(scored.store, Watched(session, wait_for_the_others), rows)
    expected = score_rows(scored.store, session, rows)
    for name in ("score", "real_orders", "gate"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.pairs == expected.pairs


@pytest.mark.parametrize("broken", [0, 9, 16])
def test_a_batch_that_fails_ends_it_with_its_own_error(scored, session, rows, broken):
    def fail(_, number):
        if number == broken:
            raise MemoryError("batch 9 of 17")

    with pytest.raises(MemoryError, match="batch 9 of 17"):
        compute_rows(scored.store, Watched(session, fail), rows)
