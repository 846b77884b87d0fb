"""The wide head's intervals and boosted trees in an ONNX file."""

from __future__ import annotations

import pytest
from support.batches import tiny_config, tiny_network
from support.exported import export, session_of

from tsa_model.export.parity import check_parity, made_rows


@pytest.mark.slow
def test_parity_holds_with_a_piecewise_wide_head_and_trees(tmp_path):
    config = tiny_config(
        "single",
        n_layers_order=1,
        n_layers_feature=1,
        n_classes=2,
        use_moe=False,
        wide_hidden_dim=4,
        wide_encoding="piecewise",
        boosted_trees=5,
        tree_leaves=12,
        tree_depth=6,
    )
    network = tiny_network(config)
    export(network, tmp_path / "model.onnx")
    session = session_of(tmp_path / "model.onnx")
    parity = check_parity(network, session, made_rows(config, 40, seed=8))
    assert {"logits", "score", "ensemble"} <= set(parity.worst)
