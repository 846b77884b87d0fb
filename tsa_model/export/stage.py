"""The export stage: only what passed the gate, only what agrees with the network."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsa_model.batch import ORDER_ID
from tsa_model.equivalence.results import Verdict
from tsa_model.evaluation.stability import TrainingOrders
from tsa_model.export.background import ReasonsDescription
from tsa_model.export.description import OnnxDescription, ParitySummary, write_description
from tsa_model.export.file_names import (
    DATASET_FILE,
    MODEL_FILE,
    NETWORK_FOLDER,
    PREPROCESSING_FILE,
    TRAINING_ORDERS_FILE,
)
from tsa_model.export.graph import dimension_names, write_onnx
from tsa_model.export.network import input_names, output_names
from tsa_model.export.parity import Parity, check_parity
from tsa_model.export.proof import check_verdict, passed_verdict
from tsa_model.export.session import ScoringSession, SessionSettings
from tsa_model.files import atomic_folder, sha256, write_json
from tsa_model.network.checkpoint import copy_model, load_model
from tsa_model.network.description import ModelDescription, check_model_folder, read_description
from tsa_model.outputs import check_replaceable
from tsa_model.sequences import SequenceStore
from tsa_model.settings.dataset import REPORT_ROLES
from tsa_model.settings.model import ModelConfig
from tsa_model.settings.run import RunConfig
from tsa_model.signing import require_key

PARITY_ROWS = 256


def export_onnx(
    store_dir: str | Path,
    model_dir: str | Path,
    verdict_path: str | Path,
    run: RunConfig,
    onnx_dir: str | Path,
) -> dict[str, Any]:
    """Export a model that passed the gate to ONNX and prove that the file computes what the model computes.

    Args:
        store_dir: the sequence store the model was trained on; gives the real rows of the parity check.
        model_dir: the model folder.
        verdict_path: the gate's verdict on this model and this store.
        run: the run description.
        onnx_dir: folder to create: `model.onnx`, `onnx.json` (signature, session options, parity, digests),
            the preprocessing and column roles the model expects, histograms of the training orders, the
            background of reasons, and the weights as they were trained.

    Returns:
        Metrics of the stage.

    Raises:
        ValueError: the verdict is missing, negative, of another program, or about another model or store.
        ParityError: the ONNX model disagrees with the network.
    """
    require_key(run.signing)
    description = read_description(model_dir)
    check_model_folder(model_dir, description)
    verdict = passed_verdict(verdict_path, run.equivalence)
    store = SequenceStore.open(store_dir)
    check_verdict(verdict, verdict_path, model_dir, description, store_dir, store.digest)
    network = load_model(model_dir, "reference")
    _check_sizes(network.config, store)
    settings = SessionSettings()
    metadata = _metadata(description, verdict, store, run)
    check_replaceable(Path(onnx_dir), str(onnx_dir))
    with atomic_folder(onnx_dir) as folder:
        write_onnx(network, folder / MODEL_FILE, metadata)
        session = ScoringSession(folder / MODEL_FILE, settings)
        rows = parity_rows(store, PARITY_ROWS)
        orders: dict[str, Any] = {**store.batch_rows(rows, network.config.sequences)}
        orders[ORDER_ID] = store.ids_of(rows)
        parity = check_parity(network, session, orders)
        shutil.copyfile(store.directory / PREPROCESSING_FILE, folder / PREPROCESSING_FILE)
        # What a policy decided is known of earlier orders only, never of the orders a model is asked about.
        described = store.description.changed(stopping=None)
        write_json(folder / DATASET_FILE, described.as_prepared())
        TrainingOrders.of(store).save(folder / TRAINING_ORDERS_FILE)
        ReasonsDescription.of(store, run).save(folder)
        copy_model(model_dir, folder / NETWORK_FOLDER)
        content = _describe(network.config, metadata, folder, settings, parity, store)
        write_description(content, folder)
        size = (folder / MODEL_FILE).stat().st_size
    worst = parity.worst["logits"]
    return {
        "key_figure": f"parity {worst:.1e} over {parity.rows} rows, {size / 1e6:.1f} MB",
        "onnx_sha256": content.onnx_sha256,
        "bytes": size,
        "parity": parity.summary(),
    }


def _metadata(
    description: ModelDescription, verdict: Verdict, store: SequenceStore, run: RunConfig
) -> dict[str, str]:
    """What the ONNX file states of itself, and `onnx.json` too."""
    events = store.manifest.events_sha256
    return {
        "project_version": verdict.program.version,
        "code_sha256": verdict.program.code_sha256,
        "run_config_sha256": _digest(run.model_dump_json(exclude={"dataset": REPORT_ROLES})),
        "model_config": description.config.model_dump_json(),
        "weights_sha256": description.weights_sha256,
        "config_sha256": verdict.config_sha256,
        "verdict_id": verdict.verdict_id,
        "store_sha256": store.digest,
        **({} if events is None else {"events_sha256": events}),
        "preprocessing_sha256": sha256(store.directory / PREPROCESSING_FILE),
        "moe_eval": "deterministic",
    }


def _describe(
    config: ModelConfig,
    metadata: dict[str, str],
    folder: Path,
    settings: SessionSettings,
    parity: Parity,
    store: SequenceStore,
) -> OnnxDescription:
    dimensions = dimension_names(config)
    return OnnxDescription(
        model_file=MODEL_FILE,
        onnx_sha256=sha256(folder / MODEL_FILE),
        **{key: value for key, value in metadata.items() if key != "model_config"},
        network=config,
        inputs={name: dimensions[name] for name in input_names(config)},
        outputs={name: dimensions[name] for name in output_names(config)},
        session=settings,
        parity=ParitySummary.model_validate(parity.summary()),
        training_history=mean_history(store, store.targets("train")),
    )


def mean_history(store: SequenceStore, rows: NDArray[Any]) -> dict[str, float]:
    """Key → earlier orders that the histories of row numbers hold on average."""
    lengths = store.history_lengths(rows)
    return {key: float(length.mean()) for key, length in lengths.items() if length.size}


def _check_sizes(config: ModelConfig, store: SequenceStore) -> None:
    pairs = {
        "n_embedding": store.n_embedding,
        "n_cat_features": store.n_cat_features,
        "n_num_features": store.n_num_features,
        "n_engineered_num_features": store.n_engineered,
    }
    wrong = [
        f"{name} {getattr(config, name)} (store {size})"
        for name, size in pairs.items()
        if getattr(config, name) != size
    ]
    if wrong:
        raise ValueError(f"the model was not made for {store.directory}: {', '.join(wrong)}")


def parity_rows(store: SequenceStore, n_rows: int) -> np.ndarray:
    """Row numbers spread evenly over the test and calibration targets, the store's last ones included."""
    rows = np.concatenate([store.targets(period) for period in ("cali", "test")])
    if not rows.size:
        raise ValueError(f"{store.directory} has no calibration or test orders to check parity on")
    return rows[np.unique(np.linspace(0, rows.size - 1, min(n_rows, rows.size)).astype(np.int64))]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
