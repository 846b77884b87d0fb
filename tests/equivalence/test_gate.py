from __future__ import annotations

import json

import pytest
import torch
from support.batches import tiny_config, tiny_network, tiny_sample

from tsa_model.equivalence import judge
from tsa_model.equivalence.gate import Identity

IDENTITY = Identity("weights", "store")


@pytest.mark.parametrize("sequences", ["single", "dual"])
def test_a_correct_network_passes(sequences):
    config = tiny_config(sequences)
    verdict = judge(tiny_network(config), tiny_sample(config), IDENTITY)
    assert verdict.passed, verdict.reason
    json.dumps(verdict.model_dump(mode="json"), allow_nan=False)


@pytest.mark.parametrize("sequences", ["single", "dual"])
def test_another_computation_fails_in_the_algebra_check(sequences):
    config = tiny_config(sequences)
    network = tiny_network(config)
    network.clf.register_forward_pre_hook(lambda _, args: (args[0] * (1 + 1e-5),))
    verdict = judge(network, tiny_sample(config), IDENTITY)
    assert not verdict.passed
    assert verdict.reason.startswith("check 1 (Algebra in float64) failed: trained weights, logits")


def test_nan_weights_fail_the_contract():
    config = tiny_config()
    network = tiny_network(config)
    with torch.no_grad():
        network.clf[0].weight[0, 0] = float("nan")
    verdict = judge(network, tiny_sample(config), IDENTITY)
    assert not verdict.passed
    assert "clf.0.weight" in verdict.reason
