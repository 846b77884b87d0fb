"""The challenger's own proofs: the gate, parity, and the contracts of its data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ConfigDict

from tsa_model.equivalence.results import read_verdict
from tsa_model.export.description import OnnxDescription
from tsa_model.export.file_names import DESCRIPTION_FILE
from tsa_model.export.proof import check_exported
from tsa_model.promotion.comparison import Condition
from tsa_model.scoring.model import ScoringModel
from tsa_model.sealed import Digest, Signed, check_together, read_sealed

CONTRACTS = ("raw events", "sequences", "scores", "online")
"""What must have been kept, as the contracts call themselves; "online" is the verdict of `check_online`."""
RESULT = "the result of a contract"
SAME_RUN = "take the files of one run"


class ContractHead(Signed):
    """What a promotion asks of the result of a data contract; the rest of it is for people."""

    model_config = ConfigDict(extra="ignore")

    contract: str
    """One of `CONTRACTS`."""
    dataset: str
    passed: bool
    events_sha256: Digest | None = None
    """Of the validated events; of "raw events", "sequences" and "online"."""
    store_sha256: Digest | None = None
    """Of the sequence store; of "sequences", "scores" and "online"."""
    model_digest: Digest | None = None
    """Of the ONNX file; of "scores" and "online"."""
    scores_sha256: Digest | None = None
    """The seal of the scores' manifest; of "scores" and "online"."""


@dataclass(frozen=True)
class Evidence:
    """What was proven about a model before it was exported.

    Attributes:
        checks: "gate", "parity" and "contracts".
        digests: what was read → its digest.
    """

    checks: list[Condition]
    digests: dict[str, str] = field(default_factory=dict)


def check_evidence(
    model: ScoringModel,
    verdict_path: str | Path,
    contract_paths: Sequence[str | Path],
    scores_sha256: str | None = None,
) -> list[Condition]:
    """The checks of `read_evidence`."""
    return read_evidence(model, verdict_path, contract_paths, scores_sha256).checks


def read_evidence(
    model: ScoringModel,
    verdict_path: str | Path,
    contract_paths: Sequence[str | Path],
    scores_sha256: str | None = None,
) -> Evidence:
    """Look at what was proven about a model before it was exported.

    Args:
        model: the challenger.
        verdict_path: the gate's verdict.
        contract_paths: results of the data contracts, as JSON; one of each of `CONTRACTS`.
        scores_sha256: the seal of the manifest of its scores; None = they are not given.
    """
    digests: dict[str, str] = {}
    about, path = model.description, model.directory / DESCRIPTION_FILE
    checks = [
        _gate(about, path, Path(verdict_path), digests),
        _parity(model),
        _contracts(model, contract_paths, scores_sha256, digests),
    ]
    if scores_sha256 is not None:
        digests["scores"] = scores_sha256
    return Evidence(checks, digests)


def _gate(about: OnnxDescription, model: Path, path: Path, digests: dict[str, str]) -> Condition:
    try:
        verdict = read_verdict(path)
        check_exported(verdict, path, about, model)
    except ValueError as error:
        return Condition(name="gate", passed=False, reason=str(error))
    digests["verdict"] = verdict.sha256 or ""
    return Condition(name="gate", passed=True, reason=f"verdict {verdict.verdict_id} on these weights")


def _parity(model: ScoringModel) -> Condition:
    parity = model.description.parity
    share, rows = parity.worst_share_of_tolerance, parity.rows
    reason = f"worst difference {share:.2g} of the tolerance over {rows} rows"
    return Condition(name="parity", passed=rows > 0 and 0 <= share <= 1, reason=reason)


def _contracts(
    model: ScoringModel,
    paths: Sequence[str | Path],
    scores_sha256: str | None,
    digests: dict[str, str],
) -> Condition:
    found, reasons, failures = set(), [], []
    for path in map(Path, paths):
        try:
            result = read_contract(path)
        except (OSError, ValueError) as error:
            failures.append(f"a contract's result is broken: {error}")
            continue
        found.add(result.contract)
        reasons.append(f"{result.contract} of {result.dataset}")
        digests[f"contract of {result.contract}"] = result.sha256 or ""
        if not result.passed:
            failures.append(f"the contract of {result.contract} is broken, see {path}")
        if result.dataset != model.dataset.name:
            failures.append(
                f"{path} is about {result.dataset!r}, the model was made from {model.dataset.name!r}"
            )
        try:
            check_contract_of(result, path, model.description, model.directory / DESCRIPTION_FILE)
            if result.contract in ("scores", "online") and scores_sha256 is not None:
                stated = (path, result.scores_sha256)
                check_together("the scores are", stated, ("the scores", scores_sha256), SAME_RUN)
        except ValueError as error:
            failures.append(str(error))
    failures += [f"the contract's result of {name} is missing" for name in CONTRACTS if name not in found]
    return Condition(name="contracts", passed=not failures, reason="; ".join(failures or reasons))


def read_contract(path: Path) -> ContractHead:
    """What the result of a data contract is about, and whether it was kept.

    Raises:
        ValueError: it is missing, no result of a contract, or was edited.
    """
    return read_sealed(path, ContractHead, RESULT, f"no file is not {RESULT}")


def check_contract_of(result: ContractHead, path: Path, about: OnnxDescription, model: Path) -> None:
    """Hold the result of a contract against the exported model whose data it is about.

    Args:
        result: of a data contract.
        path: where it lies.
        about: the content of the model's `onnx.json`.
        model: where that lies.

    Raises:
        ValueError: they are about other events, another store or another model.
    """
    events = ("the validated events are", result.events_sha256, about.events_sha256)
    store = ("the sequence store is", result.store_sha256, about.store_sha256)
    onnx = ("the ONNX file is", result.model_digest, about.onnx_sha256)
    stated = {"raw events": (events,), "sequences": (events, store), "scores": (store, onnx)}
    stated["online"] = (events, store, onnx)
    for what, found, expected in stated.get(result.contract, ()):
        check_together(what, (path, found), (model, expected), SAME_RUN)
