"""What the replay found, as the document that a promotion demands."""

from __future__ import annotations

from typing import Literal

from tsa_model.scoring.model import ScoringModel
from tsa_model.sealed import Digest, Signed
from tsa_model.version import Program, this_program

CONTROLS = (
    "a history one order short",
    "histories an hour older",
    "windows an hour off",
    "a label a day early",
    "another scaler",
    "another time zone",
)
"""The faults that are planted, by name."""


class OnlineVerdict(Signed):
    """Whether orders get online what the batch gave them; also read as the result of a contract."""

    format: Literal[1] = 1
    contract: Literal["online"] = "online"
    dataset: str
    passed: bool
    reason: str
    """One sentence: what was shown, or what differs."""
    events_sha256: Digest | None
    store_sha256: Digest | None
    model_digest: Digest
    """Of the ONNX file."""
    scores_sha256: Digest | None
    """The seal of the scores' manifest; None = the scores of a run were not given."""
    program: Program
    streamed: int = 0
    """Orders that were sent one after the other."""
    labels: int = 0
    """Labels that came in between."""
    compared: int = 0
    """Orders of the test period whose tensors and score were compared."""
    wanted: int = 0
    """How many should be: 2,000, or all that there are."""
    ties: int = 0
    """Of the compared ones: with another order of their customer or card at the same moment."""
    first_orders: int = 0
    """Without an earlier order of their customer."""
    without_card_history: int = 0
    different_tensors: int = 0
    different_scores: int = 0
    """Orders whose score is not, to the last bit, that of the batch's own tensors in a call of one order."""
    different_in_file: int = 0
    """Orders whose score is further from the score file's than the tolerance."""
    decided_by_shape: int = 0
    """Orders that are so far from it because calls of several orders take another routing."""
    largest_difference: float = 0.0
    """From a score in the file."""
    tolerance: float = 0.0
    requests: int = 0
    """Orders that were scored by a server over HTTP."""
    different_answers: int = 0
    example: str | None = None
    """An order that differs, and where."""
    controls: dict[str, bool | None] = {}
    """Planted fault → whether the comparison found it; None = these orders cannot show it."""
    seconds: float = 0.0


def not_needed(model: ScoringModel, scores_sha256: str | None) -> OnlineVerdict:
    """The verdict on a model of wide rows: they bring their histories along, so there is none to look up."""
    about = model.description
    return OnlineVerdict(
        dataset=model.dataset.name,
        passed=True,
        reason="orders of the wide layout bring their histories along: nothing is looked up",
        events_sha256=about.events_sha256,
        store_sha256=about.store_sha256,
        model_digest=about.onnx_sha256,
        scores_sha256=scores_sha256,
        program=this_program(),
    )
