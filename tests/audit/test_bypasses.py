"""Hand edits, files of another run, removed entries, other settings: the next stage refuses each of them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tsa_model.audit import audit_run
from tsa_model.network.description import read_description
from tsa_model.sealed import write_sealed

TOGETHER = (
    r"{0} and .*{1} do not belong together: .* [0-9a-f]{{12}} in the first and [0-9a-f]{{12}} in the second; "
)


def together(first: str, second: str) -> str:
    """A sentence that names two files and twelve digits of what each of them states."""
    return TOGETHER.format(re.escape(first), re.escape(second))


def minimal_verdict(s: Any) -> None:
    weights = read_description(s.places.model).weights_sha256
    s.places.verdict.write_text(json.dumps({"passed": True, "verdict_id": "x", "weights_sha256": weights}))


def former_verdict(s: Any) -> None:
    s.forge(s.places.verdict, format=1)


def failed(s: Any) -> dict[str, Any]:
    """The verdict's entries when check 3 failed."""
    content = json.loads(s.places.verdict.read_text())
    content["checks"][3]["passed"] = False
    return {"passed": False, "checks": content["checks"]}


def failed_edited_to_passed(s: Any) -> None:
    s.forge(s.places.verdict, **failed(s))
    s.edit(s.places.verdict, passed=True)


def failed_forged_to_passed(s: Any) -> None:
    forge_verdict(s, **failed(s) | {"passed": True})


def forge_verdict(s: Any, **changes: Any) -> None:
    """A verdict with other content, its id and its seal."""
    from tsa_model.equivalence import Verdict
    from tsa_model.sealed import read_document

    s.forge(s.places.verdict, **changes)
    verdict = read_document(s.places.verdict, Verdict, "a verdict")
    write_sealed(s.places.verdict, verdict.changed(verdict_id=verdict.content_id()))


def other_id(s: Any) -> None:
    s.forge(s.places.verdict, verdict_id="0" * 64)


def other_weights_digest(s: Any) -> None:
    s.edit(s.places.verdict, weights_sha256=read_description(s.other.model).weights_sha256)


def verdict_of_another_run(s: Any) -> None:
    s.exchange("verdict")


def verdict_of_another_store(s: Any) -> None:
    forge_verdict(s, store_digest="1" * 64)


def verdict_of_another_version(s: Any) -> None:
    program = json.loads(s.places.verdict.read_text())["program"]
    forge_verdict(s, program=program | {"version": "0.0.9"})


def verdict_of_other_code(s: Any) -> None:
    program = json.loads(s.places.verdict.read_text())["program"]
    forge_verdict(s, program=program | {"code_sha256": "2" * 64})


def verdict_without_a_check(s: Any) -> None:
    forge_verdict(s, checks=json.loads(s.places.verdict.read_text())["checks"][:-1])


def verdict_of_a_lax_gate(s: Any) -> None:
    settings = json.loads(s.places.verdict.read_text())["settings"]
    forge_verdict(s, settings=settings | {"max_auc_drop": 0.5})


def measurement_forged(s: Any) -> None:
    checks = json.loads(s.places.verdict.read_text())["checks"]
    checks[2]["measurements"][0]["value"] = 0.0
    forge_verdict(s, checks=checks)


def same_weights_as(**settings: Any) -> Callable[[Any], None]:
    """The model folder with another configuration, sealed again."""

    def spoil(s: Any) -> None:
        description = read_description(s.places.model)
        changed = description.changed(config=description.config.changed(**settings))
        write_sealed(s.places.model / "model.json", changed)

    return spoil


def edited_threshold(s: Any) -> None:
    config = json.loads((s.places.model / "model.json").read_text())["config"]
    s.edit(s.places.model / "model.json", config=config | {"gate_threshold": 0.4})


def a_file_beside_the_weights(s: Any) -> None:
    (s.places.model / "more.safetensors").write_bytes(b"")


def other_weights(s: Any) -> None:
    shutil.copyfile(s.other.model / "model.safetensors", s.places.model / "model.safetensors")


def another_store(s: Any) -> None:
    s.exchange("store")


def another_vocabulary(s: Any) -> None:
    path = s.places.store / "preprocessing.json"
    content = json.loads(path.read_text())
    name = next(iter(content["categorical"]))
    words = content["categorical"][name]
    content["categorical"][name] = [*words[1:], words[0]] if isinstance(words, list) else words
    path.write_text(json.dumps(content) + " ")


def model_trained_elsewhere(s: Any) -> None:
    s.forge(s.places.model / "model.json", metadata={"store_digest": "3" * 64})


EXPORT = {
    "a verdict of three entries": (minimal_verdict, "verdict is not a verdict: .*missing"),
    "a verdict of the former format": (former_verdict, "verdict has format 1, this version reads 2"),
    "a failed verdict edited to passed": (failed_edited_to_passed, "verdict was edited: its content"),
    "a failed verdict forged to passed": (failed_forged_to_passed, "was edited: it says passed: True of 9"),
    "a verdict under another id": (other_id, "was edited: its content has not the verdict_id"),
    "a verdict with other weights": (other_weights_digest, "verdict was edited"),
    "a verdict of another run": (verdict_of_another_run, together("verdict", "model.json")),
    "a verdict of another store": (verdict_of_another_store, together("verdict", "manifest.json")),
    "a verdict of another version": (
        verdict_of_another_version,
        r"verdict and this program do not belong together: version 0\.0\.9 judged the model, this is",
    ),
    "a verdict on other code": (verdict_of_other_code, together("verdict", "this program")),
    "a verdict of a laxer gate": (
        verdict_of_a_lax_gate,
        r"verdict and the run description do not belong together: max_auc_drop is 0\.5 in the first",
    ),
    "a measurement out of bounds": (
        measurement_forged,
        "was edited: check 2 says passed: True, with rows is 0",
    ),
    "a verdict without a check": (verdict_without_a_check, r"has the checks \[0.*7\], the gate has \[0.*8\]"),
    "an edited threshold": (edited_threshold, "model.json was edited"),
    "another gate_threshold": (
        same_weights_as(gate_threshold=0.4),
        together("verdict", "model.json").replace(
            r"together: ", r"together: the configuration \(gate_threshold\)"
        ),
    ),
    "another num_heads": (same_weights_as(num_heads=2), together("verdict", "model.json")),
    "another use_time_seq": (same_weights_as(use_time_seq=False), together("verdict", "model.json")),
    "a file beside the weights": (a_file_beside_the_weights, "more.safetensors is not listed"),
    "the weights of another run": (other_weights, "model.safetensors was changed"),
    "another store": (another_store, together("verdict", "manifest.json")),
    "another vocabulary": (another_vocabulary, r"preprocessing\.json (was changed|has \d+ bytes)"),
    "a model trained on another store": (model_trained_elsewhere, together("model.json", "manifest.json")),
}


@pytest.mark.parametrize("name", EXPORT)
def test_the_export_refuses(spoilt: Any, name: str) -> None:
    spoil, words = EXPORT[name]
    spoil(spoilt)
    with pytest.raises(ValueError, match=words) as caught:
        spoilt.export()
    assert "\n" not in str(caught.value)
    assert not spoilt.out.exists()
    audit = audit_run(spoilt.places.folder)
    assert not audit.passed
    assert audit.links[-1].name in ("store", "model", "verdict", "onnx")


def entry_removed(s: Any) -> None:
    files = json.loads((s.scoring_model / "onnx.json").read_text())["files"]
    s.edit(
        s.scoring_model / "onnx.json", files={k: v for k, v in files.items() if k != "percentile_map.json"}
    )


def entry_and_file_removed(s: Any) -> None:
    entry_removed(s)
    (s.scoring_model / "percentile_map.json").unlink()


def every_entry_removed(s: Any) -> None:
    s.edit(s.scoring_model / "onnx.json", files={})


def file_elsewhere(s: Any) -> None:
    shutil.copyfile(s.places.onnx / "model.onnx", s.scoring_model.parent / "elsewhere.onnx")
    s.forge(s.scoring_model / "onnx.json", model_file="../elsewhere.onnx")


def calibrator_added(s: Any) -> None:
    (s.scoring_model / "calibration.json").write_text(
        '{"method": "prior", "sampled_prior": 0.5, "prior": 0.1}'
    )


def calibrator_of_another_model(s: Any) -> None:
    calibrator_added(s)
    s.edit(s.scoring_model / "calibration.json", onnx_sha256="4" * 64)
    s.forge_folder(s.scoring_model)


def forged_calibrator_for_nothing(s: Any) -> None:
    calibrator_added(s)
    s.forge_folder(s.scoring_model)


def forged(**changes: Any) -> Callable[[Any], None]:
    """The description of the model folder with other entries, sealed again."""
    return lambda s: s.forge(s.scoring_model / "onnx.json", **changes)


def forged_configuration(s: Any) -> None:
    config = json.loads((s.scoring_model / "onnx.json").read_text())["model_config"]
    s.forge(s.scoring_model / "onnx.json", model_config=config | {"gate_threshold": 0.4})


def forged_vocabulary(s: Any) -> None:
    from tsa_model.files import sha256

    source = s.other.store / "preprocessing.json"
    path = s.scoring_model / "preprocessing.json"
    shutil.copyfile(source, path)
    path.write_text(path.read_text() + " ")
    s.forge_folder(s.scoring_model, preprocessing_sha256=sha256(path))


def damaged_onnx(s: Any) -> None:
    path = s.scoring_model / "repository" / "tsa" / "1" / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


FOLDER = {
    "an entry is removed": (entry_removed, "percentile_map.json is not listed in the manifest of"),
    "an entry and its file are removed": (entry_and_file_removed, "onnx.json was edited"),
    "every entry is removed": (every_entry_removed, "is not listed in the manifest of"),
    "the ONNX file lies elsewhere": (file_elsewhere, r"lists no file '\.\./elsewhere\.onnx'"),
    "a calibrator is added": (calibrator_added, "calibration.json is not listed"),
    "the calibrator is another model's": (
        calibrator_of_another_model,
        together("calibration.json", "model.onnx"),
    ),
    "the calibrator is nobody's": (forged_calibrator_for_nothing, "calibration.json and .* do not belong"),
    "it states another verdict": (forged(verdict_id="5" * 64), together("model.onnx", "onnx.json")),
    "it states other weights": (forged(weights_sha256="5" * 64), together("model.safetensors", "onnx.json")),
    "it states another store": (forged(store_sha256="5" * 64), together("model.onnx", "onnx.json")),
    "it states other events": (forged(events_sha256="5" * 64), together("model.onnx", "onnx.json")),
    "it states another configuration": (
        forged_configuration,
        "the network in .* do not belong together: the configuration",
    ),
    "its vocabulary is another one": (forged_vocabulary, together("model.onnx", "onnx.json")),
    "the ONNX file is damaged": (damaged_onnx, "model.onnx was changed"),
}


@pytest.mark.parametrize("name", FOLDER)
def test_a_model_folder_is_refused_when(spoilt: Any, name: str) -> None:
    spoil, words = FOLDER[name]
    spoil(spoilt)
    with pytest.raises(ValueError, match=words):
        spoilt.load()
    audit = audit_run(spoilt.places.folder)
    assert audit.links[-1].name == "calibrators"
    assert re.search(words, audit.links[-1].finding)


def a_row(path: Path) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[1], lines[0], *lines[2:]]) + "\n")


def swapped_rows(s: Any) -> None:
    a_row(s.places.scores / "score_file.csv")


def unlisted_scores(s: Any) -> None:
    (s.places.scores / "more.csv").write_text("0.5\n")


def manifest_of_another_model(s: Any) -> None:
    s.forge(s.places.scores / "manifest.json", model_digest="6" * 64)


def broken_contract_edited(s: Any) -> None:
    s.forge(s.places.scores_result, passed=False)
    s.edit(s.places.scores_result, passed=True)


COMPARE = {
    "rows of a score file are swapped": (swapped_rows, "score_file.csv was changed", "scores"),
    "a score file is added": (unlisted_scores, "more.csv is not listed", "scores"),
    "the scores are another model's": (
        manifest_of_another_model,
        together("manifest.json", "onnx.json"),
        "scores",
    ),
    "the events are another run's": (
        lambda s: s.exchange("events"),
        together("onnx.json", "validated"),
        "events",
    ),
    "the events' contract is another run's": (
        lambda s: s.exchange("events_result"),
        together("validate-events/result", "onnx.json"),
        "events",
    ),
    "the sequences' contract is another run's": (
        lambda s: s.exchange("store_result"),
        together("build-sequences/result", "onnx.json"),
        "store",
    ),
    "the scores' contract is of other scores": (
        lambda s: s.forge(s.places.scores_result, scores_sha256="7" * 64),
        together("contract_result", "the scores"),
        "scores",
    ),
    "a broken contract is edited": (broken_contract_edited, "contract_result was edited", "scores"),
    "the verdict is another run's": (
        lambda s: s.exchange("verdict"),
        together("verdict", "onnx.json"),
        "verdict",
    ),
}


@pytest.mark.parametrize("name", COMPARE)
def test_no_model_is_promoted_when(spoilt: Any, name: str) -> None:
    spoil, words, link = COMPARE[name]
    spoil(spoilt)
    with pytest.raises(ValueError, match=words):
        spoilt.compare()
    assert audit_run(spoilt.places.folder).links[-1].name == link


def test_scores_need_the_store_of_the_model(spoilt: Any) -> None:
    spoilt.exchange("store")
    with pytest.raises(ValueError, match=together("onnx.json", "manifest.json")):
        spoilt.score()


def test_the_bypasses_are_many() -> None:
    assert len(EXPORT) + len(FOLDER) + len(COMPARE) >= 40
