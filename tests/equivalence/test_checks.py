"""Each check passes on correct networks and rejects the fault it is there for."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from support.batches import tiny_config, tiny_evidence

from tsa_model.equivalence.algebra import check_algebra
from tsa_model.equivalence.config import GateConfig
from tsa_model.equivalence.contract import check_contract
from tsa_model.equivalence.controls import check_controls
from tsa_model.equivalence.decisions import check_decisions, rank_correlation
from tsa_model.equivalence.divergence import check_divergence
from tsa_model.equivalence.dropout import measure_dropout
from tsa_model.equivalence.evidence import Evidence
from tsa_model.equivalence.metamorphic import check_metamorphic
from tsa_model.equivalence.networks import Networks
from tsa_model.equivalence.rounding import check_rounding
from tsa_model.equivalence.training import check_training, compare_gradients
from tsa_model.network.fast import layers
from tsa_model.network.networks import DualSequenceNetwork
from tsa_model.training.config import TrainConfig


@pytest.fixture(scope="module", params=["single", "dual"])
def evidence(request) -> Evidence:
    return tiny_evidence(tiny_config(request.param))


def spoiled(evidence: Evidence, spoil) -> Evidence:
    """The same evidence about a shipped network that is wrong."""
    shipped, shipped64 = (copy.deepcopy(n) for n in (evidence.networks.shipped, evidence.networks.shipped64))
    for network in (shipped, shipped64):
        spoil(network)
    networks = Networks(shipped, evidence.networks.reference, shipped64, evidence.networks.reference64)
    return evidence.against(networks)


def scale_ensemble(factor):
    def spoil(network):
        network.clf.register_forward_pre_hook(lambda _, args: (args[0] * factor,))

    return spoil


def test_contract_holds_and_names_a_weight_that_differs_from_the_file(evidence):
    stored = {name: x.clone() for name, x in evidence.networks.shipped.state_dict().items()}
    assert check_contract(evidence.networks, evidence.sample, stored).passed
    stored["clf.0.bias"][3] += 1
    result = check_contract(evidence.networks, evidence.sample, stored)
    assert not result.passed
    assert "clf.0.bias" in result.reason
    del stored["clf.0.bias"]
    assert "clf.0.bias" in check_contract(evidence.networks, evidence.sample, stored).reason


def test_contract_refuses_training_mode(evidence):
    training = spoiled(evidence, lambda network: network.train())
    assert "evaluation mode" in check_contract(training.networks, training.sample).reason


def test_algebra_passes_and_rejects_a_millionth(evidence):
    assert check_algebra({"probe weights": evidence}).passed
    wrong = check_algebra({"control": spoiled(evidence, scale_ensemble(1 + 1e-5))})
    assert not wrong.passed
    assert wrong.reason.startswith("control, logits: share of the allowed difference")


def test_algebra_prints_an_alarm_far_below_the_promise(evidence):
    result = check_algebra({"control": spoiled(evidence, scale_ensemble(1 + 1e-9))})
    assert result.passed
    assert any(note.startswith("ALARM: control, logits") for note in result.notes)


def test_rounding_passes_and_rejects_half_precision(evidence):
    assert check_rounding(evidence).passed

    def half(network):
        network.clf.register_forward_pre_hook(lambda _, args: (args[0].half().to(args[0].dtype),))

    result = check_rounding(spoiled(evidence, half))
    assert not result.passed
    assert "error / the reference's" in result.reason


def test_divergence_names_the_first_block_and_the_orders(evidence):
    assert check_divergence({"trained weights": evidence}).passed
    name = "feature_attention.layer_stack_feature.1.multi_attn"

    def scale(network):
        network.get_submodule(name).register_forward_hook(lambda _, args, output: output * (1 + 1e-8))

    result = check_divergence({"trained weights": spoiled(evidence, scale)})
    assert not result.passed
    assert result.reason.startswith(f"first divergence teacher-forced: {name} differs by 1e-08 of its scale")
    assert "order" in result.reason


def test_training_passes(evidence):
    result = check_training({"trained weights": evidence, "probe weights": evidence}, TrainConfig())
    assert result.passed, result.reason


def test_a_gradient_that_stops_is_noticed(evidence):
    def cut(network):
        network.clf[0].register_forward_hook(lambda _, args, output: output.detach())

    failed = [m for m in compare_gradients("x", spoiled(evidence, cut), TrainConfig()) if not m.passed]
    assert any("gradient in one network only" in m.name for m in failed)


def test_dropout_that_is_left_out_is_noticed(monkeypatch):
    config = tiny_config("single")
    assert all(m.passed for m in measure_dropout(config))
    original = layers.attend_last

    def without_dropout(block, x, scaling):
        was, block.training = block.training, False
        try:
            return original(block, x, scaling)
        finally:
            block.training = was

    monkeypatch.setattr(layers, "attend_last", without_dropout)
    failed = [m.name for m in measure_dropout(config) if not m.passed]
    assert any("multi_attn" in name for name in failed)


def test_metamorphic_relations_hold_and_a_batch_mean_breaks_them(evidence):
    assert check_metamorphic({"trained weights": evidence}).passed

    def mix(network):
        network.clf.register_forward_pre_hook(lambda _, args: (args[0] + 1e-6 * args[0].mean(dim=0),))

    result = check_metamorphic({"trained weights": spoiled(evidence, mix)})
    assert not result.passed
    assert "each row alone" in result.reason or "other row order" in result.reason


def test_threshold_that_lets_equality_through_is_noticed(monkeypatch):
    evidence = tiny_evidence(tiny_config("dual"))
    original = DualSequenceNetwork.__init__

    def lower_threshold(self, *args, **kwargs):
        original(self, *args, **kwargs)
        self.gate_threshold -= 1e-15

    monkeypatch.setattr(DualSequenceNetwork, "__init__", lower_threshold)
    assert "equals the threshold" in check_metamorphic({"trained weights": evidence}).reason


def test_controls_are_all_rejected(evidence):
    result = check_controls(evidence)
    assert result.passed, result.reason
    assert len(result.measurements) >= 7


def test_decisions_report_the_change_of_routing(evidence):
    result = check_decisions(evidence, evidence.sample.batch, GateConfig(), 16)
    assert result.passed, result.reason
    names = [m.name for m in result.measurements]
    assert any("largest change of a score" in name for name in names)
    assert any(name.startswith("AUC lost") for name in names)


def test_rank_correlation_of_a_reversed_ranking():
    assert rank_correlation(np.arange(5.0), -np.arange(5.0)) == pytest.approx(-1)
    assert rank_correlation(np.zeros(5), np.zeros(5)) == 1
