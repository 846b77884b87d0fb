"""What an export demands: a verdict on exactly this model, this store and this program."""

from __future__ import annotations

from pathlib import Path

from tsa_model.equivalence.results import Verdict, read_verdict
from tsa_model.export.description import OnnxDescription
from tsa_model.network.description import DESCRIPTION_FILE, ModelDescription, config_digest
from tsa_model.sealed import check_together
from tsa_model.sequences.store.storage import MANIFEST
from tsa_model.settings.gate import GateConfig
from tsa_model.version import this_program

REMEDY = "run the gate on this model and this store"


def passed_verdict(path: str | Path, gate: GateConfig) -> Verdict:
    """The verdict in a file, if the model passed every check of this program's gate.

    Args:
        path: of the verdict.
        gate: settings of the run; those of the verdict must be as strict.

    Raises:
        ValueError: it is missing or was edited, the model did not pass, or another program or laxer settings
            judged it.
    """
    from tsa_model.equivalence.gate import CHECKS

    verdict = read_verdict(path)
    if not verdict.passed:
        raise ValueError(f"{path}: the model did not pass the gate: {verdict.reason}")
    program, judge = this_program(), verdict.program
    if judge.version != program.version:
        raise ValueError(
            f"{path} and this program do not belong together: version {judge.version} judged the model,"
            f" this is {program.version}; run the gate again"
        )
    check_together(
        "the code of network and gate is",
        (path, judge.code_sha256),
        ("this program", program.code_sha256),
        "run the gate again",
    )
    made, wanted = [check.number for check in verdict.checks], [check.number for check in CHECKS]
    if made != wanted:
        raise ValueError(f"{path} has the checks {made}, the gate has {wanted}: run the gate again")
    _check_as_strict(path, verdict.settings, gate)
    return verdict


def _check_as_strict(path: str | Path, used: GateConfig, wanted: GateConfig) -> None:
    """Refuse a verdict of a gate whose settings let more pass than those of the run."""
    laxer = [name for name in ("max_auc_drop", "max_ap_drop") if getattr(used, name) > getattr(wanted, name)]
    laxer += ["baselines"] if set(wanted.baselines) - set(used.baselines) else []
    laxer += ["alert_rates"] if set(wanted.alert_rates) - set(used.alert_rates) else []
    if laxer:
        name = laxer[0]
        raise ValueError(
            f"{path} and the run description do not belong together: {name} is {getattr(used, name)} in the"
            f" first and {getattr(wanted, name)} in the second; run the gate again"
        )


def check_verdict(
    verdict: Verdict,
    verdict_path: str | Path,
    model_dir: str | Path,
    description: ModelDescription,
    store_dir: str | Path,
    store_sha256: str,
) -> None:
    """Hold a verdict against the model and the store that are exported.

    Args:
        verdict: passed.
        verdict_path: where it lies, for messages.
        model_dir: the model folder.
        description: the content of its `model.json`.
        store_dir: the sequence store.
        store_sha256: its digest.

    Raises:
        ValueError: the verdict is about other weights, another configuration or another store, or the model
            was trained on another one; the message names both files.
    """
    model, manifest = Path(model_dir) / DESCRIPTION_FILE, Path(store_dir) / MANIFEST
    weights = (model, description.weights_sha256)
    check_together("the weights are", (verdict_path, verdict.weights_sha256), weights, REMEDY)
    config = (model, config_digest(description.config))
    what = f"the configuration{_differing(verdict, description)} is"
    check_together(what, (verdict_path, verdict.config_sha256), config, REMEDY)
    what = "the sequence store is"
    check_together(what, (verdict_path, verdict.store_digest), (manifest, store_sha256), REMEDY)
    if description.store_sha256 is not None:
        remedy = "take model and store of the same run"
        check_together(what, (model, description.store_sha256), (manifest, store_sha256), remedy)


def check_exported(verdict: Verdict, verdict_path: str | Path, about: OnnxDescription, path: Path) -> None:
    """Hold an exported model against the verdict it was exported on.

    Args:
        verdict: the gate's.
        verdict_path: where it lies, for messages.
        about: the content of the model's `onnx.json`.
        path: where that lies.

    Raises:
        ValueError: they do not belong together, or the model did not pass.
    """
    pairs = {
        "the verdict is": (verdict.verdict_id, about.verdict_id),
        "the weights are": (verdict.weights_sha256, about.weights_sha256),
        "the configuration is": (verdict.config_sha256, about.config_sha256),
        "the sequence store is": (verdict.store_digest, about.store_sha256),
        "the code of network and gate is": (verdict.program.code_sha256, about.code_sha256),
    }
    for what, (found, expected) in pairs.items():
        check_together(
            what, (verdict_path, found), (path, expected), "take verdict and model of the same run"
        )
    if not verdict.passed:
        raise ValueError(f"{verdict_path}: the model did not pass the gate: {verdict.reason}")


def _differing(verdict: Verdict, description: ModelDescription) -> str:
    """The settings that two configurations have different values of, in brackets."""
    own = description.config.model_dump(mode="json", exclude={"moe_eval"})
    names = [name for name, value in own.items() if verdict.config.get(name) != value]
    return f" ({', '.join(names[:3])})" if names else ""
