"""One small exported model with its store and its score files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from support.chain import Chain

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


def scored_run(chain: Chain) -> Scored:
    """The scored half of the run that all test processes share."""
    places = chain.places
    made = places.onnx, places.scores, places.report
    store = SequenceStore.open(places.store)
    return Scored(chain.run, chain.orders, store, chain.verdict, *made, chain.metrics)
