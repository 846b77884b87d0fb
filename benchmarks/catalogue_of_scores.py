"""The catalogue "scores": faults in finished score files and in the code that scores.

A small run is made once by the unchanged code: events, store, gate, export, scores. A fault in a finished
file changes a copy of its score folder; a fault in the code scores again with a changed copy of the package.
Each is tried in a process of its own, and then held to the score contract of the unchanged code. The contract
must name what is wrong; a stage that stops by itself counts too.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kept import Calls
from mutant import Mutant
from mutants_of_score_files import FILE_FAULTS, FileFault, ScoreFolder
from mutants_of_scoring import SCORING_MUTANTS

ROOT = Path(__file__).resolve().parents[1]
ORDERS = 14_000
FIRST_ORDER_ID = 20_000_000
"""So large that float32 does not hold every id."""
LOADED = (
    "matplotlib.pyplot",
    "onnxruntime",
    "sklearn.linear_model",
    "sklearn.metrics",
    "data_contracts.scores",
    "tsa_model.scoring.proof.proof",
    "tsa_model.scoring.stage",
)
FAULTS: list[FileFault | Mutant] = [*FILE_FAULTS, *SCORING_MUTANTS]


@dataclass(frozen=True)
class SmallRun:
    """What the unchanged code made."""

    folder: Path

    @property
    def events(self) -> Path:
        """Validated events."""
        return self.folder / "events.parquet"

    @property
    def store(self) -> Path:
        """Sequence store."""
        return self.folder / "store"

    @property
    def onnx(self) -> Path:
        """Exported model."""
        return self.folder / "onnx"

    @property
    def scores(self) -> ScoreFolder:
        """Score files and the report beside them."""
        return ScoreFolder(self.folder / "scores", self.folder / "report.html")

    def config(self) -> Any:
        """The run description."""
        from tsa_model.settings.run import RunConfig

        content = RunConfig.load("demo").model_dump()
        content["dataset"]["seq_len"] = 8
        content["simulation"]["orders"] = ORDERS
        content["model"] = {
            "dim_embedding_table": 8,
            "dim_attn_feedforward": 8,
            "num_heads": 2,
            "n_layers_order": 1,
            "n_layers_feature": 1,
            "num_experts": 3,
            "moe_eval": "deterministic",
        }
        content["training"] = {"max_epochs": 1, "batch_size": 256, "patience": 0, "accelerator": "cpu"}
        return RunConfig.model_validate(content)

    def make(self) -> dict[str, Any]:
        """Make everything but the scores; the network has random weights and passes the gate."""
        from tsa_model import build_network
        from tsa_model.equivalence import check_equivalence
        from tsa_model.equivalence.evidence.probe import with_probe_weights
        from tsa_model.export.stage import export_onnx
        from tsa_model.network.checkpoint import save_model
        from tsa_model.sequences import SequenceStore
        from tsa_model.simulation import simulate_orders
        from tsa_model.training.runner import model_config

        run = self.config()
        orders = simulate_orders(run.simulation)
        orders["order_id"] += FIRST_ORDER_ID
        orders.to_parquet(self.events, index=False)
        store = SequenceStore.build(self.events, run.dataset, self.store)
        network = with_probe_weights(build_network(model_config(run, store), "fast"), 1)
        save_model(network.eval(), self.folder / "trained")
        verdict = self.folder / "verdict.json"
        check_equivalence(self.store, self.folder / "trained", run, verdict, self.folder / "gate.html")
        export_onnx(self.store, self.folder / "trained", verdict, run, self.onnx)
        return {}

    def score(self, into: Path) -> dict[str, Any]:
        """Score into another folder."""
        from tsa_model.scoring import generate_scores

        generate_scores(self.store, self.onnx, self.config(), into / "scores", into / "report.html")
        return {}

    def judge(self, scored: ScoreFolder) -> dict[str, Any]:
        """The score contract's first broken rule and its seconds; no rule where all hold."""
        from data_contracts.findings import ContractViolation
        from data_contracts.scores import validate_scores

        work, started = scored.report.parent, time.perf_counter()
        try:
            validate_scores(
                scored.folder,
                self.store,
                self.config(),
                work / "contract.html",
                work / "contract.json",
                self.events,
                scored.report,
            )
            first, by = "", []
        except ContractViolation:
            findings = json.loads((work / "contract.json").read_text())["findings"]
            by = [one["sentence"] for one in findings if not one["passed"] and one["severity"] == "stop"]
            first = by[0]
        return {"first": first, "by": by, "seconds": time.perf_counter() - started}


def try_fault(run: SmallRun, one: FileFault | Mutant | None) -> dict[str, Any]:
    """What the contract says of a fault (None = there is none)."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        scored = ScoreFolder(work / "scores", work / "report.html")

        def spoil() -> dict[str, Any]:
            if isinstance(one, FileFault):
                shutil.copytree(run.scores.folder, scored.folder)
                shutil.copyfile(run.scores.report, scored.report)
                one.spoil(scored)
                return {}
            if one is not None:
                _import_copy(one, work)
            try:
                return run.score(work)
            except ValueError as error:
                return {"first": f"the stage itself: {error}", "by": ["the stage itself"], "seconds": 0.0}

        return in_a_child(spoil) or in_a_child(lambda: run.judge(scored))


def in_a_child(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The answer of a function that runs in a forked process, whatever it does to itself."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = work()
        except Exception as error:
            answer = {"first": f"BROKEN: {error!r}", "by": [], "seconds": 0.0}
        finally:
            os.write(writer, json.dumps(answer).encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        written = stream.read()
    os.waitpid(child, 0)
    return json.loads(written)


def _import_copy(one: Mutant, work: Path) -> None:
    """Forget the package, and import a changed copy of it."""
    package = work / "tsa_model"
    shutil.copytree(ROOT / "tsa_model", package, ignore=shutil.ignore_patterns("__pycache__"))
    one.apply(package)
    for name in [name for name in sys.modules if name.split(".")[0] == "tsa_model"]:
        del sys.modules[name]
    sys.path.insert(0, str(work))
    import tsa_model

    assert Path(tsa_model.__file__).is_relative_to(work), "the copy was not imported"
    _be_quiet()
    _leave_out_what_is_not_judged()


def _leave_out_what_is_not_judged() -> None:
    """Score without pictures and with the fewest resamples, to be quick."""
    import tsa_model.evaluation.intervals
    import tsa_model.scoring.stage

    tsa_model.scoring.stage.draw_pictures = lambda *_: []  # type: ignore[assignment]
    tsa_model.evaluation.intervals.RESAMPLES = tsa_model.evaluation.intervals.MIN_RESAMPLES = 2


def _load_once() -> None:
    """Import what every child would import: it is forked from here."""
    sys.path.insert(0, str(ROOT))
    for name in LOADED:
        importlib.import_module(name)
    from data_contracts.context import _context

    _context()
    _be_quiet()


def _be_quiet() -> None:
    import torch

    from tsa_model import progress

    torch.set_num_threads(1)
    progress.report = lambda *_: None  # type: ignore[assignment]


def main(calls: Calls) -> int:
    """Try the faults that were not tried before; 1 where one of all survives."""
    faults = {one.name: one for one in FAULTS}
    with calls.place() as folder:
        _load_once()
        run, made = SmallRun(folder), folder / "made"
        if not made.is_file():
            clean = (
                in_a_child(run.make)
                or in_a_child(lambda: run.score(run.folder))
                or in_a_child(lambda: run.judge(run.scores))
            )
            print(f"unchanged code: {clean['first'] or 'every rule holds'}", flush=True)
            if clean["first"]:
                print("the contract rejects correct scores", file=sys.stderr)
                return 1
            made.touch()
        results = calls.kept()
        for name in calls.left(list(faults)):
            found = results[name] = try_fault(run, faults[name])
            calls.keep(name, found)
            word = "killed" if found["by"] else "SURVIVED"
            print(f"{word} in {found['seconds']:.1f} s: {name}: {found['first'][:150]}", flush=True)
    results = {name: results[name] for name in faults if name in results}
    survivors = [name for name, found in results.items() if not found["by"]]
    print(f"\n{len(results) - len(survivors)} of {len(results)} faults killed")
    if calls.markdown:
        calls.markdown.write_text(page(results), encoding="utf-8")
    return 1 if survivors else 0


def page(results: dict[str, dict[str, Any]]) -> str:
    """The document that keeps the result."""
    lines = ["| fault | the first rule that it breaks | seconds |", "|---|---|--:|"]
    for name, found in results.items():
        first = found["first"] or "**none**"
        lines.append(f"| {name} | {first[:160]} | {found['seconds']:.1f} |")
    killed = sum(bool(found["by"]) for found in results.values())
    return f"""# Faults that the score contract finds

`python benchmarks/mutants.py --catalogue scores --keep FOLDER --markdown docs/KILL_MATRIX_SCORES.md` writes
this page. Each fault is a finished score folder as a faulty program would have left it, or the shipped code
with one change that then scores. "The stage itself" means that no score file was written. Seconds are those
of the contract, on a machine that did much else at the time.

{killed} of {len(results)} faults are killed; the catalogue has {len(FAULTS)}.

{chr(10).join(lines)}
"""
