"""The other mixtures of experts against a loop over tokens."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from tsa_model.network.forms import DenseSoftmaxExperts, NoisyTop2Experts
from tsa_model.network.trace import Trace

G, N, D, X = 2, 5, 4, 3


def tokens() -> Tensor:
    return torch.randn(G, N, D, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def make(form: type[nn.Module]) -> nn.Module:
    """A small mixture with random weights everywhere, those that start at zero included."""
    torch.manual_seed(1)
    mixture = form(D, X) if form is NoisyTop2Experts else form(D, X, 6)
    for parameter in mixture.parameters():
        nn.init.normal_(parameter)
    return mixture.double()


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(v - max(values)) for v in values]
    return [p / sum(powers) for p in powers]


def linear(weight_OI: Tensor, bias_O: Tensor, x_I: Tensor) -> Tensor:
    return torch.stack([(row * x_I).sum() for row in weight_OI]) + bias_O


def noisy_top2_token(
    mixture: NoisyTop2Experts, x_D: Tensor, noise_X: Tensor | None
) -> tuple[Tensor, list[int]]:
    """Reference for one token: its two likeliest experts, weighed by their softmax."""
    logits = []
    for i in range(X):
        logit = (x_D * mixture.w_gate[:, i]).sum()
        if noise_X is not None:
            logit = logit + torch.log1p(torch.exp((x_D * mixture.w_noise[:, i]).sum())) * noise_X[i]
        logits.append(logit.item())
    chosen = sorted(range(X), key=lambda i: -logits[i])[:2]
    weights = softmax([logits[i] for i in chosen])
    y_D = sum(
        weight * linear(mixture.experts[i].weight, mixture.experts[i].bias, x_D)
        for weight, i in zip(weights, chosen, strict=True)
    )
    return y_D, chosen


def dense_token(mixture: DenseSoftmaxExperts, x_D: Tensor) -> Tensor:
    """Reference for one token: every expert, weighed by the softmax of the gate."""
    weights = softmax(linear(mixture.gate.weight, mixture.gate.bias, x_D).tolist())
    y_D = torch.zeros(D, dtype=torch.float64)
    for weight, (first, _, second) in zip(weights, mixture.experts, strict=True):
        hidden = linear(first.weight, first.bias, x_D).clamp(min=0)
        y_D = y_D + weight * linear(second.weight, second.bias, hidden)
    return y_D


@pytest.mark.parametrize("training", [False, True])
def test_noisy_top2_equals_the_loop(training: bool) -> None:
    mixture = make(NoisyTop2Experts).train(training)
    x = tokens()
    noise = None
    if training:
        torch.manual_seed(7)
        noise = torch.randn(G, N, X, dtype=torch.float64)
    torch.manual_seed(7)
    y = mixture(x)
    for g in range(G):
        for n in range(N):
            expected, _ = noisy_top2_token(mixture, x[g, n], None if noise is None else noise[g, n])
            torch.testing.assert_close(y[g, n], expected, rtol=1e-12, atol=1e-12)


def test_dense_softmax_equals_the_loop() -> None:
    mixture = make(DenseSoftmaxExperts)
    x = tokens()
    y = mixture(x)
    for g in range(G):
        for n in range(N):
            torch.testing.assert_close(y[g, n], dense_token(mixture, x[g, n]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", [NoisyTop2Experts, DenseSoftmaxExperts])
def test_gradients_are_derivatives(form: type[nn.Module]) -> None:
    mixture = make(form)
    names = [name for name, _ in mixture.named_parameters()]

    def forward(x: Tensor, *parameters: Tensor) -> Tensor:
        torch.manual_seed(7)  # the same noise at every evaluation
        return torch.func.functional_call(mixture, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(forward, (tokens()[:1, :3].requires_grad_(), *mixture.parameters()))


@pytest.mark.parametrize("form", [NoisyTop2Experts, DenseSoftmaxExperts])
def test_a_token_alone_gives_what_it_gives_in_a_batch(form: type[nn.Module]) -> None:
    mixture = make(form).eval()
    x = tokens()
    alone = torch.stack([mixture(x[:, n : n + 1])[:, 0] for n in range(N)], dim=1)
    torch.testing.assert_close(mixture(x), alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", [NoisyTop2Experts, DenseSoftmaxExperts])
def test_every_parameter_receives_a_gradient_even_from_one_token(form: type[nn.Module]) -> None:
    mixture = make(form)
    mixture(tokens()[:1, :1]).sum().backward()
    assert all(parameter.grad is not None for parameter in mixture.parameters())


def test_noisy_top2_starts_undecided_and_noise_decides_in_training_only() -> None:
    mixture = NoisyTop2Experts(D, X)
    assert not mixture.w_gate.any()
    assert not mixture.w_noise.any()
    trace = Trace()
    mixture.train()(torch.randn(1, 300, D), trace=trace)
    first, second = trace.tensors["expert_load"].tolist()
    assert sum(first) == sum(second) == 300
    assert min(first + second) > 60  # 100 each on average
    mixture.eval()
    x = torch.randn(1, 300, D)
    assert torch.equal(mixture(x), mixture(x))


def test_expert_load_counts_the_chosen_experts() -> None:
    mixture = make(NoisyTop2Experts).eval()
    x = tokens()
    expected = torch.zeros(2, X, dtype=torch.int64)
    for x_D in x.reshape(-1, D):
        for rank, expert in enumerate(noisy_top2_token(mixture, x_D, None)[1]):
            expected[rank, expert] += 1
    trace = Trace()
    mixture(x, trace=trace)
    assert trace.tensors["expert_load"].T.tolist() == expected.T.tolist()


def test_dense_expert_load_adds_up_to_the_tokens() -> None:
    trace = Trace()
    make(DenseSoftmaxExperts)(tokens(), trace=trace)
    load = trace.tensors["expert_load"]
    assert load.shape == (1, X)
    assert load.sum().item() == pytest.approx(G * N)


def test_one_expert_cannot_be_the_best_two() -> None:
    with pytest.raises(ValueError, match="num_experts=1"):
        NoisyTop2Experts(D, 1)
