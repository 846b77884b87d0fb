"""Ways around the gate that the export must refuse: things that do not belong together."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from typing import Any

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
    measured = next(each for each in checks[2]["measurements"] if each["relation"] == "<=" and each["bound"])
    measured["value"] = 123_456.0
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
        "was edited: check 2 says passed: True, with .* is 1.23e",
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
