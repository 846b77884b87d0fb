"""A graph that works through its batch a few rows at a time, leaving out the padding they share.

The activations of a whole batch would not fit a processor's cache, nor, for thousands of rows, its memory.
Rows do not depend on each other, so the exported graph becomes the body of a loop over pieces:

    batch ── sort by history length ── Loop ── the piece's rows of every input ── without the columns in which
    all of them are padded ── the network ── outputs, piece after piece ── back in the batch's order
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsa_model.batch import History, histories_among

if TYPE_CHECKING:
    import onnx

    from tsa_model.settings.model import ModelConfig

PIECE_BYTES = 24 << 20
"""Size of a piece's widest activation, the embedded features of its orders; found by trying."""
MIN_ROWS, MAX_ROWS = 8, 64
BAND = 12
"""Rows are sorted by the first history's length in steps of this many orders, then by the second's: pieces
are then nearly alike in both."""


def rows_per_piece(config: ModelConfig) -> int:
    """Rows whose activations fit the cache, and that are worth the loop."""
    n_features = max(config.n_cat_features, config.n_num_features)
    bytes_per_row = 4 * config.seq_len * n_features * config.dim_embedding_table
    return max(MIN_ROWS, min(MAX_ROWS, PIECE_BYTES // bytes_per_row))


def in_pieces(model: onnx.ModelProto, rows: int) -> onnx.ModelProto:
    """Wrap a model whose inputs and outputs all have the batch as their first dimension.

    Args:
        model: as exported; its parts are reused. Inputs with a history have its orders as their second
            dimension and are named as in `tsa_model.batch`; the mask of each says what is padding.
        rows: of a piece, at most; the pieces of a batch are equally large, but for repeated last rows.

    Returns:
        A model of the same signature and numbers.
    """
    from onnx import helper

    inner = model.graph
    inputs, outputs = list(inner.input), list(inner.output)
    histories = histories_among(each.name for each in inputs)
    masks = [names.mask for names in histories]
    constants = [
        _integers("one", 1),
        _integers("two", 2),
        _integers("rows_per_piece", rows),
        _integers("first", 0),
        _integers("orders_axis", [1]),
        _integers("end", [2**62]),
    ]
    if len(masks) > 1:
        constants += [_integers("band", BAND), _integers("many", 1 << 30)]
    size = [
        helper.make_node("Shape", [inputs[0].name], ["batch_1"], start=0, end=1),
        helper.make_node("Squeeze", ["batch_1"], ["batch_size"]),
        # pieces = ⌈batch / rows_per_piece⌉, rows = ⌈batch / pieces⌉
        helper.make_node("Sub", ["batch_size", "one"], ["last_row"]),
        *_divided_up("last_row", "rows_per_piece", "n_pieces"),
        *_divided_up("last_row", "n_pieces", "piece_size"),
        *_sorted_by_length(masks),
    ]
    loop = helper.make_node(
        "Loop", ["n_pieces", ""], [f"{each.name}_pieces" for each in outputs], body=_body(inner, histories)
    )
    joined = []
    for each in outputs:
        width = [dim.dim_value for dim in each.type.tensor_type.shape.dim[1:]]
        constants.append(_integers(f"{each.name}_shape", [-1, *width]))
        joined += [
            helper.make_node("Reshape", [f"{each.name}_pieces", f"{each.name}_shape"], [f"{each.name}_rows"]),
            helper.make_node("Gather", [f"{each.name}_rows", "place_of_row"], [each.name], axis=0),
        ]
    graph = helper.make_graph([*size, loop, *joined], inner.name, inputs, outputs, constants)
    return helper.make_model(
        graph,
        opset_imports=list(model.opset_import),
        ir_version=model.ir_version,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
    )


def _sorted_by_length(masks: list[str]) -> list[onnx.NodeProto]:
    """`row_at`, the rows sorted by history length, longest first; `place_of_row`, the way back.

    And per mask `<mask>_first`, the first position of every row that is not padding, and `<mask>_last`, the
    position of the current order.
    """
    from onnx import TensorProto, helper

    nodes = []
    for mask in masks:
        nodes += [
            helper.make_node("Not", [mask], [f"{mask}_real"]),
            helper.make_node("Cast", [f"{mask}_real"], [f"{mask}_number"], to=TensorProto.INT32),
            helper.make_node("ArgMax", [f"{mask}_number"], [f"{mask}_first"], axis=1, keepdims=0),
            helper.make_node("Shape", [mask], [f"{mask}_width"], start=1, end=2),
            helper.make_node("Sub", [f"{mask}_width", "two"], [f"{mask}_last"]),
        ]
    if not masks:
        nodes.append(helper.make_node("Range", ["first", "batch_size", "one"], ["row_at"]))
    elif len(masks) == 1:
        nodes.append(_smallest_first(f"{masks[0]}_first", "row_at"))
    else:
        nodes += [
            helper.make_node("Div", [f"{masks[0]}_first", "band"], ["length_band"]),
            helper.make_node("Mul", ["length_band", "many"], ["length_band_first"]),
            helper.make_node("Add", ["length_band_first", f"{masks[1]}_first"], ["length_key"]),
            _smallest_first("length_key", "row_at"),
        ]
    return [*nodes, _smallest_first("row_at", "place_of_row")]


def _smallest_first(values: str, places: str) -> onnx.NodeProto:
    """Places that sort a vector of the batch's length; equal values stay in order."""
    from onnx import helper

    return helper.make_node("TopK", [values, "batch_1"], [f"{places}_values", places], largest=0, sorted=1)


def _body(inner: onnx.GraphProto, histories: list[History[str]]) -> onnx.GraphProto:
    """The exported graph over the rows of one piece; the last row is repeated where the batch has ended."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Mul", ["piece", "piece_size"], ["piece_start"]),
        helper.make_node("Range", ["first", "piece_size", "one"], ["piece_places"]),
        helper.make_node("Add", ["piece_places", "piece_start"], ["piece_places_unbounded"]),
        helper.make_node("Min", ["piece_places_unbounded", "last_row"], ["piece_sorted"]),
        helper.make_node("Gather", ["row_at", "piece_sorted"], ["piece_rows"]),
        helper.make_node("Identity", ["go_on"], ["go_on_still"]),
    ]
    for mask in (names.mask for names in histories):
        nodes += [
            helper.make_node("Gather", [f"{mask}_first", "piece_rows"], [f"{mask}_firsts"]),
            helper.make_node("ReduceMin", [f"{mask}_firsts"], [f"{mask}_shortest"], keepdims=1),
            # The current order stays, whatever its mask says.
            helper.make_node("Min", [f"{mask}_shortest", f"{mask}_last"], [f"{mask}_cut"]),
        ]
    renamed = {each.name: f"{each.name}_piece" for each in [*inner.input, *inner.output]}
    for each in inner.input:
        history = _mask_of(each.name, histories)
        gathered = renamed[each.name] if history is None else f"{each.name}_uncut"
        nodes.append(helper.make_node("Gather", [each.name, "piece_rows"], [gathered], axis=0))
        if history is not None:
            cut = [gathered, f"{history}_cut", "end", "orders_axis"]
            nodes.append(helper.make_node("Slice", cut, [renamed[each.name]]))
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
        [*nodes, *inner.node],
        f"{inner.name}_piece",
        [
            helper.make_tensor_value_info("piece", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("go_on_still", TensorProto.BOOL, []), *results],
        list(inner.initializer),
    )


def _mask_of(name: str, histories: list[History[str]]) -> str | None:
    """The mask of the history an input belongs to; None for the current order's own features."""
    return next((names.mask for names in histories if name in names), None)


def _divided_up(last: str, part: str, name: str) -> list[onnx.NodeProto]:
    """⌈whole / part⌉ of positive integers, of which `last` is the whole minus 1."""
    from onnx import helper

    return [
        helper.make_node("Add", [last, part], [f"{name}_sum"]),
        helper.make_node("Div", [f"{name}_sum", part], [name]),
    ]


def _integers(name: str, values: int | list[int]) -> onnx.TensorProto:
    from onnx import TensorProto, helper

    if isinstance(values, int):
        return helper.make_tensor(name, TensorProto.INT64, [], [values])
    return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)
