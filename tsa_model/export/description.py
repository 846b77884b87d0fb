"""`onnx.json`: what an exported model is, how its session starts, and the digest of every file beside it."""

from __future__ import annotations

from pathlib import Path

from pydantic import ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from tsa_model.export.file_names import DESCRIPTION_FILE
from tsa_model.export.session import SessionSettings
from tsa_model.files import write_json
from tsa_model.sealed import Digest, check_files, list_files, read_document
from tsa_model.settings import Settings
from tsa_model.settings.model import ModelConfig


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


class OnnxDescription(Settings):
    """The content of `onnx.json`."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    model_file: str
    """The ONNX file, relative to the folder."""
    onnx_sha256: Digest
    """Of the ONNX file."""
    project_version: str
    run_config_sha256: Digest
    weights_sha256: Digest
    """Of the weights file the ONNX file was made from."""
    verdict_id: str
    """Of the gate's verdict on these weights."""
    store_sha256: Digest
    """Of the manifest of the sequence store the model was trained on."""
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
    write_json(folder / DESCRIPTION_FILE, description.changed(files=files).model_dump(mode="json"))


def read_onnx_folder(folder: Path) -> OnnxDescription:
    """What the folder of an exported model holds, after checking every file of it.

    Raises:
        ValueError: a file is missing, was changed or is not listed; the message names it.
    """
    path, missing = folder / DESCRIPTION_FILE, f"{folder} is not the folder of an exported model"
    description = read_document(path, OnnxDescription, "the description of an exported model", missing)
    check_files(folder, description.files, (DESCRIPTION_FILE,), "the model folder is not whole")
    if description.files.get(description.model_file) != description.onnx_sha256:
        raise ValueError(
            f"{path} lists no file {description.model_file!r} with the SHA-256 {description.onnx_sha256},"
            " which it states for the ONNX model: export the model again"
        )
    return description
