"""`onnx.json`: what an exported model is, how its session starts, and the digest of every file beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from tsa_model.export.file_names import (
    DATASET_FILE,
    DESCRIPTION_FILE,
    NETWORK_FOLDER,
    PREPROCESSING_FILE,
)
from tsa_model.export.session import SessionSettings
from tsa_model.network.description import WEIGHTS_FILE, config_digest
from tsa_model.sealed import (
    Digest,
    Signed,
    check_files,
    check_together,
    list_files,
    read_document,
    read_sealed,
    write_sealed,
)
from tsa_model.settings import Settings
from tsa_model.settings.model import ModelConfig

REMEDY = "export the model again"
IN_THE_MODEL = (
    "project_version",
    "code_sha256",
    "run_config_sha256",
    "weights_sha256",
    "config_sha256",
    "verdict_id",
    "store_sha256",
    "events_sha256",
    "preprocessing_sha256",
    "moe_eval",
)
"""Entries that the ONNX file states too, in its own metadata."""


class ExcusedRow(Settings):
    """A row that is right under another routing than the reference's."""

    row: str
    """Its order id, or its place."""
    decisions: tuple[str, ...]
    """Taken the other way: mixtures and tokens, or the card gate."""
    difference: NonNegativeFloat
    """Largest difference of a logit from the reference."""
    difference_from_other: NonNegativeFloat
    """And from the reference under the other routing."""


class ParitySummary(Settings):
    """What the parity check compared and how far apart it was."""

    rows: NonNegativeInt
    """Rows that differ from each other."""
    results: NonNegativeInt = 0
    """Rows of all calls."""
    tensors: NonNegativeInt = 0
    """Tensors of the file that were compared with the weights."""
    rounding_rows: NonNegativeInt = 0
    """Rows beyond the tolerance by no more than float32 networks themselves are."""
    excused_rows: NonNegativeInt
    """Rows that are right under another routing than the reference's only."""
    excused: tuple[ExcusedRow, ...] = ()
    """These rows, one by one."""
    worst_excused_difference: NonNegativeFloat = 0.0
    """Largest difference of their logits from the reference."""
    tolerance: dict[str, float]
    """What was allowed."""
    worst_difference: dict[str, float]
    """Output → largest absolute difference among the rows that are not excused."""
    worst_share_of_tolerance: float
    """Largest difference of logits over what was allowed; above 1 the check fails."""
    grid_batch_length: tuple[tuple[PositiveInt, PositiveInt], ...]
    """(batch, length) pairs that were run."""
    experts: NonNegativeInt
    """Experts of all mixtures."""
    experts_hit: NonNegativeInt
    """Experts that at least one compared token was sent to."""


class OnnxDescription(Signed):
    """The content of `onnx.json`."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    format: Literal[2] = 2
    model_file: str
    """The ONNX file, relative to the folder."""
    onnx_sha256: Digest
    """Of the ONNX file."""
    project_version: str
    code_sha256: Digest
    """Of the code that the gate judged; see `tsa_model/version.py`."""
    run_config_sha256: Digest
    weights_sha256: Digest
    """Of the weights file the ONNX file was made from."""
    config_sha256: Digest
    """Of the network's configuration, but for `moe_eval`."""
    verdict_id: Digest
    """Of the gate's verdict on these weights."""
    store_sha256: Digest
    """Of the manifest of the sequence store the model was trained on."""
    events_sha256: Digest | None = None
    """Of the validated events the store was built from; null where it was built outside a run."""
    preprocessing_sha256: Digest
    moe_eval: str
    network: ModelConfig = Field(alias="model_config")  # Pydantic keeps this name for itself
    """The network's configuration."""
    inputs: dict[str, tuple[int | str, ...]]
    """Input → its dimensions, a name where the size is free."""
    outputs: dict[str, tuple[int | str, ...]]
    session: SessionSettings
    """How the session is started, for the parity check and for scoring."""
    parity: ParitySummary
    training_history: dict[str, NonNegativeFloat] = {}
    """Key → earlier orders of a training target on average; empty in folders of former versions."""
    files: dict[str, Digest] = {}
    """Every other file of the folder."""


def write_description(description: OnnxDescription, folder: Path) -> None:
    """Write `onnx.json` into the folder of an exported model, with the digest of every other file there."""
    files = {name: file.sha256 for name, file in list_files(folder, (DESCRIPTION_FILE,)).items()}
    write_sealed(folder / DESCRIPTION_FILE, description.changed(files=files))


def read_onnx_folder(folder: Path) -> OnnxDescription:
    """What the folder of an exported model holds, after checking every file of it.

    Raises:
        ValueError: a file is missing, was changed or is not listed; the message names it.
    """
    path, missing = folder / DESCRIPTION_FILE, f"{folder} is not the folder of an exported model"
    what = "the description of an exported model"
    about = read_document(path, OnnxDescription, what, missing)
    check_files(folder, about.files, (DESCRIPTION_FILE,), "the model folder is not whole")
    read_sealed(path, OnnxDescription, what)  # last: what is wrong with a file says more
    if about.files.get(about.model_file) != about.onnx_sha256:
        raise ValueError(
            f"{path} lists no file {about.model_file!r} with the SHA-256 {about.onnx_sha256},"
            f" which it states for the ONNX model: {REMEDY}"
        )
    preprocessing = (folder / PREPROCESSING_FILE, about.files.get(PREPROCESSING_FILE))
    check_together("the vocabulary is", preprocessing, (path, about.preprocessing_sha256), REMEDY)
    weights = folder / NETWORK_FOLDER / WEIGHTS_FILE
    if weights.exists():
        found = (weights, about.files.get(f"{NETWORK_FOLDER}/{WEIGHTS_FILE}"))
        check_together("the weights are", found, (path, about.weights_sha256), REMEDY)
    if DATASET_FILE not in about.files:
        raise ValueError(f"{path} lists no {DATASET_FILE}: {REMEDY}")
    network = (f"the network in {path}", config_digest(about.network))
    check_together("the configuration is", network, (path, about.config_sha256), REMEDY)
    return about


def model_metadata(about: OnnxDescription) -> dict[str, str]:
    """What the ONNX file of a description states of itself."""
    stated = {name: getattr(about, name) for name in IN_THE_MODEL}
    return {name: value for name, value in stated.items() if value is not None}


def onnx_metadata(path: Path) -> dict[str, str]:
    """What an ONNX file states of itself, without starting a session."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    return {entry.key: entry.value for entry in model.metadata_props}


def check_metadata(folder: Path, about: OnnxDescription, metadata: Mapping[str, str]) -> None:
    """Hold the description of a folder against what the ONNX file states of itself.

    Args:
        folder: of the exported model.
        about: the content of its `onnx.json`.
        metadata: of the ONNX file.

    Raises:
        ValueError: they contradict each other.
    """
    model, path = folder / about.model_file, folder / DESCRIPTION_FILE
    stated = model_metadata(about)
    for name in IN_THE_MODEL:
        if metadata.get(name) != stated.get(name):
            check_together(f"{name} is", (model, metadata.get(name)), (path, stated.get(name)), REMEDY)
