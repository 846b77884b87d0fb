"""Verdicts and contract results of models that no gate has judged: sealed like real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tsa_model.equivalence.gate import CHECKS, Identity, make_verdict
from tsa_model.equivalence.results import Verdict, at_least
from tsa_model.files import write_json
from tsa_model.network.checkpoint import read_description
from tsa_model.sealed import sealed, with_seal, write_sealed
from tsa_model.sequences import SequenceStore
from tsa_model.signing import NOT_SIGNED


def passed_verdict(store_dir: Path, model_dir: Path) -> Verdict:
    """A verdict on a model and a store, as if every check had passed."""
    description = read_description(model_dir)
    config = description.config.changed(moe_eval="deterministic").model_dump(mode="json")
    results = [check.conclude([at_least("rows", 1, 1)], "fine") for check in CHECKS]
    identity = Identity(description.weights_sha256, SequenceStore.open(store_dir).digest)
    return make_verdict(results, identity, {"rows": 1}, config, 0.0)


def write_verdict(store_dir: Path, model_dir: Path, path: Path) -> Verdict:
    """Write such a verdict."""
    verdict = passed_verdict(store_dir, model_dir)
    write_sealed(path, verdict)
    return verdict


def changed_verdict(verdict: Verdict, **changes: Any) -> Verdict:
    """A verdict with other content and the seal that belongs to it."""
    changed = verdict.changed(**changes)
    return sealed(changed.changed(verdict_id=changed.content_id()))


def write_contract(path: Path, contract: str, **about: Any) -> Path:
    """Write the result of a contract that was kept."""
    content = {"contract": contract, "dataset": "demo", "passed": True, **about, "signature": NOT_SIGNED}
    write_json(path, with_seal(content))
    return path
