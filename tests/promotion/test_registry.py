"""Promotion swaps one small file, keeps history, and can be taken back."""

from __future__ import annotations

import itertools
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from safetensors.torch import load_file, save_file
from support.chain import Chain
from support.exported import change_model

from tsa_model.export.file_names import NETWORK_FOLDER
from tsa_model.files import sha256
from tsa_model.network.description import WEIGHTS_FILE
from tsa_model.promotion import Comparison, Registry
from tsa_model.promotion.comparison import Condition, ModelIdentity
from tsa_model.scoring.model import ScoringModel


def identity(model: Path) -> ModelIdentity:
    return ModelIdentity.of(ScoringModel.load(model))


def comparison(challenger: Path, champion: Path | None, passed: bool = True) -> Comparison:
    return Comparison(
        challenger=identity(challenger),
        champion=None if champion is None else identity(champion),
        checks=(Condition(name="auc", passed=passed, reason="0.9 against 0.8"),),
    )


def change_last_bias(model: onnx.ModelProto) -> None:
    loop = next(node for node in model.graph.node if node.op_type == "Loop")
    body = next(attribute.g for attribute in loop.attribute if attribute.name == "body")
    bias = next(each for each in body.initializer if each.name.endswith("clf.3.bias"))
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(1), bias.name))


@pytest.fixture(scope="module")
def world(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Two models: one of a scored run, and the same with another last bias. A registry does not score."""
    good = chain.places.scores / "model"
    bad = tmp_path_factory.mktemp("bad") / "model"
    shutil.copytree(good, bad)
    weights, other = bad / NETWORK_FOLDER / WEIGHTS_FILE, bad.with_name("weights")
    tensors = load_file(weights)
    save_file(tensors | {"clf.3.bias": tensors["clf.3.bias"] + 1}, other)

    def change(model: onnx.ModelProto) -> None:
        change_last_bias(model)
        shutil.copyfile(other, weights)

    change_model(bad, change, weights_sha256=sha256(other))
    return SimpleNamespace(good=SimpleNamespace(model=good), bad=SimpleNamespace(model=bad))


@pytest.fixture
def registry(world: Any, tmp_path: Path) -> Registry:
    """The model `bad` is the champion."""
    registry = Registry(tmp_path / "registry")
    registry.init()
    registry.promote(world.bad.model, comparison(world.bad.model, None))
    return registry


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no valid JSON"),
        ("[]", "it holds a list"),
        ('{"format": 1}', "current: missing; history: missing"),
        ('{"format": "1", "current": {}, "history": []}', "format '1', this version reads 1"),
    ],
)
def test_a_damaged_pointer_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "champion.json").write_text(text)
    with pytest.raises(ValueError, match=rf"champion\.json (is not a pointer .*|has ){words}"):
        Registry(tmp_path).pointer()


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"passed": true}', '{"checks": [3]}'])
def test_a_damaged_comparison_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "comparison.json").write_text(text)
    with pytest.raises(ValueError, match=r"comparison\.json is not a comparison: "):
        Comparison.load(tmp_path / "comparison.json")


def test_the_pointer_leads_to_a_whole_copy(registry: Registry, world: Any) -> None:
    champion = registry.champion_dir()
    assert champion is not None
    assert champion.parent == registry.directory / "models"
    assert identity(champion) == identity(world.bad.model)


def test_promotion_and_rollback_keep_every_change(registry: Registry, world: Any) -> None:
    first = registry.pointer()
    assert first is not None
    second = registry.promote(world.good.model, comparison(world.good.model, world.bad.model))
    assert second.previous == first.current.id
    back = registry.rollback()
    assert (back.id, back.previous) == (first.current.id, None)
    pointer = registry.pointer()
    assert pointer is not None
    assert [entry.action for entry in pointer.history] == ["promote", "promote", "rollback"]
    assert pointer.current == pointer.history[-1] == back
    assert registry.champion_dir() == registry.directory / first.current.model


def test_rollback_goes_forward_again_by_id(registry: Registry, world: Any) -> None:
    second = registry.promote(world.good.model, comparison(world.good.model, world.bad.model))
    registry.rollback()
    assert registry.rollback(to=second.id).id == second.id


def test_a_model_that_was_champion_before_can_be_promoted_again(registry: Registry, world: Any) -> None:
    registry.promote(world.good.model, comparison(world.good.model, world.bad.model))
    registry.rollback()
    registry.promote(world.good.model, comparison(world.good.model, world.bad.model))
    assert identity(registry.champion_dir()) == identity(world.good.model)


def test_promoting_twice_changes_nothing(registry: Registry, world: Any) -> None:
    before = (registry.directory / "champion.json").read_bytes()
    registry.promote(world.bad.model, comparison(world.bad.model, None))
    assert (registry.directory / "champion.json").read_bytes() == before


def refused(registry: Registry, call: Any, words: str) -> None:
    before = (registry.directory / "champion.json").read_bytes()
    with pytest.raises(ValueError, match=words):
        call()
    assert (registry.directory / "champion.json").read_bytes() == before


def test_a_challenger_that_did_not_pass_is_refused(registry: Registry, world: Any) -> None:
    found = comparison(world.good.model, world.bad.model, passed=False)
    refused(registry, lambda: registry.promote(world.good.model, found), "not promoted: auc: 0.9 against 0.8")


def test_a_comparison_about_another_model_is_refused(registry: Registry, world: Any) -> None:
    found = comparison(world.bad.model, world.bad.model)
    refused(registry, lambda: registry.promote(world.good.model, found), "compare this one")


@pytest.mark.parametrize("with_champion", [False, True])
def test_a_comparison_with_another_champion_is_refused(
    registry: Registry, world: Any, with_champion: bool
) -> None:
    found = comparison(world.good.model, world.good.model if with_champion else None)
    refused(registry, lambda: registry.promote(world.good.model, found), "compare again")


def test_a_changed_model_folder_is_refused(registry: Registry, world: Any, tmp_path: Path) -> None:
    shutil.copytree(world.good.model, tmp_path / "changed")
    found = comparison(tmp_path / "changed", world.bad.model)
    (tmp_path / "changed" / "dataset.json").write_text("{}")
    refused(registry, lambda: registry.promote(tmp_path / "changed", found), "was changed")


def test_the_first_champion_cannot_be_rolled_back(registry: Registry) -> None:
    refused(registry, registry.rollback, "is the first champion")
    refused(registry, lambda: registry.rollback(to="nobody"), "'nobody' was never champion")


def test_rollback_to_a_damaged_folder_is_refused(registry: Registry, world: Any) -> None:
    first = registry.champion_dir()
    registry.promote(world.good.model, comparison(world.good.model, world.bad.model))
    (first / "preprocessing.json").unlink()
    refused(registry, registry.rollback, "is missing")


def test_an_empty_registry_has_no_champion(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "none")
    registry.init()
    assert registry.pointer() is None
    assert registry.champion_dir() is None
    with pytest.raises(ValueError, match="has no champion yet"):
        registry.rollback()


def test_a_promotion_that_dies_leaves_the_champion(
    registry: Registry, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (registry.directory / "champion.json").read_bytes()
    replace = os.replace

    def dies_at_the_pointer(source: Any, target: Any) -> None:
        if Path(target).name == "champion.json":
            raise OSError("disk full")
        replace(source, target)

    monkeypatch.setattr(os, "replace", dies_at_the_pointer)
    with pytest.raises(OSError, match="disk full"):
        registry.promote(world.good.model, comparison(world.good.model, world.bad.model))
    assert (registry.directory / "champion.json").read_bytes() == before
    assert sorted(path.name for path in registry.directory.iterdir()) == [".lock", "champion.json", "models"]


def roll(registry: Registry, to: str) -> list[str]:
    """Ask five times for a model; the refusals, when it was in use already."""
    refusals = []
    for _ in range(5):
        try:
            registry.rollback(to)
        except ValueError as error:
            refusals.append(str(error))
    return refusals


def test_changes_at_the_same_time_are_all_kept(registry: Registry, world: Any) -> None:
    first = registry.pointer()
    assert first is not None
    second = registry.promote(world.good.model, comparison(world.good.model, world.bad.model))
    with ThreadPoolExecutor(2) as threads:
        asked = [
            threads.submit(roll, Registry(registry.directory), id) for id in (first.current.id, second.id)
        ]
        refusals = [refusal for one in asked for refusal in one.result()]
    assert all("is the champion already" in refusal for refusal in refusals)
    pointer = registry.pointer()
    assert pointer is not None
    ids = [entry.id for entry in pointer.history]
    assert len(ids) == 2 + 10 - len(refusals), "no change was lost"
    assert all(one != other for one, other in itertools.pairwise(ids))
