"""Does the parity check notice? Every fault of an exported model or its session must be refused."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export_mutant import ModelMutant, SessionMutant, StaleMutant
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


def matrix(outcomes: dict[str, Outcome]) -> str:
    """Markdown: a row per mutant, the half of the check that refuses it first, and after how long."""
    lines = ["| mutant | refused by | seconds |", "|---|---|--:|"]
    lines += [
        f"| {name} | {each.first or 'nothing'} | {each.seconds:.1f} |" for name, each in outcomes.items()
    ]
    return "\n".join(lines)


def page(table: str, n: int, n_killed: int) -> str:
    """The document that keeps the kill matrix."""
    return f"""# Kill matrix of the parity check

Written by `python benchmarks/mutants.py --catalogue export --markdown docs/KILL_MATRIX_EXPORT.md`.
Each mutant is an exported model, or the session that runs it, with one fault. It is refused by the *contents*
of its file, before anything is computed, or by the *outputs* of its calls. Seconds are those until then, on a
busy machine.

{n_killed} of {n} mutants are killed.

{table}
"""


def main(only: str, markdown: Path | None) -> int:
    """Try all mutants whose name contains a text; 1 if one survives."""
    from tsa_model.export import check_parity

    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network, session, batch = exported(folder)
        started = time.perf_counter()
        check_parity(network, session, batch)
        print(f"the unchanged export passes ({time.perf_counter() - started:.1f} s)", flush=True)
        for mutant in [each for each in EXPORT_MUTANTS if only in each.name]:
            each = outcomes[mutant.name] = tried(mutant, network, session, batch, folder)
            word = f"killed by {each.first}" if each.first else "SURVIVED"
            reason = " ".join(each.reason.split())[:200]
            print(f"{word} in {each.seconds:.1f} s: {mutant.name}: {reason}", flush=True)
    n_killed = sum(bool(each.first) for each in outcomes.values())
    table = matrix(outcomes)
    print(f"\n{table}\n\n{n_killed} of {len(outcomes)} mutants killed")
    if markdown:
        markdown.write_text(page(table, len(outcomes), n_killed), encoding="utf-8")
    return 0 if n_killed == len(outcomes) else 1
