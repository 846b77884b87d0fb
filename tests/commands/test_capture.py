"""The command that captures a legacy's baseline, and the gate that takes it."""

from __future__ import annotations

import json

from support.batches import tiny_config, tiny_network
from support.command_line import tsa


def legacy():
    """What an owner of a legacy model would write: load the model, return it."""
    return tiny_network(tiny_config("single", use_moe=False))


def other_legacy():
    """A legacy that computes something else than the specification."""
    network = legacy()
    network.clf.register_forward_pre_hook(lambda _, args: (args[0] * 1.001,))
    return network


def capture(tmp_path, factory):
    config = tiny_config("single", use_moe=False)
    (tmp_path / "config.json").write_text(json.dumps(config.model_dump(mode="json")))
    arguments = ["--legacy", f"{__name__}:{factory}", "--config", str(tmp_path / "config.json")]
    arguments += ["--out", str(tmp_path / "baseline"), "--rows", "8", "--policy", "all", "--name", "mine"]
    return tsa("capture", *arguments)


def test_a_legacy_that_follows_the_specification(tmp_path, capsys):
    assert capture(tmp_path, "legacy") == 0
    shown = capsys.readouterr().out
    assert "captured f32/logits, f32/ensemble, f64/logits, f64/ensemble" in shown
    assert "reproduces it" in shown
    assert json.loads((tmp_path / "baseline" / "baseline.json").read_text())["name"] == "mine"


def test_a_legacy_that_does_not(tmp_path, capsys):
    assert capture(tmp_path, "other_legacy") == 1
    assert "does NOT reproduce it: mine/mine, all, reference, logits" in capsys.readouterr().out
