"""The challenger's own proofs: the gate, parity, and the contracts of its data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ConfigDict

from tsa_model.export.stage import read_verdict
from tsa_model.promotion.comparison import Condition
from tsa_model.scoring.model import ScoringModel
from tsa_model.sealed import read_document
from tsa_model.settings import Settings

CONTRACTS = ("raw events", "sequences", "scores")
"""What must have been kept, as the contracts call themselves."""
RESULT = "the result of a contract"
WITHOUT_STORE = "raw events"
"""This contract comes before there is a sequence store, so its result names the data set only."""


class ContractHead(Settings):
    """What a promotion asks of the result of a data contract; the rest of it is for people."""

    model_config = ConfigDict(extra="ignore")

    contract: str
    """One of `CONTRACTS`."""
    dataset: str
    passed: bool
    store_sha256: str | None = None


def check_evidence(
    model: ScoringModel, verdict_path: str | Path, contract_paths: Sequence[str | Path]
) -> list[Condition]:
    """Look at what was proven about a model before it was exported.

    Args:
        model: the challenger.
        verdict_path: the gate's verdict.
        contract_paths: results of the data contracts, as JSON; one of each of `CONTRACTS`.

    Returns:
        The checks "gate", "parity" and "contracts".
    """
    return [_gate(model, verdict_path), _parity(model), _contracts(model, contract_paths)]


def _gate(model: ScoringModel, path: str | Path) -> Condition:
    try:
        verdict = read_verdict(path, model.description.weights_sha256)
    except ValueError as error:
        return Condition(name="gate", passed=False, reason=str(error))
    verdict_id, expected = verdict.verdict_id, model.description.verdict_id
    if verdict_id != expected:
        reason = f"the model was exported on verdict {expected}, {path} is {verdict_id}"
        return Condition(name="gate", passed=False, reason=reason)
    return Condition(name="gate", passed=True, reason=f"verdict {verdict_id} on these weights")


def _parity(model: ScoringModel) -> Condition:
    parity = model.description.parity
    share, rows = parity.worst_share_of_tolerance, parity.rows
    reason = f"worst difference {share:.2g} of the tolerance over {rows} rows"
    return Condition(name="parity", passed=rows > 0 and 0 <= share <= 1, reason=reason)


def _contracts(model: ScoringModel, paths: Sequence[str | Path]) -> Condition:
    found, reasons, failures = set(), [], []
    for path in map(Path, paths):
        try:
            result = read_document(path, ContractHead, RESULT)
        except (OSError, ValueError) as error:
            failures.append(f"a contract's result is broken: {error}")
            continue
        subject, dataset = result.contract, result.dataset
        found.add(subject)
        reasons.append(f"{subject} of {dataset}")
        if not result.passed:
            failures.append(f"the contract of {subject} is broken, see {path}")
        if dataset != model.dataset.name:
            failures.append(f"{path} is about {dataset!r}, the model was made from {model.dataset.name!r}")
        store, expected = result.store_sha256, model.description.store_sha256
        if subject != WITHOUT_STORE and store != expected:
            failures.append(f"{path} is about the sequence store {store}, the model was made from {expected}")
    failures += [f"the contract's result of {name} is missing" for name in CONTRACTS if name not in found]
    return Condition(name="contracts", passed=not failures, reason="; ".join(failures or reasons))
