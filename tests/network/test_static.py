"""The form for accelerators: the reference's numbers, and nothing asked of the host."""

from __future__ import annotations

import copy

import pytest
import torch
from support.batches import edge_batch, ragged_batch, randomised, tiny_config
from torch import Tensor
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensorMode

from tsa_model import Network, build_network
from tsa_model.batch import LABEL, as_dtype
from tsa_model.equivalence.checks.gradients import compare_steps
from tsa_model.equivalence.evidence.training_step import Conditions, for_training, take_step
from tsa_model.network.choice import form_for
from tsa_model.network.fast.experts import Choice
from tsa_model.network.static.experts import block_size, lay_out
from tsa_model.settings.training import TrainConfig
from tsa_model.training.objective import Objective

CASES = {
    "one head": {"num_heads": 1, "dim_embedding_table": 4},
    "two heads": {},
    "no mixture": {"use_moe": False},
    "gate with a mixture": {"gate_use_moe": True, "use_time_seq": False},
    "other forms": {"moe_form": "noisy_top2", "time_encoder": "periodic", "feature_aggregation": "linear"},
}
POLICIES = ("random", "all", "none", "threshold")


def both(sequences: str, **changes: object) -> tuple[Network, Network]:
    config = tiny_config(sequences, **changes)
    reference = randomised(build_network(config, "reference")).double()
    return reference, reference.twin("static")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("sequences", ["single", "dual"])
def test_a_training_step_equals_the_references(sequences: str, case: str) -> None:
    reference, static = both(sequences, **CASES[case])
    batch = ragged_batch(reference.config, 24)
    conditions = Conditions(Objective(TrainConfig()), rate=0.25)
    steps = [take_step(for_training(network), batch, conditions) for network in (reference, static)]
    measurements = compare_steps(case, *steps)
    assert [m.name for m in measurements if not m.passed] == []
    assert sum(g is not None for g in steps[1].gradients.values()) > 20


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("sequences", ["single", "dual"])
def test_training_under_every_policy(sequences: str, policy: str) -> None:
    reference, static = both(sequences, moe_second_policy_train=policy)
    conditions = Conditions(Objective(TrainConfig()), rate=0.0)
    steps = [
        take_step(for_training(network), edge_batch(reference.config)[0], conditions)
        for network in (reference, static)
    ]
    assert [m.name for m in compare_steps(policy, *steps) if not m.passed] == []


@pytest.mark.parametrize("sequences", ["single", "dual"])
def test_evaluation(sequences: str) -> None:
    reference, static = both(sequences)
    for rows in (0, 1, 40):
        batch = as_dtype(ragged_batch(reference.config, rows), torch.float64)
        with torch.no_grad():
            found, expected = static.eval()(batch), reference.eval()(batch)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def fake_step(implementation: str, sequences: str) -> Tensor:
    config = tiny_config(sequences, n_layers_order=2, n_layers_feature=1)
    real = ragged_batch(config, 16)
    mode = FakeTensorMode()  # without a shape environment: whatever depends on values raises
    with mode:
        network = build_network(config, implementation)
        batch = {name: mode.from_tensor(x) for name, x in real.items()}
        optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad])
        loss = torch.nn.functional.cross_entropy(network(batch)[0], batch[LABEL])
        loss.backward()
        optimizer.step()
    return loss


@pytest.mark.parametrize("sequences", ["single", "dual"])
def test_no_value_decides_a_shape_and_none_is_asked_for(sequences: str) -> None:
    assert fake_step("static", sequences).shape == ()
    with pytest.raises(DynamicOutputShapeException):  # the fast form looks at the values
        fake_step("fast", sequences)


def compiled_equals_plain(sequences: str, backend: str) -> None:
    _, static = both(sequences, num_heads=1, n_layers_order=1, n_layers_feature=1)
    batch = as_dtype(ragged_batch(static.config, 16), torch.float64)
    torch._dynamo.reset()
    results = []
    for network in (static, torch.compile(static, backend=backend, fullgraph=True)):
        static.zero_grad()
        torch.manual_seed(3)
        logits, _ = network(batch)
        torch.nn.functional.cross_entropy(logits, batch[LABEL]).backward()
        gradients = {name: p.grad.clone() for name, p in static.named_parameters() if p.grad is not None}
        results.append((logits.detach(), gradients))
    torch.testing.assert_close(results[1], results[0], rtol=1e-12, atol=1e-13)


def test_one_graph_holds_the_whole_computation() -> None:
    compiled_equals_plain("single", "eager")


@pytest.mark.slow
@pytest.mark.parametrize("sequences", ["single", "dual"])
def test_compiled_forward_and_backward(sequences: str) -> None:
    compiled_equals_plain(sequences, "aot_eager")


@pytest.mark.parametrize("kept_share", [0.0, 0.6, 1.0])
def test_every_kept_assignment_has_a_slot_of_its_expert(kept_share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    n, n_experts = 300, 5
    expert = torch.randint(0, n_experts - 1, (2, n, 1), generator=generator)  # the last one gets none
    kept = torch.rand(2, n, 1, generator=generator) < kept_share
    slots = lay_out(Choice(expert, torch.ones(2, n, 1), kept), n_experts, most=2 * n)
    size = block_size(2 * n, n_experts)
    assert len(slots.token_S) == size * len(slots.expert_K)
    taken = slots.slot_2n[kept[..., 0]]
    assert len(taken.unique()) == len(taken)
    assert torch.equal(slots.expert_K[taken // size], expert[kept])
    token = torch.arange(n).expand(2, n)[kept[..., 0]]
    assert torch.equal(slots.token_S[taken], token)


def test_accelerators_get_it() -> None:
    assert form_for(torch.device("cpu")) == "fast"
    assert form_for(torch.device("cuda", 1)) == "static"


@pytest.mark.gpu
@pytest.mark.parametrize("sequences", ["single", "dual"])
def test_on_the_gpu_a_step_waits_for_nothing(sequences: str) -> None:
    config = tiny_config(sequences)
    network = build_network(config, "static").cuda()
    batch = {name: x.cuda() for name, x in ragged_batch(config, 64).items()}
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], fused=True)
    for watched in (False, True):  # the first step loads libraries
        torch.cuda.set_sync_debug_mode("error" if watched else "default")
        try:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(batch)[0], batch[LABEL]).backward()
            optimizer.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.parametrize("sequences", ["single", "dual"])
def test_on_the_gpu_float64_equals_the_reference(sequences: str) -> None:
    reference, static = both(sequences, moe_second_policy_train="all", dropout=0.0)
    static = copy.deepcopy(static)
    batch = as_dtype(ragged_batch(reference.config, 64), torch.float64)
    results = []
    for network, device in ((reference, "cpu"), (static.cuda(), "cuda")):
        network.train().zero_grad()
        own = {name: x.to(device) for name, x in batch.items()}
        torch.nn.functional.cross_entropy(network(own)[0], own[LABEL]).backward()
        results.append({name: p.grad.cpu() for name, p in network.named_parameters() if p.grad is not None})
    torch.testing.assert_close(results[1], results[0], rtol=1e-9, atol=1e-12)
