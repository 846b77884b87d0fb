"""Captured outputs: the default ones are reproduced, wrong ones are named, anything altered is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.batches import tiny_config, tiny_network, tiny_sample

from tsa_model.equivalence import EquivalenceError, capture
from tsa_model.equivalence.checks.legacy import check_baselines, compare_entry, parse_loss_call
from tsa_model.legacy.baseline import default_baseline, read_baseline
from tsa_model.legacy.capture import load_callable


@pytest.fixture(scope="module")
def entries():
    return {entry.title.split("/")[1]: entry for entry in read_baseline(default_baseline())}


def captured(tmp_path, legacy=None, policy="deterministic", sequences="single", **changes):
    """A baseline of one of our own networks, which plays the legacy."""
    config = tiny_config(sequences, **changes)
    network = tiny_network(config)
    batch = tiny_sample(config, 12).batch
    legacy, weights = (network, None) if legacy is None else (legacy(network), network.state_dict())
    capture(legacy, config, batch, tmp_path / "captured", weights, policy)
    return tmp_path / "captured"


def test_the_default_baseline_pins_every_part(entries):
    assert {"losses", "dual_moe", "single_gradients", "single_trajectory"} <= set(entries)
    assert any(entry.meta.get("train") for entry in entries.values())


@pytest.mark.parametrize("name", ["single_plain_notime", "dual_plain_gate_extremes", "losses"])
def test_both_computations_reproduce_the_legacy(entries, name):
    measurements = compare_entry(entries[name])
    assert all(m.passed for m in measurements), [m for m in measurements if not m.passed]


def test_one_wrong_logit_is_found(entries):
    entry = entries["single_plain_notime"]
    logits = entry.arrays["out/f64/all/logits"].copy()
    logits[2, 1] += 1e-5
    failed = [
        m
        for m in compare_entry(replace(entry, arrays={**entry.arrays, "out/f64/all/logits": logits}))
        if not m.passed
    ]
    assert len(failed) == 2  # by the reference and by the fast computation
    assert failed[0].where == "row 2 [1]"


def test_weights_of_another_model_are_refused(entries):
    entry = entries["single_plain_notime"]
    other = replace(entry, meta={**entry.meta, "salt": entry.meta["salt"] + 1})
    with pytest.raises(EquivalenceError, match="its outputs were computed with other weights"):
        compare_entry(other)


def test_a_configuration_that_does_not_fit_is_refused(entries):
    entry = entries["single_plain_notime"]
    wrong = replace(entry, meta={**entry.meta, "config": {**entry.meta["config"], "n_layers_order": 3}})
    with pytest.raises(EquivalenceError, match="does not fit the network"):
        compare_entry(wrong)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "baseline.json").unlink(), "is missing"),
        (lambda folder: (folder / "captured.npz").write_bytes(b"PK"), "was altered"),
        (lambda folder: (folder / "captured.npz").unlink(), "is missing"),
        (lambda folder: (folder / "baseline.json").write_text('{"format": 1, "files": []}'), "lists no file"),
        (lambda folder: (folder / "baseline.json").write_text('{"format": 9, "files": []}'), "has format 9"),
        (lambda folder: (folder / "baseline.json").write_text("[]"), "is not a baseline manifest"),
    ],
)
def test_a_damaged_baseline_is_refused(tmp_path, damage, message):
    folder = captured(tmp_path)
    damage(folder)
    with pytest.raises(EquivalenceError, match=message):
        check_baselines([folder])


@pytest.mark.parametrize("sequences", ["single", "dual"])
def test_a_captured_module_is_reproduced(tmp_path, sequences):
    result = check_baselines([captured(tmp_path, sequences=sequences)])
    assert result.passed, result.reason
    assert any("float32" in m.name for m in result.measurements)


def test_a_captured_callable_without_float64_is_compared_in_float32(tmp_path):
    folder = captured(tmp_path, lambda network: lambda batch: network(batch)[0].detach(), use_moe=False)
    result = check_baselines([folder])
    assert result.passed, result.reason
    assert any("float32 alone" in m.name for m in result.measurements)


def test_a_legacy_that_computes_something_else_fails(tmp_path):
    folder = captured(
        tmp_path, lambda network: lambda batch: 1.001 * network(batch)[0].detach(), use_moe=False
    )
    assert "float32 alone" in check_baselines([folder]).reason


def test_capture_refuses_what_is_not_logits(tmp_path):
    with pytest.raises(EquivalenceError, match=r"with logits of shape \(3,\)"):
        captured(tmp_path, lambda network: lambda batch: torch.zeros(3))
    config = tiny_config("single")
    batch = tiny_sample(config, 4).batch
    with pytest.raises(EquivalenceError, match="its weights must be given"):
        capture(lambda batch: batch, config, batch, tmp_path / "x")
    assert not (tmp_path / "captured").exists()


def test_a_baseline_is_never_unpickled(tmp_path):
    folder = captured(tmp_path)
    np.savez(folder / "captured.npz", meta=np.array({"kind": "single"}, dtype=object))
    manifest = json.loads((folder / "baseline.json").read_text())
    from tsa_model.files import sha256

    manifest["files"][0]["sha256"] = sha256(folder / "captured.npz")
    (folder / "baseline.json").write_text(json.dumps(manifest))
    with pytest.raises(EquivalenceError, match="is not readable"):
        check_baselines([folder])


def test_nothing_compared_is_a_failure():
    assert not check_baselines([]).passed


def test_the_default_baseline_is_found_where_it_is_installed(tmp_path, monkeypatch):
    import tsa_model.legacy.baseline as module

    package = tmp_path / "site" / "tsa_model" / "legacy"
    package.mkdir(parents=True)
    recorded = default_baseline()
    monkeypatch.setattr(module, "__file__", str(package / "baseline.py"))
    with pytest.raises(EquivalenceError, match="is not installed"):
        default_baseline()
    shutil.copytree(recorded, package / "recorded")
    assert default_baseline() == package / "recorded"


def test_loss_calls_are_read():
    assert parse_loss_call("CyclicalFocalLoss gamma_pos=0 reduction=sum epoch=3 three_class") == (
        "CyclicalFocalLoss",
        {"gamma_pos": 0.0, "reduction": "sum"},
        {"epoch": 3},
    )


def test_a_factory_that_does_not_exist_is_named():
    with pytest.raises(EquivalenceError, match=r"'no\.such:thing' is not `module:factory`"):
        load_callable("no.such:thing")


@pytest.mark.parametrize(
    ("changes", "policy", "name", "message"),
    [
        ({"moe_eval": "deterministic"}, "random", "mine", "the configuration says moe_eval: deterministic"),
        ({"moe_eval": "legacy"}, "all", "../mine", "cannot be a file's"),
    ],
)
def test_what_cannot_be_captured_is_refused_before_anything_runs(tmp_path, changes, policy, name, message):
    config = tiny_config("single", **changes)
    batch = tiny_sample(config, 4).batch
    with pytest.raises(EquivalenceError, match=message):
        capture(tiny_network(config), config, batch, tmp_path / "x", policy=policy, name=name)
    assert list(tmp_path.iterdir()) == []
