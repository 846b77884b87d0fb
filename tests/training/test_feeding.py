from __future__ import annotations

import numpy as np
import pytest
import torch

from tsa_model.sequences import SequenceStore
from tsa_model.training.feeding import (
    EvaluationBatches,
    ShuffledBatches,
    TrainBatches,
    drop_duplicates,
)

ROWS = np.arange(100, 203)


def epoch(sampler: ShuffledBatches, number: int) -> list[np.ndarray]:
    sampler.set_epoch(number)
    return list(sampler.batches())


def test_an_epoch_has_every_row_once_and_no_two_are_alike() -> None:
    sampler = ShuffledBatches(ROWS, 10, seed=3)
    first, second = (np.concatenate(epoch(sampler, n)) for n in (0, 1))
    assert sorted(first) == sorted(second) == ROWS.tolist()
    assert first.tolist() != second.tolist()
    assert len(sampler) == 11


def test_order_depends_on_seed_and_epoch_alone() -> None:
    again = ShuffledBatches(ROWS, 10, seed=3)
    epoch(again, 5)
    for one, other in zip(epoch(again, 1), epoch(ShuffledBatches(ROWS, 10, seed=3), 1), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(epoch(again, 1)[0], epoch(ShuffledBatches(ROWS, 10, seed=4), 1)[0])


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_ranks_share_the_steps_of_one_process(world_size: int) -> None:
    alone = epoch(ShuffledBatches(ROWS, 5 * world_size, seed=1), 2)
    ranks = [epoch(ShuffledBatches(ROWS, 5, 1, rank, world_size), 2) for rank in range(world_size)]
    for step, shares in zip(alone, zip(*ranks, strict=True), strict=False):
        joined = np.concatenate(shares)
        np.testing.assert_array_equal(joined, step[: len(joined)])
        assert len(step) - len(joined) < world_size
        assert len({len(share) for share in shares}) == 1
    assert sum(len(batch) for rank in ranks for batch in rank) > len(ROWS) - world_size


def test_too_few_rows_for_the_processes_are_refused() -> None:
    with pytest.raises(ValueError, match="1 training rows cannot be shared by 2"):
        ShuffledBatches(ROWS[:1], 5, 0, rank=0, world_size=2)


def test_resuming_inside_an_epoch_gives_the_rest_of_it(store: SequenceStore) -> None:
    def batches() -> TrainBatches:
        sampler = ShuffledBatches(store.targets("train"), 100, seed=0)
        sampler.set_epoch(4)
        return TrainBatches(store, "dual", sampler)

    whole = [batch["row"].tolist() for batch in batches()]
    stopped = batches()
    reading = iter(stopped)
    for _ in range(2):
        next(reading)
    resumed = batches()
    resumed.load_state_dict(stopped.state_dict())
    assert [batch["row"].tolist() for batch in resumed] == whole[2:]
    assert [batch["row"].tolist() for batch in resumed] == whole  # the next epoch is whole again


def test_resuming_at_the_end_of_an_epoch_gives_the_next_one(store: SequenceStore) -> None:
    batches = TrainBatches(store, "dual", ShuffledBatches(store.targets("train"), 100, seed=0))
    n = len(list(batches))
    batches.load_state_dict(batches.state_dict())
    assert len(list(batches)) == n == len(batches)


def test_a_batch_is_the_stores_and_names_its_rows(store: SequenceStore) -> None:
    batch = next(iter(EvaluationBatches(store, "single", store.targets("vali"), 7)))
    expected = store.batch_rows(store.targets("vali")[:7], "single")
    assert batch["row"].tolist() == store.targets("vali")[:7].tolist()
    assert batch.keys() - {"row"} == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(batch[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_covers_every_row_once_in_the_same_batches(store: SequenceStore, world_size: int) -> None:
    rows = store.targets("vali")[:95]
    alone = {tuple(b["row"].tolist()) for b in EvaluationBatches(store, "dual", rows, 10)}
    ranks = [EvaluationBatches(store, "dual", rows, 10, r, world_size) for r in range(world_size)]
    assert len({len(rank) for rank in ranks}) == 1
    read = [batch for rank in ranks for batch in rank]
    assert {tuple(batch["row"].tolist()) for batch in read} == alone
    row, label = drop_duplicates(*(torch.cat([b[name] for b in read]) for name in ("row", "label")))
    assert row.tolist() == sorted(rows.tolist())
    assert label.tolist() == store.labels("vali")[:95].tolist()
