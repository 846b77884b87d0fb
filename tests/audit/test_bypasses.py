"""Hand edits, files of another run, removed entries, other settings: the next stage refuses each of them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.export_bypasses import EXPORT, together

from tsa_model.audit import audit_run


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


def failed_online_edited(s: Any) -> None:
    s.forge(s.places.online, passed=False)
    s.edit(s.places.online, passed=True)


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
    "the online verdict is of other scores": (
        lambda s: s.forge(s.places.online, scores_sha256="7" * 64),
        together("check-online/result", "the scores"),
        "online",
    ),
    "the online verdict is another model's": (
        lambda s: s.forge(s.places.online, model_digest="7" * 64),
        together("check-online/result", "onnx.json"),
        "online",
    ),
    "a failed online verdict is edited": (failed_online_edited, "check-online/result was edited", "online"),
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
