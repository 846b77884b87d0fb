"""Leading padding as a few vectors: the same numbers as the reference where rows queue for experts."""

from __future__ import annotations

import pytest
import torch
from support.batches import outputs_and_gradients, ragged_batch, randomised, tiny_config

from tsa_model import build_network
from tsa_model.network.fast import padding
from tsa_model.network.fast.form import fast_in_pieces
from tsa_model.network.fast.pieces import PieceSizes, Rows

POLICIES = ("random", "all", "none", "threshold")


def queueing_config(sequences: str = "dual", **changes: object):
    sizes = {"seq_len": 30, "n_layers_order": 5, "num_experts": 3, "moe_eval": "legacy"}
    return tiny_config(sequences, **{**sizes, **changes})


def reference_of(config):
    return randomised(build_network(config, "reference")).double().eval()


def computed(network, batch):
    batch = {name: x.double() if x.is_floating_point() else x for name, x in batch.items()}
    torch.manual_seed(11)
    with torch.no_grad():
        return network(batch)


def both(config, batch, implementation="fast"):
    reference = reference_of(config)
    return [computed(network, batch) for network in (reference, reference.twin(implementation))]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("sequences", ["single", "dual"])
def test_short_histories_in_long_sequences(sequences, policy):
    config = queueing_config(sequences, moe_second_policy_eval=policy)
    # Pieces of seven rows, so that rows are sorted, cut at different lengths and put back.
    row_bytes = 8 * (config.seq_len + 1) * 2 * config.dim_embedding_table
    in_sevens = fast_in_pieces(PieceSizes(activation_bytes=7 * row_bytes))
    batch = ragged_batch(config, 40, seed=3)
    (logits, ensemble), (fast_logits, fast_ensemble) = both(config, batch, in_sevens)
    torch.testing.assert_close(fast_logits, logits, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(fast_ensemble, ensemble, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("sequences", ["single", "dual"])
def test_training_without_dropout(sequences, policy):
    config = queueing_config(sequences, moe_second_policy_train=policy)
    row_bytes = 8 * (config.seq_len + 1) * 2 * config.dim_embedding_table
    reference = reference_of(config).train()
    fast = reference.twin(fast_in_pieces(PieceSizes(activation_bytes=7 * row_bytes))).train()
    batch = ragged_batch(config, 40, seed=3)
    batch = {name: x.double() if x.is_floating_point() else x for name, x in batch.items()}
    results = []
    for network in (reference, fast):
        results.append(outputs_and_gradients(network, batch))
    torch.testing.assert_close(results[1], results[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("policy", POLICIES)
def test_rows_too_few_to_queue(policy):
    """One or two orders never ask for more slots than there are: their padding is left out."""
    config = queueing_config("dual", moe_second_policy_eval=policy)
    reference = reference_of(config)
    fast = [reference.twin(each) for each in ("fast", fast_in_pieces(PieceSizes(dense_work=0)))]
    for rows in (1, 2, 3, 5):
        for seed in range(4):
            batch = ragged_batch(config, rows, seed=seed)
            expected = computed(reference, batch)
            for network in fast:
                said = f"{rows} rows of seed {seed}: {{}}".format
                found = computed(network, batch)
                torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12, msg=said)


def test_padding_that_is_not_blank_takes_part_in_the_routing():
    """What lies under the mask may crowd other rows out; that is the legacy's way, and so it is kept."""
    config = queueing_config("single", moe_second_policy_eval="all")
    batch = ragged_batch(config, 40, seed=3)
    padded = batch["key_padding_mask"][:, :-1, None]
    generator = torch.Generator().manual_seed(0)
    spoiled = dict(batch)
    spoiled["x_num"] = torch.where(
        padded, torch.rand(batch["x_num"].shape, generator=generator), batch["x_num"]
    )
    spoiled["time_seq"] = torch.where(
        padded, 3e6 * torch.rand(40, config.seq_len, 1, generator=generator), batch["time_seq"]
    )
    (logits, _), (fast_logits, _) = both(config, spoiled)
    torch.testing.assert_close(fast_logits, logits, rtol=1e-10, atol=1e-12)
    assert not torch.equal(both(config, batch)[0][0], logits), "the routing was not touched: a weak test"


def test_states_multiply_only_by_what_experts_did():
    """Five layers make several states of a row's one padding vector, and fewer than it has positions."""
    config = queueing_config("single", moe_second_policy_eval="random")
    widths = []
    routed = padding._Leading.routed

    def watched(leading, choice, keep):
        result = routed(leading, choice, keep)
        if keep:
            widths.append(result[0].n_states)
        return result

    batch = ragged_batch(config, 40, seed=3)
    short = batch["key_padding_mask"][:, :-1].sum(dim=1) >= 20
    batch = {name: x[short] for name, x in batch.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(padding._Leading, "routed", watched)
        both(config, batch)
    n_pieces = len(widths) // 3  # four layers before the last, and the fourth drops its states
    assert len(widths) == 3 * n_pieces
    for piece in range(n_pieces):
        of_piece = widths[piece::n_pieces]
        assert 1 < of_piece[0] <= 4
        assert of_piece == sorted(of_piece)
        assert of_piece[-1] <= 20


def test_a_row_without_padding_has_no_state():
    leading = padding._Leading.of(Rows(torch.arange(3), 0))
    assert leading.n_states == 0
    values = torch.rand(5, 3, 6)
    assert torch.equal(leading.spread(values), values)
