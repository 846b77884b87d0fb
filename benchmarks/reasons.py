"""What reasons cost: scored rows, and the time beside them, on the test period of a finished run.

    python benchmarks/reasons.py --run runs/latest

Both times are CPU seconds of this process, taken in the same run, so their ratio holds on a busy machine too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tsa_model.export.session import ScoringSession
from tsa_model.reasons import Rules
from tsa_model.reasons.alerts import explain_rows
from tsa_model.reasons.attribution import BRIEF, THOROUGH
from tsa_model.scoring.model import ScoringModel
from tsa_model.sequences import SequenceStore


class TimedSession:
    """A session that counts its rows and its CPU seconds."""

    def __init__(self, session: ScoringSession) -> None:
        self.inner, self.input_names = session, session.input_names
        self.rows, self.seconds = 0, 0.0

    def run(self, batch: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """As the session's own."""
        began = time.process_time()
        found = self.inner.run(batch)
        self.seconds += time.process_time() - began
        self.rows += len(found["logits"])
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs/latest"))
    parser.add_argument("--model", type=Path, help="another model folder than the run's")
    parser.add_argument("--orders", type=int, default=20)
    options = parser.parse_args()
    stages = options.run / "stages"
    store = SequenceStore.open(stages / "build-sequences" / "store")
    model = ScoringModel.load(options.model or stages / "generate-scores" / "scores" / "model")
    rules = model.rules()
    targets = store.targets("test")
    rows = targets[np.linspace(0, targets.size - 1, options.orders).astype(np.int64)]
    explain_rows(rules, store, rows[:1], BRIEF)  # what is imported and prepared once is no order's time
    for name, effort in (("thorough", THOROUGH), ("brief", BRIEF)):
        session = TimedSession(model.session)
        timed = Rules(cast(ScoringSession, session), rules.dataset, rules.fitted, rules.described)
        began = time.process_time()
        found = explain_rows(timed, store, rows, effort)
        seconds = time.process_time() - began
        most = max(each.explanation.scored_rows for each in found)
        exact = sum(all(each.explanation.is_exact.values()) for each in found)
        print(
            f"{name}: {session.rows / len(found):,.0f} rows an order, {most:,} at most; "
            f"{seconds / len(found):.3f} CPU s an order, {500 * seconds / len(found):,.0f} for 500; "
            f"beside the scoring {(seconds - session.seconds) / session.seconds:.0%} of its time; "
            f"{exact} of {len(found)} exact on every side"
        )


if __name__ == "__main__":
    main()
