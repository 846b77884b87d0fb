"""The parity check: what it accepts, what it refuses, and what it says then."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from support.batches import ragged_batch, tiny_config, tiny_network

from tsa_model.export import ParityError, check_parity
from tsa_model.export.comparison import ParityComparison
from tsa_model.export.contents import check_contents
from tsa_model.export.parity_error import ContentsError
from tsa_model.export.parity_rows import ShapedCall, distinct_rows, made_rows
from tsa_model.export.session import ScoringSession, SessionSettings
from tsa_model.export.truth import Truth

SIZES = {1, 63, 64, 65, 128, 255, 256, 257}


class Spoiled:
    """Only `run`, of a true session whose outputs are then changed."""

    def __init__(self, session, change):
        self.session, self.change = session, change

    def run(self, batch):
        outputs = {name: x.copy() for name, x in self.session.run(batch).items()}
        self.change(batch, outputs)
        return outputs


@pytest.fixture
def orders(small_dual):
    """60 real rows with order ids."""
    batch = ragged_batch(small_dual.network.config, 60, seed=3)
    return {**batch, "order_id": np.array([f"order-{row}" for row in range(60)])}


def changed_file(exported, path, change):
    """A session of the exported file, after a change of its body."""
    model = onnx.load(exported.path)
    change(next(node for node in model.graph.node if node.op_type == "Loop").attribute[0].g)
    path.write_bytes(model.SerializeToString())
    return ScoringSession(path, SessionSettings())


def tensor_off(name, by):
    def change(body):
        tensor = next(each for each in body.initializer if each.name == name)
        values = numpy_helper.to_array(tensor).copy()
        values.ravel()[-1] += by
        tensor.CopyFrom(numpy_helper.from_array(values, name))

    return change


def test_parity_holds_and_says_how_well(small_dual, orders):
    parity = check_parity(small_dual.network, small_dual.session, orders)
    L = small_dual.network.config.seq_len
    assert 0 < parity.worst["logits"] < 1e-5
    assert parity.worst_share_of_tolerance < 1
    assert (parity.excused, parity.rounding_rows) == ([], 0)
    assert {rows for rows, _ in parity.grid} >= SIZES
    assert {length for _, length in parity.grid} == set(range(1, L + 1))
    assert parity.experts == 3 * 3
    assert parity.tensors > 80


def test_parity_holds_without_mixtures_and_engineered_features(small_single):
    session, network, _ = small_single
    assert session.input_names == ["x_cat", "x_num", "time_seq", "key_padding_mask"]
    parity = check_parity(network, session, made_rows(network.config, 20, seed=2))
    assert parity.worst["logits"] < 1e-5
    assert parity.experts == 0


@pytest.mark.parametrize("name", ["clf.3.bias", "orders_ccid.layers.0.feedforward.w2.1", "gate.dummy"])
def test_a_tensor_off_by_a_little_is_named_before_anything_is_computed(small_dual, tmp_path, name):
    session = changed_file(small_dual, tmp_path / "model.onnx", tensor_off(name, 1e-4))
    with pytest.raises(ContentsError, match=rf"tensor {name}: 1 of \d+ values differ, .* file .* weights"):
        check_contents(small_dual.network, session.path)


def test_other_weights_do_not_pass_for_these(small_dual, orders):
    other = small_dual.network.twin("reference")
    name = "order_attention_ccid.layer_stack.0.feedforward.experts.w2"
    other.load_state_dict({**other.state_dict(), name: other.state_dict()[name] * 1.02}, assign=True)
    with pytest.raises(ContentsError, match=r"orders_ccid\.layers\.0\.feedforward\.w2\.0"):
        check_parity(other, small_dual.session, orders)
    pattern = r"logits\[\d+, \d\] of batch .* ONNX .* network .* difference .* allowed"
    with pytest.raises(ParityError, match=pattern):
        check_parity(other, Spoiled(small_dual.session, lambda *_: None), orders)


def test_a_graph_that_computes_the_first_piece_again_and_again_is_refused(small_dual, orders, tmp_path):
    def change(body):
        node = next(each for each in body.node if each.op_type == "Add" and "piece_places" in each.input)
        node.op_type = "Identity"
        del node.input[1:]

    session = changed_file(small_dual, tmp_path / "model.onnx", change)
    assert check_contents(small_dual.network, session.path) > 0
    with pytest.raises(ParityError, match=r"of batch \(\d+, 9\), .*one call, 1 thread: ONNX"):
        check_parity(small_dual.network, session, orders)


def test_the_message_names_the_worst_value_with_its_order(small_dual, orders):
    def change(batch, outputs):
        wrong = np.isin(batch["x_engineered"][:, 0].numpy(), orders["x_engineered"][:10, 0].numpy())
        outputs["logits"][wrong, 1] += np.where(wrong, 5.0, 0.0)[wrong]

    with pytest.raises(ParityError, match=r"\d+ values of 10 of \d+ rows") as caught:
        check_parity(small_dual.network, Spoiled(small_dual.session, change), orders)
    worst = str(caught.value).splitlines()[1]
    assert "order 'order-" in worst
    assert "difference 5, allowed" in worst


@pytest.mark.parametrize(
    "change",
    [
        lambda batch, outputs: outputs["logits"].__setitem__(0, np.nan),
        lambda batch, outputs: outputs.pop("gate_scores"),
        lambda batch, outputs: outputs.update(gate_scores=outputs["gate_scores"][:, ::-1]),
        lambda batch, outputs: outputs.update(score=outputs["score"][:, None]),
    ],
    ids=["not a number", "an output missing", "gate weights swapped", "another shape"],
)
def test_a_wrong_output_of_any_kind_is_refused(small_dual, orders, change):
    with pytest.raises(ParityError):
        check_parity(small_dual.network, Spoiled(small_dual.session, change), orders)


def test_a_batch_without_rows_proves_nothing(small_dual, orders):
    none = {name: x[:0] for name, x in orders.items()}
    with pytest.raises(ValueError, match="lacks rows"):
        check_parity(small_dual.network, small_dual.session, none)


def tied(network, distance):
    """The network with two experts of the customer's mixture scoring alike, a little below the first."""
    other = copy.deepcopy(network)
    gate = other.order_attention_cid.layer_stack[-1].feedforward.gate.w_gating
    with torch.no_grad():
        gate[:, 0] *= 0.1
        gate[:, 1] = 0.0
        gate[:, 2] = 0.0
        gate[0, 2] = distance
    return other


@pytest.fixture(scope="module")
def tie():
    """A network with a tie, what its rows give when it is turned, and the row that this moves most."""
    config = tiny_config(n_layers_order=1, n_layers_feature=1)
    exact, turned = (tied(tiny_network(config), distance) for distance in (1e-9, -1e-9))
    truth = Truth(exact)
    rows = distinct_rows(config, ragged_batch(config, 12, seed=3), 0)
    ours, theirs = truth(rows), Truth(turned)(rows)
    row = int(np.abs(ours["logits"] - theirs["logits"]).max(axis=1).argmax())
    return truth, rows, theirs, row


def compared(tie, added):
    """A comparison after one call of the row, with the turned outputs and something added to its logits."""
    truth, rows, theirs, row = tie
    comparison = ParityComparison.of(truth, rows, seed=0)
    outputs = {name: x[[row]].copy() for name, x in theirs.items()}
    outputs["logits"] += added
    comparison.add(ShapedCall(np.array([row]), rows.width), outputs, "run")
    return comparison


def test_a_tie_is_excused_by_the_other_routing(tie):
    _, rows, theirs, row = tie
    comparison = compared(tie, added=0.0)
    assert (comparison.off, list(comparison.excused)) == ([], [row])
    excused = comparison.excused[row]
    assert excused.row == rows.titles[row]
    assert excused.decisions == ("order_attention_cid.layer_stack.0.feedforward at token 9",)
    distance = np.abs(comparison.truth["logits"] - theirs["logits"])[row].max()
    assert excused.difference == pytest.approx(distance)
    assert distance > 1e-3 > excused.difference_from_other


def test_a_tie_excuses_nothing_but_the_other_routing(tie):
    comparison = compared(tie, added=1e-3)
    assert comparison.excused == {}
    assert "difference" in comparison.message(3)
