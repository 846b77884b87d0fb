"""Each check passes on correct networks and rejects the fault it is there for."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from support.batches import tiny_config, tiny_evidence, tiny_network, tiny_sample

from tsa_model.equivalence.checks.algebra import check_algebra
from tsa_model.equivalence.checks.contract import check_contract
from tsa_model.equivalence.checks.controls import check_controls
from tsa_model.equivalence.checks.decisions import check_decisions, rank_correlation
from tsa_model.equivalence.checks.divergence import check_divergence
from tsa_model.equivalence.checks.metamorphic import check_metamorphic
from tsa_model.equivalence.checks.rounding import N_RUNS, check_rounding, compare_rounding
from tsa_model.equivalence.checks.training import check_training, compare_training, training_batch
from tsa_model.equivalence.evidence.effort import SMALL_NETWORK
from tsa_model.equivalence.evidence.networks import Networks
from tsa_model.equivalence.evidence.observations import Evidence
from tsa_model.equivalence.evidence.training_step import Conditions
from tsa_model.network.networks import DualSequenceNetwork
from tsa_model.settings.gate import GateConfig
from tsa_model.settings.training import TrainConfig
from tsa_model.training.objective import Objective


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


@pytest.mark.parametrize(("unlucky_runs", "passes"), [({0}, True), (set(range(N_RUNS + 1)), False)])
def test_two_rows_far_off_once_are_chance_and_far_off_in_every_run_are_not(evidence, unlucky_runs, passes):
    truth, own, found = evidence.truth["ensemble"], evidence.rounded["ensemble"], evidence.rounded["ensemble"]
    wrong = found.clone()
    wrong[[3, 7]] *= 1 + 1e-4
    asked = []

    def again(rows):
        asked.extend(rows.tolist())
        runs = [(wrong if run in unlucky_runs else found)[rows] for run in range(1, N_RUNS + 1)]
        return runs, [own[rows]] * N_RUNS

    largest = compare_rounding("ensemble", wrong, own, truth, again=again)[0]
    assert asked == [3, 7]
    assert largest.passed == passes


def test_rounding_notices_two_wrong_rows(evidence):
    """Wrong in float32 alone, in the rows with the largest amounts alone."""

    def scale_two_rows(network):
        def spoil(_, args):
            x = args[0]
            is_extreme = (x.abs().amax(1) >= limit)[:, None] if x.dtype == torch.float32 else False
            return (torch.where(torch.as_tensor(is_extreme), x * (1 + 1e-4), x),)

        network.clf.register_forward_pre_hook(spoil)

    limit = evidence.rounded["ensemble"].abs().amax(1).topk(2).values[-1].item() * (1 - 1e-5)
    result = check_rounding(spoiled(evidence, scale_two_rows))
    assert not result.passed


def test_rounding_sees_a_block_below_the_noise_of_the_whole(evidence):
    """An ill-conditioned network's own rounding covers a fault of its last block; alone it shows."""
    noise = torch.Generator().manual_seed(0)
    reference = copy.deepcopy(evidence.networks.reference)
    reference.register_forward_hook(
        lambda *call: tuple(x + 0.1 * torch.randn(x.shape, generator=noise) * x.abs().max() for x in call[-1])
    )
    noisy = dataclasses.replace(
        evidence, networks=dataclasses.replace(evidence.networks, reference=reference)
    )

    def half(network):
        network.clf.register_forward_pre_hook(lambda _, args: (args[0].half().to(args[0].dtype),))

    result = check_rounding(spoiled(noisy, half))
    assert not result.passed
    assert all("block by block" in m.name and m.where == "clf" for m in result.measurements if not m.passed)


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
    config = TrainConfig(batch_size=16)
    result = check_training({"trained weights": evidence, "probe weights": evidence}, config)
    assert result.passed, result.reason


def test_a_gradient_that_stops_is_noticed(evidence):
    def cut(network):
        network.clf[0].register_forward_hook(lambda _, args, output: output.detach())

    bad = spoiled(evidence, cut)
    conditions = Conditions(Objective(TrainConfig()))
    failed = [m for m in compare_training("x", bad, training_batch(bad), conditions) if not m.passed]
    assert any("gradient in one network only" in m.name for m in failed)


def test_metamorphic_relations_hold_and_a_batch_mean_breaks_them(evidence):
    assert check_metamorphic({"trained weights": evidence}).passed

    def mix(network):
        network.clf.register_forward_pre_hook(lambda _, args: (args[0] + 1e-6 * args[0].mean(dim=0),))

    result = check_metamorphic({"trained weights": spoiled(evidence, mix)})
    assert not result.passed
    assert "each row alone" in result.reason or "other row order" in result.reason


@pytest.mark.parametrize(
    ("shift", "words"),
    [(-1e-15, "equals the threshold"), (0.01, "above the threshold"), (1e-15, "above the")],
)
def test_another_threshold_in_both_computations_is_noticed(monkeypatch, shift, words):
    evidence = tiny_evidence(tiny_config("dual"))
    original = DualSequenceNetwork.__init__

    def shift_threshold(self, *args, **kwargs):
        original(self, *args, **kwargs)
        self.gate_threshold += shift

    monkeypatch.setattr(DualSequenceNetwork, "__init__", shift_threshold)
    assert words in check_metamorphic({"trained weights": evidence}).reason


def test_a_card_gate_too_small_to_move_a_logit_is_no_alarm():
    network = tiny_network(tiny_config("dual"))
    with torch.no_grad():
        network.gate_score[-1].bias[0] += 300.0
    evidence = Evidence(Networks.of(network), tiny_sample(network.config), SMALL_NETWORK)
    found = check_metamorphic({"saturated": evidence})
    assert found.passed, found.reason
    assert not any("the threshold" in each.name for each in found.measurements)


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


@pytest.mark.parametrize(("scale", "immaterial"), [(10.0, "off by 1e-5"), (0.01, "through float16")])
def test_a_control_that_is_immaterial_gives_way_to_a_stronger_one(scale, immaterial):
    network = tiny_network(tiny_config("single"))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(scale)
    evidence = Evidence(Networks.of(network), tiny_sample(tiny_config("single")), SMALL_NETWORK)
    result = check_controls(evidence)
    assert result.passed, result.reason
    assert any("Immaterial for these weights" in note and immaterial in note for note in result.notes)


def test_controls_are_rejected_where_trees_say_nearly_all():
    network = tiny_network(tiny_config("single", boosted_trees=4, tree_leaves=6, tree_depth=4))
    with torch.no_grad():
        network.clf[-1].weight.mul_(1e-6)
        network.clf[-1].bias.zero_()
    evidence = Evidence(Networks.of(network), tiny_sample(network.config), SMALL_NETWORK)
    result = check_controls(evidence)
    assert result.passed, result.reason
