"""No output destroys what this program did not make, whatever is given as one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tsa_model.outputs import OutputError, begins_with, check_output_file, check_output_folder, json_with


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder: orders, notes, a link, a model, scores of ours, and one with a file of the user's."""
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "model", "scores", "mixed", "empty", "claims", "events/day=1"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "mine" / "orders.parquet").write_text("orders")
    (tmp_path / "events" / "day=1" / "part.parquet").write_text("orders")
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "other.json").write_text('{"fail": 1}')
    (tmp_path / "list.json").write_text('["passed"]')
    (tmp_path / "link").symlink_to("empty")
    (tmp_path / "nowhere").symlink_to("gone")
    (tmp_path / "model" / "model.json").write_text(json.dumps({"weights_sha256": "0"}))
    (tmp_path / "model" / "model.safetensors").write_text("weights")
    for name in ("scores", "mixed"):
        entry = {"bytes": 1, "sha256": "0"}
        files = {"scores.parquet": entry, "vali/scores.parquet": entry}
        (tmp_path / name / "vali").mkdir()
        for file in files:
            (tmp_path / name / file).write_text("s")
        (tmp_path / name / "manifest.json").write_text(json.dumps({"files": files}))
    (tmp_path / "mixed" / "vali" / "orders.csv").write_text("the user's")
    (tmp_path / "claims" / "manifest.json").write_text(json.dumps({"files": ["thesis.tex"]}))
    (tmp_path / "claims" / "thesis.tex").write_text("the user's")
    return tmp_path


def everything(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


HOSTILE = {
    ".": "is the current folder",
    "..": "is the current folder or one above it",
    "/": "is the current folder or one above it",
    "mine": "holds what is read as the events",
    "events": "is what is read as the history",
    "events/day=1/out": "lies in what is read as the history",
    "model": "is what is read as the model",
    "model/out": "lies in what is read as the model",
    "notes.txt": "is a file, and a folder is needed",
    "link": "is a link",
    "nowhere": "is a link",
    "mixed": "holds 'vali/orders.csv', which this program did not write",
    "claims": "holds 'manifest.json', which this program did not write",
}


@pytest.mark.parametrize("output", HOSTILE)
def test_a_hostile_output_folder_is_refused(world: Path, output: str) -> None:
    before = everything(world)
    inputs = {
        "the model": "model",
        "the events": Path("mine/orders.parquet"),
        "the history": world / "events",
    }
    with pytest.raises(OutputError, match=HOSTILE[output]) as refused:
        check_output_folder(output, inputs, "--output")
    assert f"--output {output!r}" in str(refused.value)
    assert everything(world) == before


@pytest.mark.parametrize("output", ["new", "new/below", "empty", "scores"])
def test_a_new_an_empty_and_our_own_folder_are_taken(world: Path, output: str) -> None:
    check_output_folder(output, {"the model": "model", "the events": "s3://bucket/orders"}, "--output")


def test_a_manifest_that_is_no_text_claims_nothing(world: Path) -> None:
    (world / "claims" / "manifest.json").write_bytes(b"[" * 100_000)
    with pytest.raises(OutputError, match="did not write"):
        check_output_folder("claims", {}, "--output")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("mine", "is a folder, and a file is needed"),
        (".", "is a folder"),
        ("link", "is a link"),
        ("nowhere", "is a link"),
        ("mine/orders.parquet", "is what is read as the events"),
        ("notes.txt", "exists and was not written by this program"),
        ("other.json", "exists and was not written by this program"),
        ("list.json", "exists and was not written by this program"),
    ],
)
def test_a_hostile_output_file_is_refused(world: Path, output: str, message: str) -> None:
    before = everything(world)
    with pytest.raises(OutputError, match=message):
        check_output_file(output, {"the events": "mine/orders.parquet"}, "--output", json_with("passed"))
    assert everything(world) == before


def test_a_new_an_empty_and_our_own_file_are_taken(world: Path) -> None:
    (world / "verdict.json").write_text('\n{"passed": true}')
    (world / "nothing").touch()
    for output in ("verdict.json", "nothing", "new/verdict.json"):
        check_output_file(output, {"the model": "model"}, "--output", json_with("passed"))


def test_a_file_is_known_by_how_it_begins(world: Path) -> None:
    (world / "pipeline.yaml").write_text("# Written by us\nname: x")
    check_output_file("pipeline.yaml", {}, "--output", begins_with("# Written by us"))
    with pytest.raises(OutputError, match="not written by this program"):
        check_output_file("notes.txt", {}, "--output", begins_with("# Written by us"))
