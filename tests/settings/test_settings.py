"""Refused settings are named by their place, with what would fit."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tsa_model.settings import load_yaml
from tsa_model.settings.model import ModelSettings
from tsa_model.settings.run import RunConfig


def demo(**changes: dict[str, Any]) -> dict[str, Any]:
    content = RunConfig.load("demo").model_dump(mode="json", exclude_unset=True)
    return content | {section: content.get(section, {}) | values for section, values in changes.items()}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"training": {"bach_size": 3}},
            "training.bach_size: there is no such setting; did you mean 'batch_size'",
        ),
        ({"simulation": {"zzz": 3}}, "simulation.zzz: there is no such setting; known are .*orders"),
        ({"model": {"num_heads": 3}}, r"model: num_heads=3 does not divide"),
        ({"training": {"batch_size": "many"}}, r"training.batch_size: .*integer.* \(given: 'many'\)"),
    ],
)
def test_what_is_wrong_is_said_in_words(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        RunConfig.load(demo(**changes))
    assert "pydantic" not in str(refused.value)


def test_every_missing_setting_is_named() -> None:
    content = demo()
    del content["dataset"]["label"], content["dataset"]["split"]["test_end"]
    with pytest.raises(ValueError, match="missing") as refused:
        RunConfig.load(content)
    assert set(str(refused.value).splitlines()) == {
        "dataset.label: missing",
        "dataset.split.test_end: missing",
    }


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "b: {a: 1, a: 1}", '{"a": 1, "a": 2}'])
def test_a_section_that_stands_twice_is_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match="'a' stands twice"):
        load_yaml(text)
    with pytest.raises(ValueError, match="'a' stands twice"):
        RunConfig.load(text + "\n")


def test_an_anchor_may_be_overridden() -> None:
    assert load_yaml("x: &x {a: 1, b: 2}\ny: {<<: *x, a: 3}")["y"] == {"a": 3, "b": 2}


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"dropot": 0.1}, "did you mean 'dropout'"), ({"dropout": 7}, r"dropout=7.* is not in \[0, 1\)")],
)
def test_a_changed_setting_is_checked(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ModelSettings().changed(**fields)


def test_what_is_not_changed_stays_unset() -> None:
    changed = ModelSettings(num_heads=2).changed(dropout=0.1)
    assert changed.model_dump(exclude_unset=True) == {"num_heads": 2, "dropout": 0.1}


def without_cards(**model: Any) -> dict[str, Any]:
    content = demo()
    content["dataset"] = {**content["dataset"], "card_id": None, "windows": [], "lags": [], "engineered": []}
    return {**content, "model": model}


def test_without_a_second_key_the_network_reads_one_history() -> None:
    run = RunConfig.load(without_cards(num_heads=2))
    assert (run.model.sequences, run.model.num_heads) == ("single", 2)
    assert RunConfig.load(run.model_dump(exclude_unset=True)) == run
    assert RunConfig.load("demo").model.sequences == "dual"


def test_two_histories_without_a_second_key_are_refused() -> None:
    with pytest.raises(ValueError, match=r"dual needs two histories, and dataset\.card_id is not set"):
        RunConfig.load(without_cards(sequences="dual"))


@pytest.mark.parametrize("field", ["n_layers_order", "dim_embedding_table", "num_experts", "gate_hidden_dim"])
def test_absurd_sizes_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: .*less than or equal"):
        ModelSettings().changed(**{field: 10**9})
