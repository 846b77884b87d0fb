"""The exported graphs of an ensemble's members as one graph: the members side by side, then their mean.

Members are exported one by one, because the exporter's work on shapes grows much faster than a graph does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

    from tsa_model.settings.model import ModelConfig


def side_by_side(models: list[onnx.ModelProto], config: ModelConfig, outputs: list[str]) -> onnx.ModelProto:
    """One graph with the members' inputs, and the outputs of an ensemble.

    Args:
        models: the members' graphs, of one signature; their parts are reused.
        config: of the whole.
        outputs: names of the outputs: `logits` and `gate_scores` are means, `score` belongs to the mean
            logits, `ensemble` holds the members' vectors one after another.
    """
    from onnx import TensorProto, compose, helper

    nodes, initializers = [], [helper.make_tensor("class_fraud", TensorProto.INT64, [], [1])]
    for number, model in enumerate(models):
        graph = compose.add_prefix_graph(model.graph, _prefix(number), rename_inputs=False)
        nodes += graph.node
        initializers += graph.initializer
    for name in outputs:
        found = [f"{_prefix(number)}{name}" for number in range(len(models))]
        if name == "score":
            nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1))
            nodes.append(helper.make_node("Gather", ["probabilities", "class_fraud"], [name], axis=1))
        elif name == "ensemble":
            nodes.append(helper.make_node("Concat", found, [name], axis=-1))
        else:
            nodes.append(helper.make_node("Mean", found, [name]))
    first = models[0]
    results = []
    for each in first.graph.output:
        shape = each.type.tensor_type.shape
        if each.name == "ensemble":
            shape.dim[1].dim_value *= config.members
        results.append(each)
    graph = helper.make_graph(nodes, first.graph.name, list(first.graph.input), results, initializers)
    return helper.make_model(
        graph,
        opset_imports=list(first.opset_import),
        ir_version=first.ir_version,
        producer_name=first.producer_name,
        producer_version=first.producer_version,
    )


def _prefix(number: int) -> str:
    return f"members.{number}."
