"""Faults in an exported file: tensors, constants and operators."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnx
from export_mutant import (
    ModelMutant,
    constants,
    inserted,
    nameless,
    node,
    nodes,
    passed_on,
    put,
    set_constant,
    tensor,
    values_of,
)
from onnx import TensorProto, helper, numpy_helper

Change = Callable[[onnx.ModelProto, onnx.GraphProto], None]
LITTLE = 1e-4


def _off(name: str, place: int | None = None) -> Change:
    """One element of a tensor off by little: the middle one, or that at a place."""

    def change(_: onnx.ModelProto, body: onnx.GraphProto) -> None:
        values = values_of(body, name)
        values.ravel()[values.size // 2 if place is None else place] += LITTLE
        put(body, name, values)

    return change


def _heads_exchanged(_: onnx.ModelProto, body: onnx.GraphProto) -> None:
    """Two of the places at which a token is cut into heads."""
    name = next(nameless(body))
    values = values_of(body, name)
    values[[0, 1]] = values[[1, 0]]
    put(body, name, values)


def _map(name: str, function: Callable[[np.ndarray], np.ndarray]) -> Change:
    return lambda _, body: put(body, name, function(values_of(body, name)))


def _exchanged(first: str, second: str) -> Change:
    def change(_: onnx.ModelProto, body: onnx.GraphProto) -> None:
        one, two = values_of(body, first), values_of(body, second)
        put(body, first, two)
        put(body, second, one)

    return change


def _stacks_exchanged(_: onnx.ModelProto, body: onnx.GraphProto) -> None:
    for each in [t.name for t in body.initializer if t.name.startswith("orders_cid.layer_norm")]:
        _exchanged(each, each.replace("orders_cid", "orders_ccid"))(_, body)


def _stale(_: onnx.ModelProto, body: onnx.GraphProto) -> None:
    """An older copy of a tensor is read, the right one stays in the file."""
    old = values_of(body, "clf.3.weight") * 1.01
    body.initializer.append(numpy_helper.from_array(old.astype(np.float32), "clf.3.weight_old"))
    for each in body.node:
        for place, name in enumerate(each.input):
            if name == "clf.3.weight":
                each.input[place] = "clf.3.weight_old"


def _as_constant(_: onnx.ModelProto, body: onnx.GraphProto) -> None:
    values = values_of(body, "clf.3.bias") + np.float32(LITTLE)
    body.initializer.remove(tensor(body, "clf.3.bias"))
    made = helper.make_node("Constant", [], ["clf.3.bias"], value=numpy_helper.from_array(values, "v"))
    body.node.insert(0, made)


def _constant(value: float, other: float) -> Change:
    def change(model: onnx.ModelProto, _: onnx.GraphProto) -> None:
        for each in constants(model, value):
            set_constant(each, other)

    return change


def _outer(name: str, value: int) -> Change:
    def change(model: onnx.ModelProto, _: onnx.GraphProto) -> None:
        old = values_of(model.graph, name)
        put(model.graph, name, np.full_like(old, value))

    return change


def _attribute(op_type: str, attribute: str, value: Any) -> Change:
    def change(model: onnx.ModelProto, _: onnx.GraphProto) -> None:
        found = node(model, op_type)
        kept = [each for each in found.attribute if each.name != attribute]
        del found.attribute[:]
        found.attribute.extend([*kept, helper.make_attribute(attribute, value)])

    return change


def _last_attribute(op_type: str, attribute: str, value: Any) -> Change:
    """The same of every node of the type in the body."""

    def change(model: onnx.ModelProto, body: onnx.GraphProto) -> None:
        for found in [each for each in body.node if each.op_type == op_type]:
            kept = [each for each in found.attribute if each.name != attribute]
            del found.attribute[:]
            found.attribute.extend([*kept, helper.make_attribute(attribute, value)])

    return change


def _instead(op_type: str, reads: str, place: int = 0) -> Change:
    """The operator gives one of its inputs back."""
    return lambda model, _: passed_on(node(model, op_type, reads), place)


def _other_operator(op_type: str, other: str, reads: str = "") -> Change:
    def change(model: onnx.ModelProto, _: onnx.GraphProto) -> None:
        node(model, op_type, reads).op_type = other

    return change


def _time_turned(_: onnx.ModelProto, body: onnx.GraphProto) -> None:
    scaled = next(each for each in body.node if each.op_type == "Exp").input[0]
    found = next(each for each in body.node if scaled in each.output)
    found.input[0], found.input[1] = found.input[1], found.input[0]


def _stay_sorted(model: onnx.ModelProto, _: onnx.GraphProto) -> None:
    for found in nodes(model, "Gather", "place_of_row"):
        passed_on(found)


def _classes_swapped(_: onnx.ModelProto, body: onnx.GraphProto) -> None:
    for name in ("clf.3.weight", "clf.3.bias"):
        put(body, name, values_of(body, name)[::-1])


def _renamed_inputs(pairs: dict[str, str]) -> Change:
    """The body's nodes read other tensors."""

    def change(_: onnx.ModelProto, body: onnx.GraphProto) -> None:
        for each in body.node:
            for place, name in enumerate(each.input):
                each.input[place] = pairs.get(name, name)

    return change


def _histories_swapped() -> Change:
    pairs: dict[str, str] = {}
    for kind in ("x_seq_cat", "x_seq_num", "time_seq", "key_padding_mask"):
        one, two = f"{kind}_cid_piece", f"{kind}_ccid_piece"
        pairs |= {one: two, two: one}
    return _renamed_inputs(pairs)


def _float16(_: onnx.ModelProto, body: onnx.GraphProto) -> None:
    inserted(body, "clf.0.weight", "Cast", to=TensorProto.FLOAT16)
    inserted(body, "clf.0.weight_Cast", "Cast", to=TensorProto.FLOAT)


def _output(op_type: str, **attributes: Any) -> Change:
    """An operator behind the score."""

    def change(model: onnx.ModelProto, _: onnx.GraphProto) -> None:
        found = next(each for each in model.graph.node if "score" in each.output)
        found.output[0] = "score_before"
        model.graph.node.append(helper.make_node(op_type, ["score_before"], ["score"], **attributes))

    return change


def _fixed_batch(model: onnx.ModelProto, _: onnx.GraphProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 64


def _second_expert_only_counted(model: onnx.ModelProto, body: onnx.GraphProto) -> None:
    """Every token keeps its first expert alone: the chosen ones are the first twice."""
    for found in [each for each in body.node if each.op_type == "TopK"]:
        sizes = next(each for each in body.node if found.input[1] in each.output)
        sizes.attribute[0].ints[:] = [1]


def _experts_weighed_by_logits(_: onnx.ModelProto, body: onnx.GraphProto) -> None:
    best = {each.output[0] for each in body.node if each.op_type == "TopK"}
    for found in [each for each in body.node if each.op_type == "Softmax" and each.input[0] in best]:
        passed_on(found)


def _mixture_added_to_nothing(_: onnx.ModelProto, body: onnx.GraphProto) -> None:
    """What a small mixture is added to is the third input of its last product."""
    for found in [each for each in body.node if each.op_type == "Gemm" and "feedforward.w2" in each.input[1]]:
        del found.input[2:]


def _padding_counts(_: onnx.ModelProto, body: onnx.GraphProto, of_times: bool) -> None:
    """What a mask chooses, for logits or for times, is what it chooses where no padding is."""
    masks = {name for each in body.node if each.op_type == "Unsqueeze" for name in each.output}
    times = {name for each in body.node if each.op_type == "Transpose" for name in each.output}
    for found in [each for each in body.node if each.op_type == "Where" and each.input[0] in masks]:
        if (found.input[2] in times) == of_times:
            found.input[1] = found.input[2]


WEIGHTS = {
    "the table of the features": "features.table.weight",
    "the gate's table": "gate.categorical.table.weight",
    "the dummy order": "orders_cid.dummy",
    "the categories' aggregation": "orders_cid.categorical.encode.0.weight",
    "the first layer over the numbers": "orders_ccid.numerical.first.weight",
    "folded query weights": "orders_cid.layers.1.attention.query.weight",
    "folded query bias": "gate.layers.0.attention.query.bias",
    "folded time offset": "orders_ccid.layers.1.attention.offset.bias",
    "folded output weights": "features.layers.1.attention.out.weight",
    "scaled projection's bias": "orders_cid.layers.0.attention.project.bias",
    "a layer norm": "orders_ccid.layer_norm_feature.weight",
    "the mixture's gate": "orders_cid.layers.0.feedforward.w_gating",
    "an expert's first matrix": "orders_ccid.layers.0.feedforward.w1",
    "an expert's second matrix": "features.layers.0.feedforward.w2",
    "the numbers' rows": "features.rows_FD",
    "the numbers' bias": "features.bias_num",
    "the categories' bias": "features.bias_cat",
    "the card gate's bias": "gate_score.3.bias",
    "the classifier": "clf.0.weight",
    "the logits' bias": "clf.3.bias",
}

FILE_MUTANTS = [
    *(ModelMutant(f"{kind} off by 1e-4", _off(name)) for kind, name in WEIGHTS.items()),
    ModelMutant("the read-out token off by 1e-4", _off("features.bias_num", -1)),
    ModelMutant("two heads exchanged", _heads_exchanged),
    ModelMutant(
        "one tensor rounded to float16",
        _map("clf.3.weight", lambda x: x.astype(np.float16).astype(np.float32)),
    ),
    ModelMutant("one tensor kept in float16", _map("clf.3.weight", lambda x: x.astype(np.float16))),
    ModelMutant("one tensor cast to float16 and back", _float16),
    ModelMutant("a bias left zero", _map("clf.0.bias", np.zeros_like)),
    ModelMutant("a stale tensor in the loop's body", _stale),
    ModelMutant("a weight moved into a constant and changed", _as_constant),
    ModelMutant(
        "two experts exchanged",
        _map("orders_cid.layers.0.feedforward.spread", lambda x: x[[1, 0, *range(2, len(x))]]),
    ),
    ModelMutant("the histories' layer norms exchanged", _stacks_exchanged),
    ModelMutant("the card gate's threshold 0.0501", _constant(0.05, 0.0501)),
    ModelMutant("experts weighed by their logits", _experts_weighed_by_logits),
    ModelMutant("the mixture added to nothing", _mixture_added_to_nothing),
    ModelMutant("padding not masked", partial(_padding_counts, of_times=False)),
    ModelMutant("padding's times counted", partial(_padding_counts, of_times=True)),
    ModelMutant("times in units of 1.0001e6 s", _constant(1e6, 1.0001e6)),
    ModelMutant("the mask adds -10000", _constant(-np.inf, -1e4)),
    ModelMutant("63 rows per piece", _outer("rows_per_piece", 63)),
    ModelMutant("rows sorted in other bands", _outer("band", 13)),
    ModelMutant("a layer norm's eps 1e-6", _attribute("LayerNormalization", "epsilon", 1e-6)),
    ModelMutant("LeakyReLU's slope 0.0101", _attribute("LeakyRelu", "alpha", 0.0101)),
    ModelMutant("a matrix times 1.0001", _attribute("Gemm", "alpha", 1.0001)),
    ModelMutant("softmax over another axis", _attribute("Softmax", "axis", 1)),
    ModelMutant("the worst experts instead of the best", _last_attribute("TopK", "largest", 0)),
    ModelMutant("one expert instead of two", _second_expert_only_counted),
    ModelMutant("a token's number added, not put in its place", _attribute("ScatterND", "reduction", "add")),
    ModelMutant(
        "an expert's share multiplied, not put in place", _attribute("ScatterElements", "reduction", "mul")
    ),
    ModelMutant("a gate exactly at the threshold is open", _other_operator("Greater", "GreaterOrEqual")),
    ModelMutant("an expert without ReLU", _instead("Relu", "")),
    ModelMutant("dropout left in", lambda _, body: inserted(body, "clf.0.bias", "Dropout")),
    ModelMutant("the score rounded", _output("Round")),
    ModelMutant("the score negated", _output("Neg")),
    ModelMutant("a fixed batch", _fixed_batch),
    ModelMutant("every piece is the first", _instead("Add", "piece_places")),
    ModelMutant("rows stay sorted by length", _stay_sorted),
    ModelMutant("histories cut to the current order", _instead("Min", "mask_cid_shortest", 1)),
    ModelMutant("the history's first order lost", _instead("ReduceMin", "key_padding_mask_cid_firsts")),
    ModelMutant("the two histories swapped", _histories_swapped()),
    ModelMutant(
        "the card's times are the customer's",
        _renamed_inputs({"time_seq_ccid_piece": "time_seq_cid_piece"}),
    ),
    ModelMutant("the time difference turned round", _time_turned),
    ModelMutant("the classes swapped", _classes_swapped),
]
