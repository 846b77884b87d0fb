"""The gate of an ensemble: every member is judged, and the mean."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.batches import tiny_config, tiny_evidence

from tsa_model.equivalence.checks.contract import CONTRACT
from tsa_model.equivalence.gate import Identity, judge
from tsa_model.equivalence.members import measure_mean, merge, stored_of_member
from tsa_model.equivalence.results import at_most
from tsa_model.network.fast.form import FAST
from tsa_model.network.networks import members_of

SMALL = {"members": 2, "n_layers_order": 1, "n_layers_feature": 1}


@pytest.fixture(scope="module")
def evidence():
    return tiny_evidence(tiny_config("single", moe_eval="deterministic", **SMALL))


@pytest.fixture(scope="module")
def truths(evidence):
    batch = evidence.sample.batch
    with torch.no_grad():
        return [member(in_double(batch))[0] for member in members_of(evidence.networks.reference64)]


def in_double(batch):
    return {name: x.double() if x.is_floating_point() else x for name, x in batch.items()}


def test_the_mean_of_the_members_passes(evidence, truths):
    assert measure_mean(evidence.networks.shipped, evidence.sample, truths).passed


@pytest.mark.parametrize(
    "wrong",
    [
        lambda logits: logits[0],
        lambda logits: sum(logits),
        lambda logits: torch.stack([x.softmax(-1) for x in logits]).mean(0).log(),
        lambda logits: (logits[0] + logits[-1] * (1 + 1e-5)) / 2,
    ],
    ids=["first member", "sum", "probabilities", "a fifth digit"],
)
def test_a_wrong_mean_is_stopped(evidence, truths, wrong):
    shipped = evidence.networks.shipped.twin(replace(FAST, mean_of_members=wrong))
    assert not measure_mean(shipped, evidence.sample, truths).passed


def test_one_failed_member_fails_the_check_and_is_named():
    good = CONTRACT.conclude([at_most("error", 0.5, 1.0)], "all well")
    bad = CONTRACT.conclude([at_most("error", 2.0, 1.0)], "all well")
    merged = merge([good, bad])
    assert not merged.passed
    assert merged.reason == "member 2: error is 2, must be at most 1"
    assert [m.name for m in merged.measurements] == ["member 1: error", "member 2: error"]
    assert merge([good, good]).passed
    assert not merge([good, good], at_most("mean", 2.0, 1.0)).passed


def test_each_member_is_compared_with_its_own_stored_tensors(evidence):
    shipped = evidence.networks.shipped
    for number, member in enumerate(members_of(shipped)):
        own = stored_of_member(shipped.state_dict(), number)
        assert own.keys() == member.state_dict().keys()
        assert all(torch.equal(own[name], tensor) for name, tensor in member.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("broken", [None, 1])
def test_the_whole_gate(evidence, broken):
    shipped = evidence.networks.shipped.twin("fast")
    if broken is not None:
        wrong = replace(FAST, feature_attention=lambda *args, **kwargs: FAST.feature_attention(*args) * 1.001)
        members = list(members_of(shipped))
        shipped.members[broken] = members[broken].twin(wrong)
    verdict = judge(shipped, evidence.sample, Identity("weights", "store"))
    assert verdict.passed == (broken is None), verdict.reason
    if broken is not None:
        assert "member 2" in verdict.reason
    assert verdict.config["members"] == 2
