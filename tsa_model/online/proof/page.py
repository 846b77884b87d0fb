"""The verdict as one HTML page; a function of the verdict alone."""

from __future__ import annotations

from pathlib import Path

from tsa_model.online.proof.verdict import OnlineVerdict
from tsa_model.pages.render import render_page
from tsa_model.signing import shown_signature

TEMPLATE = Path(__file__).with_name("online.html.j2")
FOUND = {True: "found", False: "NOT found", None: "these orders cannot show it"}


def render(verdict: OnlineVerdict) -> str:
    """The page of a verdict, complete in itself."""
    return render_page(
        TEMPLATE,
        verdict=verdict,
        facts=_facts(verdict),
        comparisons=_comparisons(verdict),
        controls=[(name, was_found, FOUND[was_found]) for name, was_found in verdict.controls.items()],
        identity={
            "dataset": verdict.dataset,
            "validated events, SHA-256": verdict.events_sha256 or "not stated",
            "sequence store, SHA-256": verdict.store_sha256 or "not stated",
            "ONNX file, SHA-256": verdict.model_digest,
            "scores, seal": verdict.scores_sha256 or "not given",
            "program": f"{verdict.program.version}, code {verdict.program.code_sha256[:12]}",
            "signature": shown_signature(verdict.signature),
        },
    )


def _facts(verdict: OnlineVerdict) -> list[tuple[str, str]]:
    return [
        ("orders compared", f"{verdict.compared:,}"),
        ("orders sent", f"{verdict.streamed:,}"),
        ("labels in between", f"{verdict.labels:,}"),
        ("scored over HTTP", f"{verdict.requests:,}"),
        ("seconds", f"{verdict.seconds:.0f}"),
    ]


def _comparisons(verdict: OnlineVerdict) -> list[tuple[str, str, int]]:
    """What was compared, how, and how many differ."""
    v = verdict
    return [
        ("tensors of the sequence store", "byte for byte", v.different_tensors),
        ("score of those tensors in a call of one order", "to the last bit", v.different_scores),
        ("score in the score file", f"within {v.tolerance:.0e}", v.different_in_file),
        ("answer of the server", "to the last bit", v.different_answers),
    ]
