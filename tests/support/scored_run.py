"""One small exported model with its store and its score files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from support.chain import shared_chain

from tsa_model.equivalence import Verdict
from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig


@dataclass(frozen=True)
class Scored:
    """Everything a scored run left behind."""

    run: RunConfig
    events: pd.DataFrame
    store: SequenceStore
    verdict: Verdict
    onnx: Path
    scores: Path
    report: Path
    metrics: dict


def scored_run(factory: pytest.TempPathFactory) -> Scored:
    """The run, made once for all test processes: an export takes longer than all that reads it."""
    chain = shared_chain(factory)
    places = chain.places
    made = places.onnx, places.scores, places.report
    store = SequenceStore.open(places.store)
    return Scored(chain.run, chain.orders, store, chain.verdict, *made, chain.metrics)
