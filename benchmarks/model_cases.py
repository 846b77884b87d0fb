"""What speed is measured on: the yardstick, batches, calls and useful work."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tsa_model import ModelConfig, Network
from tsa_model.batch import ENGINEERED, LABEL, histories, history_names
from tsa_model.network.blocks import OrderAttentionModule


def yardstick(network: Network) -> Network:
    """The reference over the same weights, which makes its tokens in float32 also while it trains.

    `token_dtype` asks the block itself whether it is being trained, and nothing else in the reference does.
    """
    twin = network.twin("reference")
    twin.train = lambda mode=True: _train_but_for_tokens(twin, mode)  # type: ignore[method-assign]
    return twin


def _train_but_for_tokens(network: Network, mode: bool) -> Network:
    nn.Module.train(network, mode)
    for module in network.modules():
        if isinstance(module, OrderAttentionModule):
            module.training = False  # of the block alone: its layers and their dropout keep the mode
    return network


def make_batch(config: ModelConfig, n_rows: int, seed: int = 0) -> dict[str, Tensor]:
    """Histories of 1 to L orders, uniformly; one card in five has no history."""
    generator = torch.Generator().manual_seed(seed)
    L, last_category = config.seq_len, config.n_embedding - config.n_num_features
    batch = {LABEL: torch.randint(0, 2, (n_rows,), generator=generator)}
    for i, names in enumerate(history_names(config.sequences)):
        n_orders = torch.randint(1, L + 1, (n_rows,), generator=generator)
        if i == 1:
            n_orders[torch.rand(n_rows, generator=generator) < 0.2] = 1
        real = (torch.arange(L) >= L - n_orders[:, None])[..., None]
        categories = torch.randint(
            1, last_category + 1, (n_rows, L, config.n_cat_features), generator=generator
        )
        age_s = torch.rand(n_rows, L, 1, generator=generator).sort(dim=1, descending=True).values * 5e6
        age_s[:, -1] = 0
        batch[names.cat] = categories * real
        batch[names.num] = torch.rand(n_rows, L, config.n_num_features, generator=generator) * real
        batch[names.time] = age_s * real
        batch[names.mask] = nn.functional.pad(~real[..., 0], (0, 1))
    if config.n_engineered_num_features:
        batch[ENGINEERED] = torch.rand(n_rows, config.n_engineered_num_features, generator=generator)
    return batch


def call_of(network: Network, batch: dict[str, Tensor], mode: str) -> Callable[[], None]:
    """What is timed: an evaluation, or a training step without the optimiser."""

    def evaluate() -> None:
        with torch.no_grad():
            network(batch)

    def train() -> None:
        network.zero_grad()
        nn.functional.cross_entropy(network(batch)[0], batch[LABEL]).backward()

    network.train(mode == "train")
    return train if mode == "train" else evaluate


def seconds(call: Callable[[], object], device: str, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of one call, on the wall clock or of all threads together."""
    start = clock()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def gemm_flops(device: str) -> float:
    """Floating-point operations per second of a large float32 matrix product."""
    a = torch.randn(8192, 512, device=device)
    b = torch.randn(512, 512, device=device)
    best = min(seconds(lambda: a @ b, device) for _ in range(20))
    return 2 * 8192 * 512 * 512 / best


def useful_flops(config: ModelConfig, batch: dict[str, Tensor]) -> float:
    """Multiplications and additions of the fast evaluation's matrix products, estimated from the shapes."""
    D, E, T = config.dim_embedding_table, 2 * config.dim_embedding_table, config.seq_len + 1
    tokens = config.n_cat_features + config.n_num_features + config.n_engineered_num_features + 1

    def layer(width: int, n_tokens: int) -> float:
        return n_tokens * (2 * width**2 + 2 * n_tokens * width + 4 * width * config.dim_attn_feedforward)

    def aggregation(n_features: int) -> float:
        widths = [max(1, n_features // 2**k) for k in range(6)] + [1]
        return D * sum(a * b for a, b in itertools.pairwise(widths))

    total = 0.0
    masks = [history.mask for history in histories(batch, config.sequences)]
    for i, mask in enumerate(masks):
        rows = len(mask) if i == 0 else int((mask.sum(1) != mask.shape[1] - 2).sum())
        orders = int((~mask[:, :-1]).sum())
        total += rows * (config.n_layers_order - 1) * layer(E, T)
        total += orders * (aggregation(config.n_cat_features) + aggregation(config.n_num_features))
    total += len(masks[0]) * (config.n_layers_feature - 1) * layer(D, tokens)
    return 2 * total
