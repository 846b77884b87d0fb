"""The ONNX file: what ONNX Runtime computes from it, and what stands in it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from support.batches import tiny_config

from tsa_model.export.graph import all_nodes, check_signature, dimension_names
from tsa_model.export.parity import cut, made_rows
from tsa_model.export.row_loop import in_pieces, rows_per_piece


def test_onnx_runtime_computes_what_the_legacy_computed(dual):
    session, _, _, inputs, outputs = dual
    found = session.run(inputs)
    np.testing.assert_allclose(found["logits"], outputs["f64/deterministic/logits"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["ensemble"], outputs["f64/deterministic/ensemble"], rtol=1e-4, atol=1e-5)


def test_a_row_scores_the_same_alone_in_any_order_and_in_any_batch(dual):
    session, network, *_ = dual
    batch = {name: x.numpy() for name, x in made_rows(network.config, 150, seed=5).items()}
    together = session.run(batch)["score"]
    order = np.random.default_rng(0).permutation(150)
    shuffled = session.run({name: x[order] for name, x in batch.items()})["score"]
    np.testing.assert_allclose(shuffled, together[order], rtol=0, atol=1e-6)
    for row in (0, 77, 149):
        alone = session.run({name: x[row : row + 1] for name, x in batch.items()})["score"]
        np.testing.assert_allclose(alone, together[row : row + 1], rtol=0, atol=1e-6)


def test_columns_in_which_every_row_has_padding_can_be_left_out(dual):
    session, network, *_ = dual
    L = network.config.seq_len
    batch = made_rows(network.config, 60, seed=6)
    for key in ("cid", "ccid"):
        short = ~batch[f"key_padding_mask_{key}"][:, : L - 20].any(dim=1)
        for name in (f"x_seq_cat_{key}", f"x_seq_num_{key}", f"time_seq_{key}"):
            batch[name][:, : L - 20] = 0
        batch[f"key_padding_mask_{key}"][:, : L - 20] = True
        assert short.any(), "no row was shortened"
    whole = session.run(batch)["score"]
    np.testing.assert_allclose(session.run(cut(batch, slice(None), 20))["score"], whole, rtol=0, atol=1e-6)


def test_scores_are_the_second_classs_share(dual):
    session, _, _, inputs, _ = dual
    found = session.run(inputs)
    expected = torch.softmax(torch.from_numpy(found["logits"]), dim=-1)[:, 1]
    np.testing.assert_allclose(found["score"], expected, rtol=1e-6)


def test_a_missing_input_is_named(dual):
    session, _, _, inputs, _ = dual
    with pytest.raises(ValueError, match="time_seq_ccid"):
        session.run({name: x for name, x in inputs.items() if name != "time_seq_ccid"})


def test_the_file_says_what_it_takes_and_draws_nothing(dual):
    session, network, path, *_ = dual
    model = onnx.load(path)
    found = {
        each.name: tuple(dim.dim_param or dim.dim_value for dim in each.type.tensor_type.shape.dim)
        for each in [*model.graph.input, *model.graph.output]
    }
    assert found == dimension_names(network.config)
    assert found["x_seq_cat_cid"] == ("batch", "length_cid", 35)
    assert found["key_padding_mask_ccid"] == ("batch", "length_ccid + 1")
    assert session.metadata["verdict_id"] == "none"
    assert not [node.op_type for node in all_nodes(model.graph) if "Random" in node.op_type]
    assert {opset.domain for opset in model.opset_import} == {""}
    assert b"tsa_model/" not in path.read_bytes(), "a path of the exporting machine is in the file"


def test_every_expert_adds_on_its_own(small_dual):
    """A token has two experts: were both added at once, a runtime with several threads could lose one."""
    model, config = onnx.load(small_dual.path), small_dual.network.config
    adding = [
        node
        for node in all_nodes(model.graph)
        for attribute in node.attribute
        if attribute.name == "reduction" and attribute.s == b"add"
    ]
    mixtures = 3  # each history has its own attention; both and the features have experts
    assert len(adding) == mixtures * config.num_experts


def test_small_experts_run_on_every_token(dual):
    _, network, path, *_ = dual
    operators = [node.op_type for node in all_nodes(onnx.load(path).graph)]
    config = network.config
    mixtures = 2 * config.n_layers_order + config.n_layers_feature
    assert operators.count("ScatterElements") == mixtures
    assert operators.count("NonZero") == 4, "beside the orders of four readings something is sorted"


def test_a_fixed_batch_is_refused(dual):
    _, network, path, *_ = dual
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
    with pytest.raises(ValueError, match="x_seq_cat_cid"):
        check_signature(model, network.config)


def test_a_graph_that_draws_is_refused(dual):
    _, network, path, *_ = dual
    model = onnx.load(path)
    body = next(node for node in model.graph.node if node.op_type == "Loop").attribute[0].g
    body.node.append(helper.make_node("RandomUniform", [], ["drawn"], shape=[1]))
    with pytest.raises(ValueError, match="RandomUniform"):
        check_signature(model, network.config)


@pytest.mark.parametrize("n_rows", [1, 2, 4, 5, 7, 8, 9, 23])
def test_a_loop_over_pieces_gives_every_row_back_once(n_rows):
    import onnxruntime

    graph = helper.make_graph(
        [
            helper.make_node("Add", ["x", "x"], ["twice"]),
            helper.make_node("ReduceSum", ["twice"], ["total"], keepdims=0),
            helper.make_node("Sub", ["twice", "total_of_one"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", 3])],
        [helper.make_tensor("total_of_one", TensorProto.FLOAT, [], [1.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    wrapped = in_pieces(model, rows=4)
    onnx.checker.check_model(wrapped, full_check=True)
    session = onnxruntime.InferenceSession(wrapped.SerializeToString())
    x = np.arange(n_rows * 3, dtype=np.float32).reshape(-1, 3)
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], 2 * x - 1)


def test_padding_shared_by_a_piece_is_left_out_and_rows_come_back_in_their_order():
    """The inner graph counts the positions it is given: as many as its longest history has, and the dummy."""
    import onnxruntime

    inner = [
        helper.make_node("Shape", ["x_num"], ["width"], start=1, end=2),
        helper.make_node("Squeeze", ["width"], ["positions"]),
        helper.make_node("Cast", ["positions"], ["positions_float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["x_num", "orders"], ["total"], keepdims=0),
        helper.make_node("Mul", ["total", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "positions_float"], ["seen"]),
    ]
    graph = helper.make_graph(
        inner,
        "g",
        [
            helper.make_tensor_value_info("x_num", TensorProto.FLOAT, ["b", "l"]),
            helper.make_tensor_value_info("key_padding_mask", TensorProto.BOOL, ["b", "m"]),
        ],
        [
            helper.make_tensor_value_info("total", TensorProto.FLOAT, ["b"]),
            helper.make_tensor_value_info("seen", TensorProto.FLOAT, ["b"]),
        ],
        [
            helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
            helper.make_tensor("orders", TensorProto.INT64, [1], [1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = onnxruntime.InferenceSession(in_pieces(model, rows=3).SerializeToString())
    length = np.array([5, 1, 4, 0, 2, 5, 1, 3])
    real = np.arange(6) >= 6 - length[:, None]
    x = np.random.default_rng(0).random((8, 6), np.float32) * real
    feed = {"x_num": x, "key_padding_mask": np.pad(~real, ((0, 0), (0, 1)))}
    total, seen = session.run(None, feed)
    np.testing.assert_allclose(total, x.sum(axis=1), rtol=1e-6)
    # Sorted: 5 5 4 | 3 2 1 | 1 0 (0 repeated); a row without an order keeps the current position.
    np.testing.assert_array_equal(seen, [5, 3, 5, 1, 3, 5, 1, 3])


def test_pieces_are_smaller_where_rows_are_wider():
    assert rows_per_piece(tiny_config()) == 64
    assert rows_per_piece(tiny_config(seq_len=51, n_cat_features=53, dim_embedding_table=128)) == 18
