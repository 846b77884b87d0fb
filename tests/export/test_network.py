"""The exported form computes what the plain reference computes: an identity in real arithmetic."""

from __future__ import annotations

import pytest
import torch
from support import golden
from support.batches import ragged_batch, tiny_config, tiny_network
from support.exported import golden_network

from tsa_model import Network, build_network
from tsa_model.export.network import export_network, input_names, output_names
from tsa_model.export.parity import made_rows

CONFIGS = {
    "dual, trees": {"boosted_trees": 4, "tree_leaves": 6, "tree_depth": 4},
    "single, trees, wide head, no engineered features": {
        "sequences": "single",
        "boosted_trees": 3,
        "wide_hidden_dim": 6,
        "n_engineered_num_features": 0,
    },
    "dual, wide head": {"wide_hidden_dim": 6, "wide_encoding": "piecewise"},
    "single, MLP branch, wide head, no engineered features": {
        "sequences": "single",
        "use_mlp": True,
        "wide_hidden_dim": 6,
        "n_engineered_num_features": 0,
    },
    "dual": {},
    "dual, one head, no mixture, no engineered features": {
        "num_heads": 1,
        "use_moe": False,
        "n_engineered_num_features": 0,
    },
    "dual, four heads, no bias table": {"num_heads": 4, "emb_tbl_use_bias": False},
    "dual, mixture and times in the gate": {"gate_use_moe": True, "gate_use_time_seq": True},
    "dual, one layer, two experts": {"n_layers_order": 1, "n_layers_feature": 1, "num_experts": 2},
    "single, four heads": {"sequences": "single", "num_heads": 4},
    "single, MLP branch": {"sequences": "single", "use_mlp": True, "num_heads": 1},
    "single, MLP branch, no times, no engineered features": {
        "sequences": "single",
        "use_mlp": True,
        "use_time_seq": False,
        "n_engineered_num_features": 0,
    },
    "single, many features": {
        "sequences": "single",
        "n_cat_features": 35,
        "n_num_features": 33,
        "n_embedding": 90,
    },
    "other forms": {
        "time_encoder": "periodic",
        "feature_aggregation": "relu_halving",
        "moe_form": "noisy_top2",
    },
    "more other forms": {
        "time_encoder": "cosine",
        "feature_aggregation": "linear",
        "moe_form": "dense_softmax",
    },
}


def run_exported(network: Network, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    exported = export_network(network)
    with torch.no_grad():
        outputs = exported(*(batch[name] for name in input_names(network.config)))
    return dict(zip(output_names(network.config), outputs, strict=True))


def in_double(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: x.double() if x.is_floating_point() else x for name, x in batch.items()}


@pytest.mark.parametrize("name", CONFIGS)
def test_it_is_the_reference_in_float64(name):
    config = tiny_config(**CONFIGS[name])
    network = tiny_network(config).double()
    batch = in_double(made_rows(config, 2 * config.seq_len, seed=3))
    found = run_exported(network, batch)
    with torch.no_grad():
        logits, ensemble = network.twin("reference")(batch)
    torch.testing.assert_close(found["logits"], logits, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found["ensemble"], ensemble, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found["score"], logits.softmax(-1)[:, 1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "name",
    [
        "single_moe_time_engineered",
        "single_plain_notime",
        "single_long_deltas",
        "single_wide_features",
        "single_capacity_binds",
        "dual_moe",
        "dual_plain_gate_extremes",
    ],
)
def test_it_is_the_legacy_without_capacity_limit(name):
    meta, inputs, outputs = golden.load(name)
    network = golden_network(meta, torch.float64)
    batch = in_double({key: torch.from_numpy(value) for key, value in inputs.items()})
    found = run_exported(network, batch)
    for output in ("logits", "ensemble"):
        expected = torch.from_numpy(outputs[f"f64/deterministic/{output}"])
        torch.testing.assert_close(found[output], expected, rtol=1e-6, atol=1e-8)


def test_the_gate_scores_are_the_weights_of_both_histories():
    config = tiny_config()
    network = tiny_network(config)
    batch = ragged_batch(config)
    found = run_exported(network, batch)["gate_scores"]
    torch.testing.assert_close(found, network.inspect(batch)["gate_scores"])


@pytest.mark.parametrize("time_s", [5e5, -1e9])
def test_what_padding_holds_changes_nothing(time_s):
    """The second time makes the factor of padded orders infinite."""
    config = tiny_config()
    network = tiny_network(config)
    batch = made_rows(config, 20, seed=1)
    spoiled = dict(batch)
    for key in ("cid", "ccid"):
        padding = batch[f"key_padding_mask_{key}"][:, :-1].clone()
        padding[:, -1] = False  # the current order is read by feature attention, whatever the mask says
        spoiled[f"x_seq_cat_{key}"] = batch[f"x_seq_cat_{key}"].masked_fill(padding[..., None], 7)
        spoiled[f"x_seq_num_{key}"] = batch[f"x_seq_num_{key}"].masked_fill(padding[..., None], 9.0)
        spoiled[f"time_seq_{key}"] = batch[f"time_seq_{key}"].masked_fill(padding[..., None], time_s)
    torch.testing.assert_close(
        run_exported(network, spoiled)["logits"], run_exported(network, batch)["logits"], rtol=0, atol=0
    )


@pytest.mark.parametrize("heads", [1, 2])
def test_a_row_without_numbers_spoils_no_other(heads):
    config = tiny_config(num_heads=heads)
    network = tiny_network(config)
    batch = made_rows(config, 20, seed=1)
    spoiled = {name: x.clone() for name, x in batch.items()}
    for x in spoiled.values():
        if x.is_floating_point():
            x[-1] = torch.nan
    found, expected = run_exported(network, spoiled)["logits"], run_exported(network, batch)["logits"]
    assert found[-1].isnan().all()
    torch.testing.assert_close(found[:-1], expected[:-1], rtol=0, atol=0)


def test_exporting_leaves_the_network_as_it_was():
    network = tiny_network(tiny_config()).train()
    export_network(network)
    assert all(module.training for module in network.modules())


def test_three_classes_have_no_score():
    network = build_network(tiny_config(n_classes=3))
    with pytest.raises(ValueError, match="n_classes=3"):
        export_network(network)
