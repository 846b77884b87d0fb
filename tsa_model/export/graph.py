"""From a network to one ONNX file: dynamic batch and length, named dimensions, metadata, checks."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tsa_model.batch import ENGINEERED, KEYS, history_names
from tsa_model.export.ensemble import side_by_side
from tsa_model.export.network import export_network, input_names, output_names
from tsa_model.export.operators import translations
from tsa_model.export.row_loop import in_pieces, rows_per_piece
from tsa_model.network.networks import Network, members_of
from tsa_model.settings.model import ModelConfig

if TYPE_CHECKING:
    import onnx

OPSET = 20
"""The version that the exporter recommends and that serving runtimes in use understand."""
RANDOM_OPERATORS = {
    "Bernoulli",
    "Dropout",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
}


def write_onnx(network: Network, path: str | Path, metadata: Mapping[str, str]) -> None:
    """Export a network as an ONNX file and check the file.

    Args:
        network: weights in float32; evaluated with the deterministic mixture of experts.
        path: the file to write.
        metadata: text stored in the file.

    Raises:
        ValueError: scoring could not use the file: it has a fixed dimension or a random operator.
    """
    import onnx

    members = [_export(member) for member in members_of(network)]
    whole = members[0]
    if len(members) > 1:
        whole = side_by_side(members, network.config, output_names(network.config))
    model = in_pieces(whole, rows_per_piece(network.config))
    _name_dimensions(model, network.config)
    _clean(model)
    for key in sorted(metadata):
        model.metadata_props.add(key=key, value=metadata[key])
    onnx.checker.check_model(model, full_check=True)
    check_signature(model, network.config)
    Path(path).write_bytes(model.SerializeToString(deterministic=True))


def example_batch(config: ModelConfig, n_rows: int, length: int) -> dict[str, Tensor]:
    """Zeros of the right names, shapes and types; every order is real."""
    n_cat, n_num = config.n_cat_features, config.n_num_features
    batch = {}
    for names in history_names(config.sequences):
        batch[names.cat] = torch.zeros(n_rows, length, n_cat, dtype=torch.int64)
        batch[names.num] = torch.zeros(n_rows, length, n_num)
        batch[names.time] = torch.zeros(n_rows, length, 1)
        batch[names.mask] = torch.zeros(n_rows, length + 1, dtype=torch.bool)
    if config.n_engineered_num_features:
        batch[ENGINEERED] = torch.zeros(n_rows, config.n_engineered_num_features)
    return batch


def _export(network: Network) -> onnx.ModelProto:
    from onnxscript.optimizer import fold_constants, remove_unused_nodes

    with _quiet(), _types_as_they_are():
        program = torch.onnx.export(
            _traced(network),
            dynamo=True,
            opset_version=OPSET,
            input_names=input_names(network.config),
            output_names=output_names(network.config),
            verbose=False,
            optimize=False,
            custom_translation_table=translations(network.trees),
        )
        assert program is not None
        for node in program.model.graph:
            if node.op_type == "Split" and len(node.inputs) > 1:
                node.attributes.pop("num_outputs", None)
        # ONNX Runtime optimises the graph when it loads it; here only rewrites that make the file smaller.
        fold_constants(program.model)
        remove_unused_nodes(program.model)
    return program.model_proto


def _traced(network: Network) -> torch.export.ExportedProgram:
    """The exported form as torch's graph, which the exporter translates as it is, operator by operator.

    Every operator of that form has a translation, and none writes into its inputs. The exporter's search for
    smaller operators would trace the graph twice again to find nothing, so it is left out. An operator
    without a translation is an error that names it.
    """
    names = input_names(network.config)
    batch = example_batch(network.config, n_rows=3, length=max(network.config.seq_len, 4))
    dynamic = torch.export.Dim.DYNAMIC
    program = torch.export.export(
        export_network(network),
        tuple(batch[name] for name in names),
        dynamic_shapes=tuple(
            {0: dynamic} if name == ENGINEERED else {0: dynamic, 1: dynamic} for name in names
        ),
        strict=False,
    )
    program.run_decompositions = lambda decomp_table=None: program  # type: ignore[method-assign]
    return program


def dimension_names(config: ModelConfig) -> dict[str, tuple[str | int, ...]]:
    """Dimensions of every input and output; names are dynamic."""
    D = config.dim_embedding_table
    dimensions: dict[str, tuple[str | int, ...]] = {}
    lengths = ("length",) if config.sequences == "single" else tuple(f"length_{key}" for key in KEYS)
    for names, length in zip(history_names(config.sequences), lengths, strict=True):
        dimensions[names.cat] = ("batch", length, config.n_cat_features)
        dimensions[names.num] = ("batch", length, config.n_num_features)
        dimensions[names.time] = ("batch", length, 1)
        dimensions[names.mask] = ("batch", f"{length} + 1")
    if config.n_engineered_num_features:
        dimensions[ENGINEERED] = ("batch", config.n_engineered_num_features)
    ensemble = config.members * (3 * D + (D if config.use_mlp and config.sequences == "single" else 0))
    outputs: dict[str, tuple[str | int, ...]] = {
        "logits": ("batch", config.n_classes),
        "score": ("batch",),
        "ensemble": ("batch", ensemble),
        "gate_scores": ("batch", 2),
    }
    return dimensions | {name: outputs[name] for name in output_names(config)}


def check_signature(model: onnx.ModelProto, config: ModelConfig) -> None:
    """Inputs and outputs have the names and dimensions of the specification, and no operator draws numbers.

    Raises:
        ValueError: they have not; the message names the differences.
    """
    expected = dimension_names(config)
    found = {
        value.name: tuple(dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in [*model.graph.input, *model.graph.output]
    }
    if found != expected:
        differing = {name: (found.get(name), expected.get(name)) for name in found.keys() | expected.keys()}
        wrong = {name: pair for name, pair in differing.items() if pair[0] != pair[1]}
        raise ValueError(f"the exported signature differs (found, expected): {wrong}")
    drawing = sorted({node.op_type for node in all_nodes(model.graph)} & RANDOM_OPERATORS)
    if drawing:
        raise ValueError(f"the exported graph holds operators that draw random numbers: {drawing}")


def _name_dimensions(model: onnx.ModelProto, config: ModelConfig) -> None:
    """Give the exporter's anonymous symbols (`s15`, `s22 + 1`) the names of `dimension_names`."""
    expected = dimension_names(config)
    names: dict[str, str] = {}
    for value in [*model.graph.input, *model.graph.output]:
        for dim, name in zip(value.type.tensor_type.shape.dim, expected[value.name], strict=True):
            if dim.dim_param and isinstance(name, str):
                names.setdefault(dim.dim_param, name)
                dim.dim_param = names[dim.dim_param]
    # Shapes of intermediate values speak of the old symbols; shape inference derives them again.
    del model.graph.value_info[:]


def _clean(model: onnx.ModelProto) -> None:
    """Drop all that depends on the exporting machine: stack traces with paths, documentation strings."""
    for node in all_nodes(model.graph):
        del node.metadata_props[:]
        node.doc_string = ""
    for graph in (model.graph, *subgraphs(model.graph)):
        for value in [graph, *graph.input, *graph.output, *graph.initializer]:
            del value.metadata_props[:]
            value.doc_string = ""


def subgraphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Every graph inside the nodes of a graph."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield attribute.g
                yield from subgraphs(attribute.g)


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of the graphs inside it."""
    for each in (graph, *subgraphs(graph)):
        yield from each.node


@contextlib.contextmanager
def _types_as_they_are() -> Iterator[None]:
    """Keep the exporter from computing the graph once more, a third of its time, to find operands to cast.

    No operator of the exported form mixes types; `tests/export/test_forms.py` compares the files.
    """
    from torch.onnx._internal.exporter import _fx_passes

    kept = _fx_passes.insert_type_promotion_nodes
    _fx_passes.insert_type_promotion_nodes = lambda graph_module: None
    try:
        yield
    finally:
        _fx_passes.insert_type_promotion_nodes = kept


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's running commentary out of the stage's log; errors still raise."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
