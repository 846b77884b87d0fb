"""Whole networks by name, and what a description without a model gets."""

from __future__ import annotations

from typing import Any

import pytest
from support.event_oracle import description

from tsa_model.settings.model import ModelSettings
from tsa_model.settings.presets import MODEL_PRESETS
from tsa_model.settings.run import RunConfig


def with_model(**content: Any) -> RunConfig:
    return RunConfig.load({"dataset": description(), **content})


def test_a_description_without_a_model_gets_the_recommended_one() -> None:
    assert with_model().model == ModelSettings.preset("recommended") == with_model(model="recommended").model
    assert with_model().model.wide_hidden_dim > 0


def test_the_legacys_numbers_are_the_defaults_of_a_section() -> None:
    assert ModelSettings.preset("legacy") == ModelSettings() == with_model(model="legacy").model
    assert with_model(model={}).model == ModelSettings()
    assert with_model(model={"num_heads": 2}).model == ModelSettings(num_heads=2)
    assert ModelSettings().wide_hidden_dim == 0


def test_one_key_makes_a_preset_single() -> None:
    one_key = description(card_id=None)
    assert RunConfig.load({"dataset": one_key, "model": "recommended"}).model.sequences == "single"
    assert RunConfig.load({"dataset": one_key}).model.sequences == "single"


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(ValueError, match="there is no preset 'best'; there are legacy, recommended"):
        with_model(model="best")


def test_a_run_keeps_its_model_when_it_is_written_and_read() -> None:
    for name in MODEL_PRESETS:
        run = with_model(model=name)
        assert RunConfig.load(run.model_dump_json()) == run
