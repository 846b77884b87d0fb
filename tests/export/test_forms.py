"""Every written form and head in an ONNX file: their operators have translations, and parity holds."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from support.batches import tiny_config, tiny_network
from support.exported import export, session_of

from tsa_model.export import graph
from tsa_model.export.contents import check_contents
from tsa_model.export.parity import check_parity, made_rows
from tsa_model.settings.presets import PRESETS

HEADS = {
    "wide_hidden_dim": 4,
    "wide_encoding": "piecewise",
    "boosted_trees": 5,
    "tree_leaves": 12,
    "tree_depth": 6,
}
FORMS: dict[str, dict[str, Any]] = {
    **PRESETS,
    "wide head and trees": {"use_moe": False, **HEADS},
    "eight heads": {"num_heads": 8, "dim_embedding_table": 8, "n_layers_order": 2, "n_layers_feature": 2},
    "one head, times in the gate": {"num_heads": 1, "use_time_seq": False, "gate_use_time_seq": True},
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_parity_holds_for_every_form(form, tmp_path, monkeypatch):
    sequences = "dual" if "gate" in form else "single"
    layers = {"n_layers_order": 1, "n_layers_feature": 1}
    config = tiny_config(sequences, **{**layers, **FORMS[form], "moe_eval": "deterministic"})
    network = tiny_network(config)
    export(network, tmp_path / "model.onnx")
    assert check_contents(network, tmp_path / "model.onnx") > 20
    parity = check_parity(network, session_of(tmp_path / "model.onnx"), made_rows(config, 40, seed=8))
    assert {"logits", "score", "ensemble"} <= set(parity.worst)
    monkeypatch.setattr(graph, "_types_as_they_are", contextlib.nullcontext)
    export(network, tmp_path / "promoted.onnx")
    assert (tmp_path / "promoted.onnx").read_bytes() == (tmp_path / "model.onnx").read_bytes()
