"""`tsa compile`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import Result

import pipeline
from launcher.compilation import compiled_documents, read_documents, write_documents

Command = Callable[..., Result]


def test_compile_sets_the_image_of_every_stage(command: Command, tmp_path: Path) -> None:
    target = tmp_path / "other.yaml"
    assert (
        command("compile", "--image", "registry/tsa-python@sha256:abc", "--output", str(target)).exit_code
        == 0
    )
    executors = read_documents(target)[0]["deploymentSpec"]["executors"].values()
    assert {executor["container"]["image"] for executor in executors} == {"registry/tsa-python@sha256:abc"}


def test_compile_check_tells_when_the_file_is_old(command: Command, tmp_path: Path) -> None:
    target = tmp_path / "pipeline.yaml"
    assert command("compile", "--check", "--output", str(target)).exit_code == 1
    write_documents(compiled_documents(pipeline.tsa_pipeline), target)
    assert command("compile", "--check", "--output", str(target)).exit_code == 0
    target.write_text(target.read_text().replace("tsa-pipeline", "other-pipeline"))
    result = command("compile", "--check", "--output", str(target))
    assert result.exit_code == 1
    assert "is not current" in result.output


def test_compile_for_vertex_writes_one_document_and_says_what_it_leaves_out(
    command: Command, tmp_path: Path
) -> None:
    target = tmp_path / "vertex.yaml"
    site = tmp_path / "site.yaml"
    site.write_text("stages: {train_model: {accelerator: {vertex: NVIDIA_H100_80GB, count: 8}}}\n")
    result = command("compile", "--target", "vertex", "--stages", str(site), "--output", str(target))
    assert result.exit_code == 0, result.output
    assert "vertex has no place for them: timeout_s, labels, shared_memory" in result.output
    (document,) = read_documents(target)
    accelerator = document["deploymentSpec"]["executors"]["exec-train-model"]["container"]["resources"][
        "accelerator"
    ]
    assert accelerator["resourceType"] == "NVIDIA_H100_80GB"
    assert accelerator["resourceCount"] == "8"


def test_compile_names_a_mistake_in_the_stage_settings(command: Command, tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("stages: {train: {}}\n")
    result = command("compile", "--stages", str(site), "--output", str(tmp_path / "out.yaml"))
    assert result.exit_code == 1
    assert "no stages ['train']" in result.output
    assert not (tmp_path / "out.yaml").exists()
