"""A graph that works through its batch a few rows at a time, however many rows it is given.

The activations of a whole batch would not fit a processor's cache, nor, for thousands of rows, its memory.
Rows do not depend on each other, so the exported graph becomes the body of a loop over pieces:

    batch ── Loop ── rows i·p … (i+1)·p of every input ── the network ── outputs, one piece after the other
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

    from tsa_model.config import ModelConfig

PIECE_BYTES = 12 << 20
"""Size of a piece's widest activation, the embedded features of its orders; found by trying."""
MIN_ROWS, MAX_ROWS = 8, 256


def rows_per_piece(config: ModelConfig) -> int:
    """Rows whose activations fit the cache, and that are worth the loop."""
    n_features = max(config.n_cat_features, config.n_num_features)
    bytes_per_row = 4 * config.seq_len * n_features * config.dim_embedding_table
    return max(MIN_ROWS, min(MAX_ROWS, PIECE_BYTES // bytes_per_row))


def in_pieces(model: onnx.ModelProto, rows: int) -> onnx.ModelProto:
    """Wrap a model whose inputs and outputs all have the batch as their first dimension.

    Args:
        model: as exported; its parts are reused.
        rows: of a piece, at most; the pieces of a batch are equally large, but for repeated last rows.

    Returns:
        A model of the same signature and numbers.
    """
    from onnx import helper

    inner = model.graph
    inputs, outputs = list(inner.input), list(inner.output)
    constants = [
        _integers("one", 1),
        _integers("rows_per_piece", rows),
        _integers("first", 0),
        _integers("all", [-1]),
        _integers("start", [0]),
    ]
    size = [
        helper.make_node("Shape", [inputs[0].name], ["batch_1"], start=0, end=1),
        helper.make_node("Squeeze", ["batch_1"], ["batch_size"]),
        # pieces = ⌈batch / rows_per_piece⌉, rows = ⌈batch / pieces⌉
        *_divided_up("batch_size", "rows_per_piece", "n_pieces"),
        *_divided_up("batch_size", "n_pieces", "piece_size"),
        helper.make_node("Sub", ["batch_size", "one"], ["last_row"]),
    ]
    loop = helper.make_node(
        "Loop", ["n_pieces", ""], [f"{each.name}_pieces" for each in outputs], body=_body(inner)
    )
    joined = []
    for each in outputs:
        width = [dim.dim_value for dim in each.type.tensor_type.shape.dim[1:]]
        constants.append(_integers(f"{each.name}_shape", [-1, *width]))
        joined += [
            helper.make_node("Reshape", [f"{each.name}_pieces", f"{each.name}_shape"], [f"{each.name}_rows"]),
            helper.make_node("Slice", [f"{each.name}_rows", "start", "batch_1"], [each.name]),
        ]
    graph = helper.make_graph([*size, loop, *joined], inner.name, inputs, outputs, constants)
    return helper.make_model(
        graph,
        opset_imports=list(model.opset_import),
        ir_version=model.ir_version,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
    )


def _body(inner: onnx.GraphProto) -> onnx.GraphProto:
    """The exported graph over the rows of one piece; the last row is repeated where the batch has ended."""
    from onnx import TensorProto, helper

    rows = [
        helper.make_node("Mul", ["piece", "piece_size"], ["piece_start"]),
        helper.make_node("Range", ["first", "piece_size", "one"], ["piece_places"]),
        helper.make_node("Add", ["piece_places", "piece_start"], ["piece_rows_unbounded"]),
        helper.make_node("Min", ["piece_rows_unbounded", "last_row"], ["piece_rows"]),
        helper.make_node("Identity", ["go_on"], ["go_on_still"]),
    ]
    renamed = {each.name: f"{each.name}_piece" for each in [*inner.input, *inner.output]}
    for each in inner.input:
        rows.append(helper.make_node("Gather", [each.name, "piece_rows"], [renamed[each.name]], axis=0))
    for node in inner.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = renamed.get(name, name)
    results = []
    for each in inner.output:
        dims = [None, *(dim.dim_value for dim in each.type.tensor_type.shape.dim[1:])]
        results.append(
            helper.make_tensor_value_info(renamed[each.name], each.type.tensor_type.elem_type, dims)
        )
    return helper.make_graph(
        [*rows, *inner.node],
        f"{inner.name}_piece",
        [
            helper.make_tensor_value_info("piece", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("go_on_still", TensorProto.BOOL, []), *results],
        list(inner.initializer),
    )


def _divided_up(whole: str, part: str, name: str) -> list[onnx.NodeProto]:
    """⌈whole / part⌉ of positive integers."""
    from onnx import helper

    return [
        helper.make_node("Add", [whole, part], [f"{name}_sum"]),
        helper.make_node("Sub", [f"{name}_sum", "one"], [f"{name}_rest"]),
        helper.make_node("Div", [f"{name}_rest", part], [name]),
    ]


def _integers(name: str, values: int | list[int]) -> onnx.TensorProto:
    from onnx import TensorProto, helper

    if isinstance(values, int):
        return helper.make_tensor(name, TensorProto.INT64, [], [values])
    return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)
