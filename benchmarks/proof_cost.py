"""What the proofs of a finished run cost: CPU seconds of each check of the gate, of parity and of the scores.

    python benchmarks/proof_cost.py runs/latest
    python benchmarks/proof_cost.py runs/latest --only gate parity

CPU seconds are those of the whole process, all threads together; run with OMP_NUM_THREADS=1 to compare two
versions. Everything is proven again from the run's own files, and nothing is written there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tsa_model import progress
from tsa_model.settings.run import RunConfig


class Stopwatch:
    """CPU seconds between the gate's reports, of which there is one before every check."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._current = ("the gate: networks and rows", time.process_time())

    def report(self, done: int, total: int, unit: str = "", note: str = "") -> None:
        """Stands in for `progress.report`."""
        if unit != "check":
            return
        name, since = self._current
        now = time.process_time()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - since
        self._current = (f"the gate: {note}" if note else "the gate: verdict", now)


def _gate(stages: Path, run: RunConfig) -> dict[str, float]:
    from tsa_model.equivalence.gate import judge_model

    watch = Stopwatch()
    before, progress.report = progress.report, watch.report
    try:
        verdict = judge_model(stages / "build-sequences" / "store", stages / "train-model" / "model", run)
    finally:
        progress.report = before
    if not verdict.passed:
        raise ValueError(verdict.reason)
    return watch.seconds


def _parity(stages: Path, _: RunConfig) -> dict[str, float]:
    from tsa_model.batch import ORDER_ID
    from tsa_model.export.file_names import MODEL_FILE
    from tsa_model.export.parity import check_parity
    from tsa_model.export.session import ScoringSession, SessionSettings
    from tsa_model.export.stage import PARITY_ROWS, parity_rows
    from tsa_model.network.checkpoint import load_model
    from tsa_model.sequences import SequenceStore

    network = load_model(stages / "train-model" / "model", "reference")
    session = ScoringSession(stages / "export-onnx" / "onnx" / MODEL_FILE, SessionSettings())
    store = SequenceStore.open(stages / "build-sequences" / "store")
    rows = parity_rows(store, PARITY_ROWS)
    batch: dict[str, Any] = {**store.batch_rows(rows, network.config.sequences)}
    batch[ORDER_ID] = store.ids_of(rows)
    started = time.process_time()
    check_parity(network, session, batch)
    return {"parity": time.process_time() - started}


def _scores(stages: Path, run: RunConfig) -> dict[str, float]:
    from data_contracts.scores import validate_scores

    scores, store = stages / "generate-scores" / "scores", stages / "build-sequences" / "store"
    events, report = stages / "validate-events" / "validated", stages / "generate-scores" / "report"
    started = time.process_time()
    with TemporaryDirectory() as folder:
        page, result = (Path(folder) / name for name in ("contract.html", "contract.json"))
        validate_scores(scores, store, run, page, result, events, report)
    return {"score contract": time.process_time() - started}


PROOFS: dict[str, Callable[[Path, RunConfig], dict[str, float]]] = {
    "gate": _gate,
    "parity": _parity,
    "scores": _scores,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--only", nargs="+", choices=sorted(PROOFS), default=sorted(PROOFS))
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # data_contracts lies at the root
    run = RunConfig.load(json.loads((options.run / "arguments.json").read_text())["config"])
    found: dict[str, float] = {}
    for name in options.only:
        found |= PROOFS[name](options.run / "stages", run)
    print("| proof | CPU s |\n|---|--:|")
    for name, seconds in found.items():
        print(f"| {name} | {seconds:.1f} |")
    print(f"| together | {sum(found.values()):.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
