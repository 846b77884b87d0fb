"""One small store for all training tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.small_training import small_run

from tsa_model.sequences import SequenceStore
from tsa_model.simulation import simulate_orders


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> SequenceStore:
    run = small_run()
    assert run.simulation is not None
    folder = tmp_path_factory.mktemp("store") / "store"
    return SequenceStore.build(simulate_orders(run.simulation), run.dataset, folder)


@pytest.fixture
def store_dir(store: SequenceStore) -> Path:
    return store.directory


@pytest.fixture(autouse=True)
def _leave_torch_as_it_was() -> Any:
    deterministic = torch.are_deterministic_algorithms_enabled()
    state = torch.get_rng_state()
    yield
    torch.use_deterministic_algorithms(deterministic)
    torch.set_rng_state(state)
