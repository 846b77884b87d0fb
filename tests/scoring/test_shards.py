"""Shards: the bytes of one process, a process that dies alone, and nothing left behind."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tsa_model.scoring import rows as rows_module
from tsa_model.scoring import shards
from tsa_model.scoring.model import ScoringModel
from tsa_model.scoring.pairs import PairDigest
from tsa_model.scoring.rows import score_rows


@pytest.mark.parametrize("n_rows", [1, 2047, 2048, 2049, 10_000, 123_456])
@pytest.mark.parametrize("n_shards", [1, 2, 3, 8, 100])
def test_stretches_are_whole_windows_and_hold_every_row_once(n_rows, n_shards):
    cuts = shards.stretches(n_rows, n_shards)
    assert len(cuts) <= n_shards
    assert np.concatenate([np.arange(n_rows)[cut] for cut in cuts]).tolist() == list(range(n_rows))
    assert all(cut.start % rows_module.WINDOW == 0 for cut in cuts)
    windows = [-(-(cut.stop - cut.start) // rows_module.WINDOW) for cut in cuts]
    assert max(windows) - min(windows) <= 1


def test_digests_of_parts_make_that_of_the_whole():
    ids, score = np.arange(1000), np.random.default_rng(0).random(1000).astype(np.float32)
    parts = [
        str(PairDigest.of(ids[cut], score[cut])) for cut in (slice(0, 1), slice(1, 700), slice(700, 1000))
    ]
    assert PairDigest.joined(parts) == str(PairDigest.of(ids, score))


@pytest.fixture(scope="module")
def many(scored):
    """A session, and row numbers of three windows, in no order."""
    rows = np.random.default_rng(1).integers(len(scored.store), size=2 * rows_module.WINDOW + 100)
    return scored.store, ScoringModel.load(scored.onnx).session, rows


def same(found, expected):
    for name in ("score", "real_orders", "gate"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.pairs == expected.pairs


def test_two_processes_give_the_bytes_of_one(many, tmp_path):
    store, session, rows = many
    told = []
    found = shards.score_in_shards(
        store, session, rows, 2, tmp_path / "scores", lambda done, total: told.append((done, total))
    )
    same(found, score_rows(store, session, rows))
    assert told[-1] == (rows.size, rows.size)
    assert list(tmp_path.iterdir()) == []


def dying(monkeypatch, times):
    """Let each process be a thread, and that of the second shard die so many times."""
    killed = []

    def run(self, job, told, log):
        if "2.rows" in job["rows"] and len(killed) < times:
            killed.append(job)
            log.write(b"no memory left\n")
            return -9
        shards.score_shard(job, told)
        return 0

    monkeypatch.setattr(shards._Processes, "run", run)
    return killed


def test_a_shard_that_dies_is_repeated_alone(many, tmp_path, monkeypatch):
    store, session, rows = many
    killed = dying(monkeypatch, 2)
    found = shards.score_in_shards(store, session, rows, 3, tmp_path / "scores")
    same(found, score_rows(store, session, rows))
    assert len(killed) == 2


def test_a_shard_that_always_dies_ends_all_and_says_why(many, tmp_path, monkeypatch):
    store, session, rows = many
    dying(monkeypatch, shards.TRIES)
    words = r"shard 2 of 3.* 3 times with status -9: no memory left"
    with pytest.raises(shards.ShardFailed, match=words) as caught:
        shards.score_in_shards(store, session, rows, 3, tmp_path / "scores")
    assert isinstance(caught.value, OSError), "a command says other errors with a traceback"
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_other_orders_is_refused(many, tmp_path, monkeypatch):
    store, session, rows = many
    dying(monkeypatch, 0)
    read = shards._Shard._read

    def mixed_up(self, part):
        with np.load(part) as held:
            changed = {**held, "score": held["score"][::-1]}
        with part.open("wb") as file:
            np.savez(file, **changed)
        return read(self, part)

    monkeypatch.setattr(shards._Shard, "_read", mixed_up)
    with pytest.raises(shards.ShardFailed, match="are not those of its orders"):
        shards.score_in_shards(store, session, rows, 2, tmp_path / "scores")


def test_a_process_ends_when_nobody_waits_for_it():
    process = subprocess.Popen(
        [sys.executable, "-c", "from tsa_model.scoring.shards import _end_with_parent as end; end()"],
        stdin=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin is not None
    time.sleep(0.1)
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(timeout=60) == 1
