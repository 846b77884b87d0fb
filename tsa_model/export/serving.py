"""What a model server needs beside the ONNX file, generated from the model's signature."""

from __future__ import annotations

from typing import Any

import yaml

from tsa_model.export.description import OnnxDescription
from tsa_model.export.file_names import MODEL_NAME
from tsa_model.export.graph import dimension_names
from tsa_model.export.network import input_names, output_names
from tsa_model.export.parity_rows import MAX_BATCH_SIZE, cut, made_rows
from tsa_model.export.session import ScoringSession
from tsa_model.settings.model import ModelConfig

DATATYPES = {"torch.int64": "INT64", "torch.float32": "FP32", "torch.bool": "BOOL"}


def triton_config(config: ModelConfig) -> str:
    """Triton's `config.pbtxt`: the batch is dynamic, and so is the length of a history."""
    dimensions = dimension_names(config)
    example = made_rows(config, 1, seed=0)
    lines = [f'name: "{MODEL_NAME}"', 'backend: "onnxruntime"', f"max_batch_size: {MAX_BATCH_SIZE}"]
    lines += [
        _tensor("input", name, dimensions[name], _datatype(example[name])) for name in input_names(config)
    ]
    lines += [_tensor("output", name, dimensions[name], "FP32") for name in output_names(config)]
    lines += ["dynamic_batching { }", _parameter("intra_op_thread_count", "1")]
    return "\n".join(lines) + "\n"


def inference_service(description: OnnxDescription) -> str:
    """A KServe InferenceService that serves the Triton repository over the v2 protocol.

    Args:
        description: the content of `onnx.json`; its digests become annotations.
    """
    names = ("onnx_sha256", "weights_sha256", "verdict_id", "project_version")
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": MODEL_NAME,
            "annotations": {
                f"tsa-pipeline/{name.replace('_', '-')}": getattr(description, name) for name in names
            },
        },
        "spec": {
            "predictor": {
                "model": {
                    "modelFormat": {"name": "onnx"},
                    "protocolVersion": "v2",
                    "runtime": "kserve-tritonserver",
                    # The folder that holds tsa/config.pbtxt, wherever the cluster keeps its models.
                    "storageUri": "pvc://models/repository",
                }
            }
        },
    }
    return yaml.safe_dump(service, sort_keys=False)


def example_exchange(config: ModelConfig, session: ScoringSession) -> tuple[dict[str, Any], dict[str, Any]]:
    """A request of the v2 protocol and the response this model gives.

    Args:
        config: sizes of the inputs.
        session: the exported model.

    Returns:
        request and response; two made-up orders with histories of at most three.
    """
    batch = cut(made_rows(config, 2, seed=0), slice(None), min(3, config.seq_len))
    request = {
        "inputs": [
            {
                "name": name,
                "shape": list(batch[name].shape),
                "datatype": _datatype(batch[name]),
                "data": batch[name].flatten().tolist(),
            }
            for name in input_names(config)
        ],
        "outputs": [{"name": "score"}],
    }
    score = session.run(batch)["score"]
    response = {
        "model_name": MODEL_NAME,
        "outputs": [
            {"name": "score", "shape": list(score.shape), "datatype": "FP32", "data": score.tolist()}
        ],
    }
    return request, response


def _datatype(tensor: Any) -> str:
    return DATATYPES[str(tensor.dtype)]


def _tensor(kind: str, name: str, dimensions: tuple[str | int, ...], datatype: str) -> str:
    per_row = [-1 if isinstance(each, str) else each for each in dimensions[1:]]
    # Triton wants at least one dimension beside the batch; the reshape takes it away again.
    shape = f"dims: [ {', '.join(map(str, per_row))} ]" if per_row else "dims: [ 1 ] reshape { shape: [ ] }"
    return f'{kind} [ {{ name: "{name}" data_type: TYPE_{datatype} {shape} }} ]'


def _parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}'
