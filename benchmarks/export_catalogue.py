"""Does the parity check notice? Every fault of an exported model or its session must be refused."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from export_mutant import ModelMutant, SessionMutant, StaleMutant
from kept import Calls
from mutants_of_files import FILE_MUTANTS
from mutants_of_sessions import SESSION_MUTANTS

EXPORT_MUTANTS: list[ModelMutant | SessionMutant] = [*FILE_MUTANTS, *SESSION_MUTANTS]
ROWS = 60


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Attributes:
        first: what refused it: `contents`, before anything is computed, or `outputs`; empty = nothing.
        seconds: until the refusal.
        reason: what the refusal says.
    """

    first: str
    seconds: float
    reason: str


class NotLoaded:
    """Stands for a session of a file that ONNX Runtime does not load."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, batch: Any) -> Any:
        """Refuse."""
        raise RuntimeError(f"ONNX Runtime does not load {self.path.name}")

    def call(self, batch: Any) -> Any:
        """Refuse."""
        return self.run(batch)

    def with_threads(self, threads: int) -> NotLoaded:
        """Itself."""
        return self


def exported(folder: Path) -> tuple[Any, Any, dict[str, Any]]:
    """The small network the mutants are tried on, a session of its export, and rows with order ids."""
    import numpy as np
    import torch
    from mutants import configuration

    from tsa_model import build_network
    from tsa_model.equivalence.evidence.generated import ragged_rows
    from tsa_model.equivalence.evidence.probe import with_probe_weights
    from tsa_model.export.graph import write_onnx
    from tsa_model.export.session import ScoringSession, SessionSettings

    torch.manual_seed(0)
    config = configuration("dual")
    network = with_probe_weights(build_network(config, "fast"), 0).eval()
    write_onnx(network, folder / "model.onnx", {})
    batch: dict[str, Any] = {**ragged_rows(config, ROWS, 3)}
    batch["order_id"] = np.array([f"order-{row}" for row in range(ROWS)])
    return network, ScoringSession(folder / "model.onnx", SessionSettings()), batch


def tried(mutant: Any, network: Any, session: Any, batch: dict[str, Any], folder: Path) -> Outcome:
    """The parity check on one mutant."""
    from tsa_model.export import ParityError, check_parity
    from tsa_model.export.parity_error import ContentsError

    path = folder / "mutant.onnx"
    changed: Any
    try:
        changed = mutant.session(session, path)
    except StaleMutant:
        raise
    except Exception:  # ONNX Runtime does not load it, and raises a type of its own
        changed = NotLoaded(path)
    started = time.perf_counter()
    try:
        check_parity(network, changed, batch)
    except ParityError as error:
        first = "contents" if isinstance(error, ContentsError) else "outputs"
        return Outcome(first, time.perf_counter() - started, str(error))
    return Outcome("", time.perf_counter() - started, "")


def matrix(outcomes: dict[str, dict[str, Any]]) -> str:
    """Markdown: a row per mutant, the half of the check that refuses it first, and after how long."""
    lines = ["| mutant | refused by | seconds |", "|---|---|--:|"]
    lines += [
        f"| {name} | {each['first'] or 'nothing'} | {each['seconds']:.1f} |"
        for name, each in outcomes.items()
    ]
    return "\n".join(lines)


def page(outcomes: dict[str, dict[str, Any]]) -> str:
    """The document that keeps the kill matrix."""
    killed = sum(bool(each["first"]) for each in outcomes.values())
    return f"""# Kill matrix of the parity check

Written by `python benchmarks/mutants.py --catalogue export --markdown docs/KILL_MATRIX_EXPORT.md`.
Each mutant is an exported model, or the session that runs it, with one fault. It is refused by the *contents*
of its file, before anything is computed, or by the *outputs* of its calls. Seconds are those until then, on a
busy machine.

{killed} of {len(outcomes)} mutants are killed.

{matrix(outcomes)}
"""


def main(calls: Calls) -> int:
    """Try the mutants that were not tried before; 1 if one of all survives."""
    from tsa_model.export import check_parity

    mutants = {each.name: each for each in EXPORT_MUTANTS}
    outcomes = calls.kept()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network, session, batch = exported(folder)
        started = time.perf_counter()
        check_parity(network, session, batch)
        print(f"the unchanged export passes ({time.perf_counter() - started:.1f} s)", flush=True)
        for each in calls.left(list(mutants)):
            outcome = tried(mutants[each], network, session, batch, folder)
            outcomes[each] = asdict(outcome)
            calls.keep(each, outcomes[each])
            word = f"killed by {outcome.first}" if outcome.first else "SURVIVED"
            reason = " ".join(outcome.reason.split())[:200]
            print(f"{word} in {outcome.seconds:.1f} s: {each}: {reason}", flush=True)
    outcomes = {name: outcomes[name] for name in mutants if name in outcomes}
    n_killed = sum(bool(each["first"]) for each in outcomes.values())
    print(f"\n{matrix(outcomes)}\n\n{n_killed} of {len(outcomes)} mutants killed")
    if calls.markdown:
        calls.markdown.write_text(page(outcomes), encoding="utf-8")
    return 0 if n_killed == len(outcomes) else 1
