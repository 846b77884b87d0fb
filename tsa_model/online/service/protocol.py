"""The Open Inference Protocol v2: tensors as JSON, or in binary behind it, to arrays and back.

Two models are served: `tsa` takes the tensors of the ONNX file, `tsa_orders` raw orders, a tensor a column.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from starlette.requests import Request

from tsa_model.export.file_names import MODEL_NAME
from tsa_model.online.service.requests import MAX_ORDERS, Refused
from tsa_model.scoring.model import ScoringModel

ORDERS_NAME = f"{MODEL_NAME}_orders"
VERSION = "1"
SERVER = {"name": "tsa", "version": VERSION, "extensions": ["binary_tensor_data"]}
_DTYPES = {
    "BOOL": "?", "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "i1",
    "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
MAX_VALUES = 2**24
"""Of one tensor."""


def known_model(request: Request) -> str:
    """The model that a request's path names.

    Raises:
        Refused: there is none of that name and version.
    """
    name, version = request.path_params["model"], request.path_params.get("version", VERSION)
    if name not in (MODEL_NAME, ORDERS_NAME) or version != VERSION:
        raise Refused(
            404, f"there is no such model; there are {MODEL_NAME} and {ORDERS_NAME}, version {VERSION}"
        )
    return name


def metadata(model: ScoringModel, name: str) -> dict[str, Any]:
    """What a model takes and gives."""
    if name == ORDERS_NAME:
        inputs = [{"name": column, "datatype": "BYTES", "shape": [-1]} for column in order_columns(model)]
        listed = [
            {"name": each, "datatype": "FP32" if each == "score" else "FP64", "shape": [-1]}
            for each in order_outputs(model)
        ]
    else:
        inputs = [
            {"name": each, "datatype": _input_type(each), "shape": _shape(shape)}
            for each, shape in model.description.inputs.items()
        ]
        listed = [
            {"name": each, "datatype": "FP32", "shape": _shape(shape)}
            for each, shape in model.description.outputs.items()
        ]
    properties = {"model_digest": model.description.onnx_sha256, "gate_id": model.description.verdict_id}
    return {
        "name": name,
        "versions": [VERSION],
        "platform": "onnxruntime" if name == MODEL_NAME else "tsa",
        "inputs": inputs,
        "outputs": listed,
        "properties": properties,
    }


def order_columns(model: ScoringModel) -> list[str]:
    """The raw columns of an order."""
    from tsa_model.events.cleaning import wanted_columns

    return wanted_columns(model.dataset)


def order_outputs(model: ScoringModel) -> list[str]:
    """What is answered to an order, as far as the model folder has what it needs."""
    has = {"percentile": model.percentiles(), "calibrated_probability": model.calibrator()}
    return ["score", *(name for name, each in has.items() if each is not None)]


def decoded(body: bytes, header_length: str | None) -> tuple[bytes, bytes]:
    """The JSON of a request, and the binary tensors behind it."""
    if header_length is None:
        return body, b""
    if not header_length.isdecimal() or not 0 < int(header_length) <= len(body):
        raise Refused(400, "Inference-Header-Content-Length is not the length of the JSON before the tensors")
    return body[: int(header_length)], body[int(header_length) :]


def tensors(content: Any, binary: bytes) -> dict[str, np.ndarray]:
    """The inputs of a request as arrays; BYTES as texts.

    Raises:
        Refused: they do not hold what they say.
    """
    if not isinstance(content, dict) or not isinstance(content.get("inputs"), list):
        raise Refused(400, "the request has no list of inputs")
    found: dict[str, np.ndarray] = {}
    at = 0
    for each in content["inputs"]:
        name, type_, shape = _described(each)
        if name in found:
            raise Refused(400, f"input {name!r} is there twice")
        parameters = each.get("parameters")
        size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        if size is None:
            found[name] = _from_json(name, type_, shape, each.get("data"))
            continue
        if type(size) is not int or not 0 <= size <= len(binary) - at:
            raise Refused(400, f"input {name!r}: binary_data_size is not the size of what follows")
        found[name] = _from_bytes(name, type_, shape, binary[at : at + size])
        at += size
    if at != len(binary):
        raise Refused(400, f"{len(binary) - at} bytes follow behind the last tensor")
    return found


def wanted_outputs(content: Any, available: list[str]) -> list[str]:
    """The outputs that a request asks for; all of them where it names none."""
    listed = content.get("outputs")
    if listed is None or listed == []:
        return available
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise Refused(400, "outputs is no list of objects with a name")
    names = [each.get("name") for each in listed]
    if unknown := [name for name in names if name not in available]:
        raise Refused(400, f"there is no output {str(unknown[0])[:80]!r}; there are {', '.join(available)}")
    return names


def response(name: str, content: Any, outputs: dict[str, np.ndarray]) -> dict[str, Any]:
    """A response of the protocol."""
    answer: dict[str, Any] = {"model_name": name, "model_version": VERSION}
    if isinstance(content.get("id"), str):
        answer["id"] = content["id"]
    answer["outputs"] = [
        {
            "name": each,
            "shape": list(values.shape),
            "datatype": "FP32" if values.dtype == np.float32 else "FP64",
            "data": values.ravel().tolist(),
        }
        for each, values in outputs.items()
    ]
    return answer


def checked(batch: dict[str, np.ndarray], model: ScoringModel) -> dict[str, np.ndarray]:
    """The tensors of a model, of the types and shapes that it reads.

    Raises:
        Refused: one is missing or does not fit.
    """
    sizes: dict[str, int] = {}
    for name, dimensions in model.description.inputs.items():
        if name not in batch:
            raise Refused(
                400, f"input {name!r} is missing; the model reads {', '.join(model.description.inputs)}"
            )
        values = batch[name]
        if values.dtype != np.dtype(_DTYPES[_input_type(name)]) or values.ndim != len(dimensions):
            raise Refused(400, f"input {name!r} must be {_input_type(name)} of {len(dimensions)} dimensions")
        for dimension, size in zip(dimensions, values.shape, strict=True):
            expected = sizes.setdefault(dimension, size) if isinstance(dimension, str) else dimension
            if size != expected:
                raise Refused(400, f"input {name!r} has size {size} where {dimension} is {expected}")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise Refused(400, f"input {name!r} holds a value that is not finite")
        if name.startswith("x_") and values.dtype.kind == "i":
            most = model.config.n_embedding
            if values.size and not (values.min() >= 0 and values.max() <= most):
                raise Refused(400, f"input {name!r} holds an index that is not in 0 to {most}")
    if min(sizes.values(), default=1) == 0:
        raise Refused(400, "the tensors hold no orders")
    return batch


def _input_type(name: str) -> str:
    if name.startswith("key_padding_mask"):
        return "BOOL"
    return "INT64" if name.startswith(("x_cat", "x_seq_cat")) else "FP32"


def _shape(dimensions: tuple[int | str, ...]) -> list[int]:
    return [-1 if isinstance(each, str) else each for each in dimensions]


def _described(each: Any) -> tuple[str, str, tuple[int, ...]]:
    if not isinstance(each, dict) or not isinstance(each.get("name"), str):
        raise Refused(400, "an input has no name")
    name, type_, shape = each["name"], each.get("datatype"), each.get("shape")
    if type_ not in (*_DTYPES, "BYTES"):
        raise Refused(400, f"input {name[:80]!r}: there is no datatype {str(type_)[:40]!r}")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise Refused(400, f"input {name[:80]!r}: shape is no list of sizes")
    if len(shape) > 8 or int(np.prod([float(size) for size in shape])) > MAX_VALUES:
        raise Refused(413, f"input {name[:80]!r} has more than {MAX_VALUES:,} values")
    return name, type_, tuple(shape)


def _from_json(name: str, type_: str, shape: tuple[int, ...], data: Any) -> np.ndarray:
    flat: list[Any] = []
    _flatten(data, flat, name)
    if len(flat) != int(np.prod(shape)):
        raise Refused(400, f"input {name!r}: {len(flat)} values for the shape {list(shape)}")
    kinds = {"BOOL": (bool,), "BYTES": (str,), "F": (int, float)}
    allowed = kinds.get(type_) or kinds.get(type_[:1]) or (int,)
    if not all(type(value) in allowed for value in flat):
        raise Refused(400, f"input {name!r}: a value is no {type_}")
    try:
        with np.errstate(over="ignore"):
            return np.array(flat, object if type_ == "BYTES" else _DTYPES[type_]).reshape(shape)
    except (OverflowError, ValueError):
        raise Refused(400, f"input {name!r}: a value does not fit into {type_}") from None


def _flatten(data: Any, into: list[Any], name: str) -> None:
    if not isinstance(data, list):
        raise Refused(400, f"input {name!r}: data is no list")
    for each in data:
        if isinstance(each, list):
            _flatten(each, into, name)
        else:
            into.append(each)


def _from_bytes(name: str, type_: str, shape: tuple[int, ...], data: bytes) -> np.ndarray:
    n_values = int(np.prod(shape))
    if type_ != "BYTES":
        if len(data) != n_values * np.dtype(_DTYPES[type_]).itemsize:
            raise Refused(400, f"input {name!r}: {len(data)} bytes for the shape {list(shape)} of {type_}")
        if type_ == "BOOL" and any(byte > 1 for byte in data):
            raise Refused(400, f"input {name!r}: a value is no BOOL")
        return np.frombuffer(data, _DTYPES[type_]).reshape(shape)
    texts, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        text = data[at + 4 : at + 4 + size]
        if len(data) - at < 4 or len(text) < size:
            raise Refused(400, f"input {name!r}: its texts are cut off")
        try:
            texts.append(text.decode())
        except UnicodeDecodeError:
            raise Refused(400, f"input {name!r}: a text is not UTF-8") from None
        at += 4 + size
    if len(texts) != n_values:
        raise Refused(400, f"input {name!r}: {len(texts)} texts for the shape {list(shape)}")
    return np.array(texts, object).reshape(shape)


def as_orders(
    columns: dict[str, np.ndarray], wanted: list[str], optional: tuple[str, ...]
) -> list[dict[str, Any]]:
    """A tensor per column → raw orders; an empty text is a missing value.

    Raises:
        Refused: a column is missing, or they differ in length.
    """
    n_rows = {values.size for values in columns.values()}
    if len(n_rows) != 1 or any(values.ndim not in (1, 2) for values in columns.values()):
        raise Refused(
            400, "every input is a column of raw orders, [orders] or [orders, 1], all of one length"
        )
    if not 0 < (n := n_rows.pop()) <= MAX_ORDERS:
        raise Refused(413 if n else 400, f"{n} orders: send 1 to {MAX_ORDERS:,} at once")
    if missing := [name for name in wanted if name not in columns and name not in optional]:
        raise Refused(400, f"input {missing[0]!r} is missing: an input per column, {', '.join(wanted)}")
    lists = {name: columns[name].ravel().tolist() for name in wanted if name in columns}
    return [
        {name: None if values[row] == "" else values[row] for name, values in lists.items()}
        for row in range(n)
    ]


def dumps(content: Any) -> bytes:
    """JSON, as a response's body."""
    return _ENCODER.encode(content).encode()


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
