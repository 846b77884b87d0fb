"""A training step is compared as training takes it, and faults that only training has are noticed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.batches import ragged_batch, tiny_config, tiny_network
from torch.nn import functional

from tsa_model.equivalence.checks.gradients import _rounded, compare_rounded, compare_steps
from tsa_model.equivalence.checks.places import compare_places, expected_rates
from tsa_model.equivalence.checks.run_sizes import masked_batches
from tsa_model.equivalence.checks.trajectory import compare_trajectories
from tsa_model.equivalence.evidence.draws import Place, SameDraws
from tsa_model.equivalence.evidence.networks import Networks
from tsa_model.equivalence.evidence.stand_in import stand_in_config, training_rows
from tsa_model.equivalence.evidence.training_step import Conditions, for_training, take_step
from tsa_model.network.fast import attention, classifiers, dropout, folded
from tsa_model.network.networks import build_network
from tsa_model.network.static.form import STATIC
from tsa_model.settings.presets import PRESETS
from tsa_model.settings.training import TrainConfig
from tsa_model.training.objective import Objective

CONDITIONS = Conditions(Objective(TrainConfig()), rate=0.25)
FORMS = {
    "queues": {},
    "one head": {"num_heads": 1},
    "plain": {"use_moe": False},
    "plain, one head": {"use_moe": False, "num_heads": 1},
    "mixture in the gate": {"gate_use_moe": True},
    "dense": PRESETS["document_dense"],
    "noisy": PRESETS["document_sparse"],
}


def steps(config, batch, dtype=torch.float64, conditions=CONDITIONS):
    networks = Networks.of(tiny_network(config))
    return [take_step(for_training(network), batch, conditions) for network in networks.pair(dtype)]


def failures(config, batch, **changes):
    expected, found = steps(config, batch, conditions=replace(CONDITIONS, **changes))
    return [m.name for m in compare_steps("x", expected, found) if not m.passed]


@pytest.mark.parametrize("sequences", ["single", "dual"])
@pytest.mark.parametrize("form", FORMS)
def test_both_forms_give_the_same_under_the_same_dropout(sequences, form):
    config = tiny_config(sequences, **FORMS[form])
    batch = ragged_batch(config, 12)
    expected, found = steps(config, batch)
    assert all(m.passed for m in compare_steps("x", expected, found))
    assert len(found.drawn) > 10
    without = take_step(for_training(tiny_network(config).double()), batch, replace(CONDITIONS, rate=0.0))
    assert not torch.allclose(without.logits, found.logits)


@pytest.mark.parametrize("by_row", [False, True])
def test_rows_that_a_computation_may_sort_share_their_draws(by_row):
    place = Place("stack.0.dropout1", 0.5, n_tokens=4, n_heads=0, last=False, may_sort=True)
    draws = SameDraws({0.5: place}, {}, by_row, seed=0)
    kept = draws.kept(place, torch.zeros(6 * 4, 8)).view(6, 4, 8)
    assert bool((kept == kept[:1]).all()) != by_row
    again = SameDraws({0.5: place}, {}, by_row, seed=0)
    pieces = [again.kept(place, torch.zeros(4, n, 8)).transpose(0, 1) for n in (1, 5)]  # tokens first
    assert torch.equal(torch.cat(pieces), kept)


@pytest.mark.parametrize(
    "fault",
    [
        lambda x, p, training: x,
        lambda x, p, training: functional.dropout(x, p, training) * (1 - p),
        lambda x, p, training: functional.dropout(x, p / 2, training),
        lambda x, p, training: x * functional.dropout(torch.ones_like(x[:1]), p, training),
    ],
    ids=["left out", "unscaled", "half the rate", "all rows alike"],
)
def test_dropout_that_is_wrong_with_gradients_is_noticed(monkeypatch, fault):
    config = tiny_config("single")
    batch = ragged_batch(config, 12)
    assert failures(config, batch) == []

    class Functional:
        linear = staticmethod(functional.linear)

        @staticmethod
        def dropout(x, p, training):
            return fault(x, p, training) if torch.is_grad_enabled() else functional.dropout(x, p, training)

    monkeypatch.setattr(attention, "functional", Functional)
    assert failures(config, batch)


@pytest.mark.parametrize(
    "fault",
    [
        lambda draws, x, kept: x,
        lambda draws, x, kept: x if kept is None else x * kept,
        lambda draws, x, kept: x if kept is None else x * kept.flip(0) / (1 - draws.rate),
    ],
    ids=["left out", "unscaled", "another row's"],
)
def test_dropout_that_is_wrong_where_rows_queue_is_noticed(monkeypatch, fault):
    config = tiny_config("single")
    monkeypatch.setattr(dropout._Draws, "drop", fault)
    assert failures(config, ragged_batch(config, 12))


def test_a_row_that_gets_another_rows_draws_in_the_backward_pass_is_noticed(monkeypatch):
    config = tiny_config("dual", num_heads=1)
    backward = folded._FoldedAttention.backward

    class Saved:
        def __init__(self, ctx):
            self.__dict__.update(ctx.__dict__)
            common, pieces = ctx.saved_tensors[:7], list(ctx.saved_tensors[7:])
            pieces[2::3] = [None if kept_BTT is None else kept_BTT.flip(0) for kept_BTT in pieces[2::3]]
            self.saved_tensors = [*common, *pieces]

    monkeypatch.setattr(
        folded._FoldedAttention, "backward", staticmethod(lambda ctx, grad: backward(Saved(ctx), grad))
    )
    assert any("gradients" in name for name in failures(config, ragged_batch(config, 12)))


def test_a_detached_part_is_noticed_in_the_precision_it_is_detached_in(monkeypatch):
    config = tiny_config("dual")
    batch = ragged_batch(config, 12)
    networks = Networks.of(tiny_network(config))
    truth = take_step(for_training(networks.reference64), batch, CONDITIONS)

    def failed(precision):
        conditions = replace(CONDITIONS, precision=precision)
        found = compare_rounded(
            "x", truth, networks.reference, networks.shipped, precision,
            lambda network: take_step(for_training(network), batch, conditions),
        )  # fmt: skip
        return [m.name for m in found if not m.passed]

    assert failed("32") == failed("bf16-mixed") == []
    original = classifiers.gate_embeddings

    def detached(*args):
        found = original(*args)
        return tuple(x.detach() for x in found) if torch.is_autocast_enabled("cpu") else found

    monkeypatch.setattr(classifiers, "gate_embeddings", detached)
    networks = Networks.of(tiny_network(config))
    assert failed("32") == []
    assert any("in one network only" in name for name in failed("bf16-mixed"))


def test_a_parameter_that_the_reference_hits_by_luck_owes_its_typical_error():
    # [relative error, the part along the gradient] of ten parameters; the last is one number, right by luck.
    own = torch.full((2, 10), 1.5e-6, dtype=torch.float64)
    own[:, 9] = 3e-7
    names = [str(i) for i in range(10)]

    def failed(error, precision):
        found = own.clone()
        found[:, 9] = error
        return [m.where for m in _rounded("x", names, [own], [found], precision) if not m.passed]

    assert failed(5.6e-6, "32") == []
    assert "9" in failed(2e-5, "32")
    assert "9" in failed(0.5, "32")
    # Under autocast nothing is given away: errors there are large enough to hide a fault.
    own[:, :9], own[:, 9] = 0.2, 0.02
    assert failed(0.1, "bf16-mixed") == []
    assert "9" in failed(0.5, "bf16-mixed")


def test_every_attention_mask_is_read_in_training():
    config = tiny_config("dual")
    batch = ragged_batch(config, 8)
    logits = [steps(config, masked)[1].logits for masked in masked_batches(config, batch, 0).values()]
    assert all(torch.isfinite(x).all() for x in logits)
    assert failures(config, masked_batches(config, batch, 0)["mask of numbers"]) == []


@pytest.mark.parametrize("changes", [{"use_mlp": True, "dropout": 0.2}, {"use_moe": False}])
def test_the_places_of_dropout_are_the_specifications(changes):
    network = build_network(tiny_config("single", **changes), "fast").eval()
    assert all(m.passed for m in compare_places(network, 0))
    place = "mlp" if "use_mlp" in changes else "clf"
    network.get_submodule(place)[2].p += 0.1
    failed = [m for m in compare_places(network, 0) if not m.passed]
    assert [m.where for m in failed] == [f"{place}.2"]
    assert expected_rates(network.config)[f"{place}.2"] == (0.1 if place == "mlp" else 0.0)


def test_a_chaotic_training_is_held_against_the_references_own():
    config = tiny_config("single", **PRESETS["document_dense"])
    networks = Networks.of(build_network(config, "fast").eval())
    run, conditions = TrainConfig(schedule="constant", learning_rate=1e-3), Conditions(CONDITIONS.objective)
    batch = ragged_batch(config, 16)
    pair = networks.pair(torch.float64)
    found = compare_trajectories("x", *pair, batch, run, conditions, 5)
    assert all(m.passed for m in found)
    networks.shipped64.clf[0].register_forward_hook(lambda _, args, output: output.detach())
    assert not all(m.passed for m in compare_trajectories("x", *pair, batch, run, conditions, 5))


def test_a_stand_in_has_the_runs_batch_and_few_tokens():
    config = tiny_config("dual", seq_len=51)
    assert training_rows(config, 1024) == 1024
    assert stand_in_config(config, 1024).seq_len == 2
    assert stand_in_config(config, 128).seq_len == 51
    assert training_rows(tiny_config("dual", use_moe=False), 4096) == 4096


def test_the_static_form_may_draw_for_cards_that_no_history_has():
    config = tiny_config("dual", seq_len=1, use_moe=False)
    networks, batch = Networks.of(tiny_network(config)), ragged_batch(config, 6)
    expected = take_step(for_training(networks.reference64), batch, CONDITIONS)
    found = take_step(for_training(networks.shipped64, compute=STATIC), batch, CONDITIONS)
    assert found.drawn > expected.drawn, "the static form drew nothing for the card"
    assert all(each.passed for each in compare_steps("no cards", expected, found))
    read = next(iter(expected.drawn))
    missed = replace(found, drawn=found.drawn - {read})
    wrong = [each for each in compare_steps("one place left out", expected, missed) if not each.passed]
    assert [each.name.endswith("one network alone drops") for each in wrong] == [True]


def test_a_loss_that_counts_its_calls_counts_alike_in_both_networks():
    run = TrainConfig(loss="SteppedCyclicalFocalLoss", loss_parameters={"cycle_length": 4})
    config = tiny_config("single", n_layers_order=1, n_layers_feature=1, use_moe=False)
    conditions, batch = replace(CONDITIONS, objective=Objective(run)), ragged_batch(config, 6)
    assert failures(config, batch, objective=conditions.objective) == []
    pair = Networks.of(tiny_network(config)).pair(torch.float64)
    assert all(m.passed for m in compare_trajectories("x", *pair, batch, run, conditions, 3))
    assert conditions.objective.loss.step == 0
