"""Check 1 on a stand-in: a threshold of the card gate that divides the cards."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.batches import tiny_config

from tsa_model.equivalence.checks import evaluation_sizes
from tsa_model.equivalence.evidence.networks import outputs
from tsa_model.equivalence.evidence.stand_in import (
    DISTINCT_ROWS,
    FEW_ROWS,
    stand_in,
    stand_in_config,
    stand_in_rows,
)
from tsa_model.network.static.form import STATIC


@pytest.fixture
def compared():
    """Compare a stand-in of histories of so many orders."""

    def compare(seq_len):
        config = stand_in_config(tiny_config(seq_len=seq_len), DISTINCT_ROWS)
        return evaluation_sizes._thresholds(stand_in(config, 0), stand_in_rows(config, FEW_ROWS, 1))

    return compare


@pytest.mark.parametrize("seq_len", [2, 4, 9])
def test_half_of_the_cards_are_left_out_alike(compared, seq_len):
    found = compared(seq_len)
    assert len(found) == 2
    assert all(m.passed for m in found)


def test_histories_of_one_order_leave_no_card_to_divide(compared):
    assert compared(1) == []


def test_a_form_that_adds_cards_below_the_threshold_is_found(compared, monkeypatch):
    def dual(network, batch, trace):
        return STATIC.dual(network.twin(STATIC, gate_threshold=0.0), batch, trace)

    monkeypatch.setattr(evaluation_sizes, "STATIC", replace(STATIC, dual=dual))
    fast, static = compared(4)
    assert fast.passed
    assert not static.passed


def test_lowered_precision_in_a_large_batch_is_found_in_every_run_with_other_weights():
    config = stand_in_config(tiny_config("single", seq_len=2, use_moe=False), DISTINCT_ROWS)
    networks, distinct = stand_in(config, 0), stand_in_rows(config, DISTINCT_ROWS, 0)
    rows, held = torch.arange(300) % DISTINCT_ROWS, torch.ones(DISTINCT_ROWS, dtype=torch.bool)
    truth = outputs(networks.reference64, distinct)["logits"]
    assert evaluation_sizes._rounding("x", networks, distinct, rows, truth, held).passed

    def lowered(_, args):
        return (args[0].half().to(args[0].dtype),)

    networks.shipped.clf.register_forward_pre_hook(lowered)
    found = evaluation_sizes._rounding("x", networks, distinct, rows, truth, held)
    assert not found.passed
    assert found.value > 10
