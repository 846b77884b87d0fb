"""How well the demo learns with each loss: AUC and average precision of its test period.

    python benchmarks/losses.py [--losses CrossEntropyLoss ASLSingleLabel] [--epochs 12] [--json losses.json]

Every loss has its default parameters and trains the same network on the same store of simulated orders, from
the same seed, with the demo's own settings; the epoch with the best validation metric is tested.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from handbook_models import score_tsa, train_tsa
from sklearn.metrics import average_precision_score, roc_auc_score

from tsa_model.losses.factory import LOSSES
from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig
from tsa_model.simulation import simulate_orders


def main() -> None:
    """Train with each loss and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--losses", nargs="+", choices=list(LOSSES), default=list(LOSSES))
    parser.add_argument("--epochs", type=int, help="passes over the training orders (default: the demo's)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    run = RunConfig.load("demo")
    if options.epochs:
        run = run.changed(training=run.training.changed(max_epochs=options.epochs))
    assert run.simulation is not None
    results: dict[str, dict[str, Any]] = {}
    print("| loss | test AUC | test AP | validation AUC | best epoch |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        store = SequenceStore.build(simulate_orders(run.simulation), run.dataset, Path(folder) / "store")
        rows = store.targets("test")
        label = store.labels_of(rows)
        for loss in options.losses:
            training = run.training.changed(loss=loss)
            trained = run.changed(training=training)
            place = Path(folder) / loss
            curve = train_tsa("tsa_dual", store, trained, options.seed, place)["curve"]
            score = score_tsa("tsa_dual", store, rows, place)
            results[loss] = {
                "auc_roc": float(roc_auc_score(label, score)),
                "average_precision": float(average_precision_score(label, score)),
                "curve": curve,
            }
            print(
                f"| `{loss}` | {results[loss]['auc_roc']:.3f} | {results[loss]['average_precision']:.3f} "
                f"| {max(curve):.3f} | {curve.index(max(curve)) + 1} of {len(curve)} |",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
