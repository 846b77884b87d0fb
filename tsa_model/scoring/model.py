"""The model folder: everything that turns raw orders into scores, outside any pipeline.

onnx.json                    what the model is; session options; digests
repository/tsa/              a model repository of Triton (and of KServe's runtime for it)
    config.pbtxt
    1/model.onnx
dataset.json                 the columns' roles
preprocessing.json           vocabulary, scaler, defaults
training_orders.json         histograms of the training period's orders
reasons.json                 genuine training orders and words, with which scores are explained
network/                     the trained weights, with which scores are recomputed
    model.json, model.safetensors
percentile_map.json, calibration.json
inference_service.yaml       for KServe
example_request.json, example_response.json
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tsa_model.calibration import Calibrator, PercentileMap, load_calibrator
from tsa_model.evaluation.stability import TrainingOrders
from tsa_model.export.background import ReasonsDescription
from tsa_model.export.description import (
    OnnxDescription,
    check_metadata,
    read_onnx_folder,
    write_description,
)
from tsa_model.export.file_names import (
    DATASET_FILE,
    NETWORK_FOLDER,
    PREPROCESSING_FILE,
    REASONS_FILE,
    REPOSITORY_MODEL,
    TRAINING_ORDERS_FILE,
)
from tsa_model.export.session import ScoringSession
from tsa_model.files import write_json
from tsa_model.reasons.game import Rules
from tsa_model.sealed import check_together, read_document, read_json
from tsa_model.sequences.features.preprocessing import Preprocessing
from tsa_model.settings.dataset import DatasetDescription
from tsa_model.settings.model import ModelConfig

CALIBRATOR_FILE = "calibration.json"
PERCENTILE_FILE = "percentile_map.json"
FITTED_FOR = "onnx_sha256"
"""Entry of percentile map and calibrator: the ONNX file whose scores they were fitted on."""


@dataclass(frozen=True)
class ScoringModel:
    """A folder with an exported model, opened."""

    directory: Path
    description: OnnxDescription
    """The content of `onnx.json`."""
    session: ScoringSession

    @classmethod
    def load(cls, directory: str | Path) -> ScoringModel:
        """Open what `export_onnx` or `generate_scores` wrote.

        Raises:
            ValueError: a file is missing, was changed or is not listed, or the files do not belong together.
        """
        directory = Path(directory)
        description = read_onnx_folder(directory)
        check_calibration(directory, description)
        session = ScoringSession(directory / description.model_file, description.session)
        check_metadata(directory, description, session.metadata)
        return cls(directory, description, session)

    @property
    def config(self) -> ModelConfig:
        """The network's configuration."""
        return self.description.network

    @property
    def dataset(self) -> DatasetDescription:
        """The columns' roles in the orders the model was made from."""
        return read_document(self.directory / DATASET_FILE, DatasetDescription, "a dataset description")

    @property
    def preprocessing_path(self) -> Path:
        """Vocabulary, scaler and defaults."""
        return self.directory / PREPROCESSING_FILE

    def training_orders(self) -> TrainingOrders | None:
        """Histograms of the training period's orders; None in folders of former versions."""
        path = self.directory / TRAINING_ORDERS_FILE
        return TrainingOrders.load(path) if path.is_file() else None

    @property
    def weights_dir(self) -> Path | None:
        """The trained weights, a model folder of their own; None in folders of former versions."""
        path = self.directory / NETWORK_FOLDER
        return path if path.is_dir() else None

    def rules(self) -> Rules:
        """What explaining a score needs.

        Raises:
            ValueError: a former version wrote the folder, or its groups do not fit its columns.
        """
        described = ReasonsDescription.load(self.directory)
        return Rules(self.session, self.dataset, Preprocessing.load(self.preprocessing_path), described)

    def percentiles(self) -> PercentileMap | None:
        """The percentile map; None in a folder without calibration."""
        path = self.directory / PERCENTILE_FILE
        return PercentileMap.load(path) if path.is_file() else None

    def calibrator(self) -> Calibrator | None:
        """The calibrator; None in a folder without one."""
        path = self.directory / CALIBRATOR_FILE
        return load_calibrator(path) if path.is_file() else None


def check_calibration(folder: Path, description: OnnxDescription) -> None:
    """Hold the percentile map and the calibrator of a folder, where there are some, to its ONNX file.

    Raises:
        ValueError: one was fitted on the scores of another model.
    """
    model = (folder / description.model_file, description.onnx_sha256)
    for path in (folder / PERCENTILE_FILE, folder / CALIBRATOR_FILE):
        if path.is_file():
            fitted_for = read_json(path, "a calibrator").get(FITTED_FOR)
            found = fitted_for if isinstance(fitted_for, str) else None
            check_together("the ONNX file is", (path, found), model, "take the files of the same run")


def write_model_folder(
    model: ScoringModel, percentiles: PercentileMap, calibrator: Calibrator | None, folder: Path
) -> None:
    """Put an exported model, its calibration and what servers need into one folder.

    Args:
        model: as exported.
        percentiles: fitted on the calibration period.
        calibrator: None leaves the probability out.
        folder: to create.
    """
    from tsa_model.export.serving import example_exchange, inference_service, triton_config  # torch

    repository_model = folder / REPOSITORY_MODEL
    repository_model.parent.mkdir(parents=True)
    shutil.copyfile(model.directory / model.description.model_file, repository_model)
    repository_model.parents[1].joinpath("config.pbtxt").write_text(triton_config(model.config))
    for name in (DATASET_FILE, PREPROCESSING_FILE, TRAINING_ORDERS_FILE, REASONS_FILE):
        if (model.directory / name).is_file():
            shutil.copyfile(model.directory / name, folder / name)
    if model.weights_dir is not None:
        shutil.copytree(model.weights_dir, folder / NETWORK_FOLDER)
    fitted_for = {FITTED_FOR: model.description.onnx_sha256}
    write_json(folder / PERCENTILE_FILE, {**percentiles.document(), **fitted_for})
    if calibrator is not None:
        write_json(folder / CALIBRATOR_FILE, {**calibrator.document(), **fitted_for})
    request, response = example_exchange(model.config, model.session)
    write_json(folder / "example_request.json", request)
    write_json(folder / "example_response.json", response)
    (folder / "inference_service.yaml").write_text(inference_service(model.description))
    write_description(model.description.changed(model_file=REPOSITORY_MODEL), folder)
