"""The chain inside a model folder, and from it to the registry it lies in."""

from __future__ import annotations

from pathlib import Path

from tsa_model.audit.links import Audit, Link, walk
from tsa_model.export.description import (
    OnnxDescription,
    check_metadata,
    onnx_metadata,
    read_onnx_folder,
)
from tsa_model.export.file_names import DESCRIPTION_FILE
from tsa_model.files import sha256
from tsa_model.promotion.registry import MODELS, POINTER, Registry
from tsa_model.scoring.model import CALIBRATOR_FILE, PERCENTILE_FILE, check_calibration
from tsa_model.sealed import check_together


def audit_model(directory: str | Path, registry: str | Path | None = None) -> Audit:
    """Walk the chain of a model folder.

    Args:
        directory: what `export_onnx` or `generate_scores` wrote, or a folder of a registry.
        registry: where it should be the model in use; None = the registry it lies in, if it does.

    Returns:
        Every link up to the first that is broken.
    """
    folder = Path(directory)
    found: dict[str, OnnxDescription] = {}

    def onnx() -> Link:
        found["model"] = about = read_model(folder)
        return model_link("onnx", folder, about)

    steps = {"onnx": onnx, "calibrators": lambda: calibrators(folder, found["model"])}
    place = Path(registry) if registry is not None else registry_of(folder)
    if place is not None:
        steps["champion"] = lambda: champion(place, folder)
    return walk(str(directory), steps)


def read_model(folder: Path) -> OnnxDescription:
    """The content of a folder's `onnx.json`, held against its files and the metadata of the ONNX file."""
    about = read_onnx_folder(folder)
    check_metadata(folder, about, onnx_metadata(folder / about.model_file))
    return about


def model_link(name: str, folder: Path, about: OnnxDescription) -> Link:
    """A model folder as a link."""
    finding = (
        f"{about.model_file} and {DESCRIPTION_FILE} agree: weights {about.weights_sha256[:12]}, verdict"
        f" {about.verdict_id[:12]}; {len(about.files)} files, each as listed"
    )
    path, digest = str(folder), about.onnx_sha256
    return Link(name=name, path=path, digest=digest, passed=True, finding=finding, signature=about.signature)


def calibrators(folder: Path, about: OnnxDescription) -> Link:
    """Percentile map and calibrator of a folder as a link; an exported model may have neither."""
    check_calibration(folder, about)
    there = [name for name in (PERCENTILE_FILE, CALIBRATOR_FILE) if (folder / name).is_file()]
    finding = "none in this folder"
    if there:
        finding = f"fitted on the scores of this ONNX file: {', '.join(there)}"
    digest = about.files[there[-1]] if there else about.onnx_sha256
    return Link(name="calibrators", path=str(folder), digest=digest, passed=True, finding=finding)


def registry_of(folder: Path) -> Path | None:
    """The registry that a model folder lies in."""
    place = folder.resolve().parent
    is_registry = place.name == MODELS and (place.parent / POINTER).is_file()
    return place.parent if is_registry else None


def champion(place: Path, folder: Path) -> Link:
    """The model in use as a link: it is whole, and this one or another."""
    registry = Registry(place)
    pointer = registry.pointer()
    if pointer is None:
        finding = "the registry has no champion yet"
        return Link(
            name="champion", path=str(place), digest=sha256(place / POINTER), passed=True, finding=finding
        )
    registry.champion_dir()
    own = sha256(folder / DESCRIPTION_FILE)
    entries = {entry.id: entry for entry in pointer.history}
    if folder.resolve().parent == (place / MODELS).resolve() and folder.resolve().name in entries:
        promoted = entries[folder.resolve().name]
        remedy = "it is another model than was promoted"
        check_together("the model folder is", (folder, own), (place / POINTER, promoted.digest), remedy)
    is_it = pointer.current.digest == own
    finding = f"the model in use is {'this one' if is_it else 'another one'}, {pointer.current.id}, and whole"
    return Link(
        name="champion",
        path=str(place),
        digest=pointer.current.digest,
        passed=True,
        finding=finding,
        signature=pointer.signature,
    )
