"""One small exported model with its store and its score files."""

from __future__ import annotations

import pytest
from support.scored_run import Scored, scored_run


@pytest.fixture(scope="session")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    return scored_run(tmp_path_factory)
