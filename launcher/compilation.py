"""Compile the pipeline to YAML, the form a cluster takes and the form a local run executes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tsa_model.files import atomic_file

if TYPE_CHECKING:
    from kfp.dsl.base_component import BaseComponent

Documents = list[dict[str, Any]]

WRITTEN_BY = "# Written by 'python pipeline.py compile'"
"""How a compiled file begins."""

# The same YAML, written and read by libyaml where PyYAML was built with it: several times faster.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def read_documents(path: str | Path) -> Documents:
    """The YAML documents of a compiled pipeline; comments do not count."""
    return list(yaml.load_all(Path(path).read_text(encoding="utf-8"), Loader=_LOADER))


def compiled_documents(pipeline: BaseComponent, image: str | None = None) -> Documents:
    """Compile `pipeline` as `kfp dsl compile` does, but in memory: there may be no place for a file.

    Args:
        pipeline: the decorated pipeline function.
        image: image reference for every stage; None = the components' own.
    """
    from google.protobuf import json_format

    specifications = [pipeline.pipeline_spec]
    if pipeline.platform_spec.platforms:
        specifications.append(pipeline.platform_spec)
    documents: Documents = [json_format.MessageToDict(one) for one in specifications]
    if image is not None:
        for executor in documents[0]["deploymentSpec"]["executors"].values():
            executor["container"]["image"] = image
    return documents


def write_documents(documents: Documents, path: str | Path) -> None:
    """Write YAML documents, whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(as_text(documents), encoding="utf-8")


def as_text(documents: Documents) -> str:
    """The YAML of compiled documents."""
    text = yaml.dump_all(documents, Dumper=_DUMPER, explicit_start=len(documents) > 1, sort_keys=True)
    return f"{WRITTEN_BY}; do not edit.\n{text}"


def stage_names(documents: Documents) -> list[str]:
    """Task names of the compiled pipeline, in an order in which each stage follows what it reads."""
    tasks = documents[0]["root"]["dag"]["tasks"]
    names: list[str] = []
    while len(names) < len(tasks):
        names += [
            name
            for name in sorted(tasks)
            if name not in names and all(before in names for before in tasks[name].get("dependentTasks", ()))
        ]
    return names


def stages_before(documents: Documents) -> dict[str, tuple[str, ...]]:
    """Stage → the stages that must have ended before it, in the order of `stage_names`."""
    tasks = documents[0]["root"]["dag"]["tasks"]
    return {name: tuple(sorted(tasks[name].get("dependentTasks", ()))) for name in stage_names(documents)}


def display_names(documents: Documents) -> dict[str, str]:
    """Stage → what people read for it, in the order of `stage_names`."""
    tasks = documents[0]["root"]["dag"]["tasks"]
    return {name: tasks[name]["taskInfo"]["name"] for name in stage_names(documents)}


def output_types(documents: Documents, task: str) -> dict[str, str]:
    """Name to schema title ("system.HTML") of every artifact that `task` promises to write."""
    component = documents[0]["root"]["dag"]["tasks"][task]["componentRef"]["name"]
    outputs = documents[0]["components"][component].get("outputDefinitions", {})
    return {
        name: artifact["artifactType"]["schemaTitle"]
        for name, artifact in outputs.get("artifacts", {}).items()
    }
