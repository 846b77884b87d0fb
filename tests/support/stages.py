"""Every component's own function, one after the other, on artifacts that lie as a run lays them out."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

OUTPUTS = {
    "validate_events": ("validated", "report", "result", "quarantine"),
    "build_sequences": ("store", "report", "result"),
    "train_model": ("model", "logs"),
    "check_equivalence": ("verdict", "report"),
    "export_onnx": ("onnx",),
    "generate_scores": ("scores", "report", "roc", "contract_report", "contract_result"),
    "check_online": ("result", "report"),
    "compare_champion": ("comparison", "report"),
}
METADATA = "metadata.json"


def place(folder: Path, stage: str, output: str) -> Path:
    """Where an output lies in the folder of a run."""
    return folder / "stages" / stage.replace("_", "-") / output


def run_stages(folder: Path, config: str) -> None:
    """Run every stage, and keep what Kubeflow would store with the artifacts.

    Args:
        folder: of the run.
        config: the run description as JSON.
    """
    from kfp import dsl

    import components

    kinds: dict[str, Any] = {"roc": dsl.ClassificationMetrics}
    made: dict[str, SimpleNamespace] = {}

    def run(stage: str, **inputs: object) -> SimpleNamespace:
        outputs = {
            name: kinds.get(name, dsl.Artifact)(name=name, uri=str(place(folder, stage, name)))
            for name in OUTPUTS[stage]
        }
        place(folder, stage, "").mkdir(parents=True)
        getattr(components, stage).python_func(**inputs, **outputs, config=config)
        made[stage] = SimpleNamespace(**outputs)
        return made[stage]

    validated = run("validate_events", events="", data_interval_end="").validated
    store = run("build_sequences", events=validated).store
    model = run("train_model", store=store, seed=-1, max_epochs=0).model
    verdict = run("check_equivalence", store=store, model=model).verdict
    onnx = run("export_onnx", store=store, model=model, verdict=verdict).onnx
    scores = run("generate_scores", store=store, onnx=onnx, events=validated).scores
    run("check_online", events=validated, store=store, scores=scores)
    run(
        "compare_champion",
        events=validated,
        scores=scores,
        verdict=verdict,
        events_contract=made["validate_events"].result,
        sequences_contract=made["build_sequences"].result,
        scores_contract=made["generate_scores"].contract_result,
        online=made["check_online"].result,
        champion="",
        promote=False,
    )
    found = {
        stage: {name: getattr(outputs, name).metadata for name in OUTPUTS[stage]}
        for stage, outputs in made.items()
    }
    (folder / METADATA).write_text(json.dumps(found, allow_nan=False))


def stage_metadata(folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """What Kubeflow would store: stage → output → name → value."""
    found: dict[str, dict[str, dict[str, Any]]] = json.loads((folder / METADATA).read_text())
    return found
