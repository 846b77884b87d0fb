"""An ONNX file against the weights it must hold: tensor by tensor, constant by constant, before it computes.

A weight that is off by little moves no score by more than rounding does, so no forward pass can find it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsa_model.export import declared
from tsa_model.export.declared import Weight
from tsa_model.export.graph import all_nodes, check_signature, dimension_names, subgraphs
from tsa_model.export.network import output_names
from tsa_model.export.parity_error import ContentsError
from tsa_model.export.tree_contents import OPERATOR, tree_problems
from tsa_model.network.networks import Network, members_of

if TYPE_CHECKING:
    import onnx

UNIT = float(np.finfo(np.float32).eps)
CANCELLED = 1e-12
"""Share of a product tensor's largest value by which two float64 sums may differ where they nearly cancel."""
SHOWN = 8


def check_contents(network: Network, path: str | Path) -> int:
    """Compare what a file holds with what an export of this network holds.

    Args:
        network: any implementation; its weights are taken as float32.
        path: the ONNX file.

    Returns:
        How many tensors were compared.

    Raises:
        ContentsError: a tensor is changed, missing or unknown, or a constant, an operator or an attribute is
            not among the declared ones; the message names each.
    """
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
        check_signature(model, network.config)
    except Exception as error:  # damaged protobuf raises what it likes
        raise ContentsError(f"{path} is not an export of this network: {error}") from error
    expected = declared.weights(network)
    problems, n_compared = _tensors(model, expected, network)
    problems += [*_constants(model, network, expected), *_operators(model)]
    ensembles = [member.trees for member in members_of(network) if member.trees is not None]
    problems += tree_problems([node for node in all_nodes(model.graph) if _is_trees(node)], ensembles)
    if problems:
        more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        shown = "\n  ".join(problems[:SHOWN])
        raise ContentsError(
            f"{path} does not hold what an export of these weights holds ({len(problems)} differences):"
            f"\n  {shown}{more}"
        )
    return n_compared


def _tensors(model: onnx.ModelProto, expected: dict[str, Weight], network: Network) -> tuple[list[str], int]:
    """Problems with weights, and how many of them were compared."""
    from onnx import numpy_helper

    problems, by_name, nameless = [], {}, []
    for graph in subgraphs(model.graph):
        for tensor in graph.initializer:
            values = numpy_helper.to_array(tensor)
            if tensor.name in expected:
                by_name[tensor.name] = values
            elif values.dtype.kind == "f" and (values.size > 1 or values.ndim > 1):
                nameless.append((tensor.name, values))
            elif values.dtype.kind == "f":
                problems += _scalars(tensor.name, values, network)
    for name, values in by_name.items():
        problems += _differs(name, values, expected[name])
    transposed = {_digest(_stored(weight).T): name for name, weight in expected.items()}
    present = {_digest(_stored(expected[name])) for name in by_name}
    for name, values in nameless:
        source = transposed.get(_digest(values)) or _near(values, expected)
        if source is None:
            problems.append(
                f"tensor {name} {list(values.shape)} is no weight of this network, nor one transposed"
            )
        else:
            present.add(_digest(_stored(expected[source])))
    problems += [
        f"weight {name} {list(weight.values.shape)} is not in the file"
        for name, weight in expected.items()
        if _digest(_stored(weight)) not in present
    ]
    return problems, len(by_name) + len(nameless)


def _differs(name: str, found: NDArray[Any], weight: Weight) -> list[str]:
    wanted = _stored(weight)
    if found.dtype != wanted.dtype or found.shape != wanted.shape:
        return [
            f"tensor {name} is {found.dtype} {list(found.shape)}, not {wanted.dtype} {list(wanted.shape)}"
        ]
    if _digest(found) == _digest(wanted):
        return []
    exact = weight.values.numpy()
    allowed = 0.0
    if weight.product:
        allowed = UNIT * np.abs(exact) + CANCELLED * np.abs(exact).max(initial=0.0)
    difference = np.abs(found.astype(np.float64) - wanted)
    wrong = ~(difference <= allowed)
    if not wrong.any():
        return []
    place = np.unravel_index(
        np.nanargmax(np.where(wrong, np.nan_to_num(difference, nan=np.inf), -1)), wrong.shape
    )
    at = [int(i) for i in place]
    return [
        f"tensor {name}: {int(wrong.sum())} of {wrong.size} values differ, most at {at}: "
        f"file {found[place]:.9g}, weights {wanted[place]:.9g} "
        f"(SHA-256 {_digest(found)[:12]}, not {_digest(wanted)[:12]})"
    ]


def _near(values: NDArray[Any], expected: dict[str, Weight]) -> str | None:
    """The product of weights that this transposed tensor is, within a unit in the last place."""
    for name, weight in expected.items():
        if (
            weight.product
            and tuple(weight.values.shape)[::-1] == values.shape
            and not _differs(name, values.T, weight)
        ):
            return name
    return None


def _constants(model: onnx.ModelProto, network: Network, expected: dict[str, Weight]) -> Iterator[str]:
    """Constants that are not declared, in the graph around the loop and in its body."""
    from onnx import numpy_helper

    config = network.config
    dimensions = dimension_names(config)
    widths = {name: [int(n) for n in dimensions[name][1:]] for name in output_names(config)}
    around = declared.loop_constants(config, widths)
    found = {each.name: numpy_helper.to_array(each).ravel().tolist() for each in model.graph.initializer}
    for name in sorted(found.keys() | around.keys()):
        if found.get(name) != around.get(name):
            yield f"constant {name} around the loop is {found.get(name)}, not {around.get(name)}"
    for graph in subgraphs(model.graph):
        for tensor in graph.initializer:
            values = numpy_helper.to_array(tensor)
            if values.dtype.kind != "f" and tensor.name not in expected:
                yield from _whole(tensor.name, values, network)
    for node in all_nodes(model.graph):
        if node.op_type in ("Constant", "ConstantOfShape"):
            for attribute in node.attribute:
                yield from _constant(node.output[0], attribute, network)


def _constant(name: str, attribute: onnx.AttributeProto, network: Network) -> Iterator[str]:
    from onnx import TensorProto, helper, numpy_helper

    value = helper.get_attribute_value(attribute)
    if isinstance(value, TensorProto):
        value = numpy_helper.to_array(value)
    values = np.atleast_1d(np.asarray(value))
    yield from (_scalars if values.dtype.kind == "f" else _whole)(name, values, network)


def _scalars(name: str, values: NDArray[Any], network: Network) -> list[str]:
    allowed = declared.scalars(network.config)
    wrong = [value for value in values.ravel().tolist() if float(np.float32(value)) not in allowed]
    return [f"constant {name} is {wrong[0]!r}; declared are {sorted(allowed)}"] if wrong else []


def _whole(name: str, values: NDArray[Any], network: Network) -> list[str]:
    if values.dtype.kind not in "ib":
        return [f"constant {name} is of type {values.dtype}"]
    allowed = declared.whole_numbers(network.config)
    wrong = [value for value in values.ravel().tolist() if int(value) not in allowed]
    return [f"constant {name} is {wrong[0]}, which is no size or axis of this network"] if wrong else []


def _operators(model: onnx.ModelProto) -> Iterator[str]:
    """Operators and attributes that exported graphs do not have."""
    from onnx import helper

    if model.functions:
        yield "the file holds functions of its own"
    for graph in (model.graph, *subgraphs(model.graph)):
        if graph.sparse_initializer or any(tensor.external_data for tensor in graph.initializer):
            yield f"graph {graph.name} keeps tensors outside the file, or sparse ones"
    for node in all_nodes(model.graph):
        if _is_trees(node):
            continue
        if node.domain or node.op_type not in declared.OPERATORS:
            yield f"operator {node.domain}{node.op_type}, which gives {node.output[0]}, is not a declared one"
        for attribute in node.attribute:
            allowed = declared.ATTRIBUTES.get((node.op_type, attribute.name))
            if allowed is not None and helper.get_attribute_value(attribute) not in allowed:
                value = helper.get_attribute_value(attribute)
                yield f"{node.op_type}.{attribute.name} of {node.output[0]} is {value!r}, not {allowed}"


def _is_trees(node: onnx.NodeProto) -> bool:
    return (node.domain, node.op_type) == OPERATOR


def _stored(weight: Weight) -> NDArray[Any]:
    """The weight as a file holds it: float32."""
    return weight.values.numpy().astype(np.float32)


def _digest(values: NDArray[Any]) -> str:
    """SHA-256 of the type, the shape and the bytes, row after row."""
    contiguous = np.ascontiguousarray(values)
    return hashlib.sha256(f"{values.dtype}{values.shape}".encode() + contiguous.tobytes()).hexdigest()
