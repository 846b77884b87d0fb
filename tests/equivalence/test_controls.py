"""Check 7 where a wide head outweighs the classifier: what the classifier alone does is immaterial there."""

from __future__ import annotations

import pytest
import torch
from support.batches import tiny_config, tiny_network, tiny_sample

from tsa_model.equivalence.checks.controls import _grow_logits, _mix_rows, _spoiled
from tsa_model.equivalence.checks.metamorphic import ALONE, check_metamorphic, share_of_alone
from tsa_model.equivalence.evidence.effort import SMALL_NETWORK
from tsa_model.equivalence.evidence.networks import Networks
from tsa_model.equivalence.evidence.observations import Evidence


@pytest.fixture(scope="module")
def evidence():
    config = tiny_config("single", wide_hidden_dim=4, n_layers_order=1, n_layers_feature=1)
    network = tiny_network(config)
    with torch.no_grad():
        for parameter in network.clf.parameters():
            parameter.mul_(1e-6)
    return Evidence(Networks.of(network), tiny_sample(config), SMALL_NETWORK)


def rejected(evidence, spoil):
    bad = _spoiled(evidence.networks, spoil)
    result = check_metamorphic({"control": evidence.against(bad)}, only=ALONE)
    return not result.passed, share_of_alone(bad.shipped64, evidence.traced_batch)


def test_the_size_of_a_fault_is_what_the_check_compares(evidence):
    found, share = rejected(evidence, _mix_rows)
    assert not found
    assert 0 < share <= 1


def test_a_stronger_fault_reaches_the_logits_whatever_weighs_most(evidence):
    found, share = rejected(evidence, _grow_logits)
    assert found
    assert share > 1
