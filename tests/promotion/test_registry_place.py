"""Only `init` makes a registry, and what the pointer file says is verified."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tsa_model.promotion import Comparison, Registry, check_champion
from tsa_model.promotion.comparison import Condition, ModelIdentity, PairedDifference
from tsa_model.sealed import with_seal

ID = "a" * 16
ENTRY = {
    "action": "promote",
    "id": ID,
    "model": f"models/{ID}",
    "digest": "a" * 64,
    "previous": None,
    "time": "2025-01-01T00:00:00Z",
    "comparison": {},
}


def test_what_init_made_is_an_empty_registry(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "new")
    registry.init()
    assert registry.pointer() is None
    assert json.loads((tmp_path / "new" / "champion.json").read_text())["current"] is None
    check_champion(tmp_path / "new", promote=True)


def test_a_volume_that_was_just_mounted_can_become_a_registry(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    Registry(tmp_path).init()
    assert Registry(tmp_path).champion_dir() is None


@pytest.mark.parametrize("name", ["champion.json", "models", "orders.csv"])
def test_init_touches_no_folder_that_holds_something(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match=name):
        Registry(tmp_path).init()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine")]


def place(folder: Path, kind: str) -> Path:
    path = folder / "place"
    if kind == "file":
        path.write_text("{}")
    elif kind != "nothing":
        path.mkdir()
    if kind == "model folder":
        (path / "onnx.json").write_text("{}")
    return path


PLACES = {
    "nothing": "does not exist",
    "file": "is a file",
    "empty folder": "has no champion.json: is the path right, and the volume mounted",
    "model folder": "is a model folder, not a registry",
}


@pytest.mark.parametrize("kind", PLACES)
def test_a_place_that_is_no_registry_never_reads_as_no_champion(tmp_path: Path, kind: str) -> None:
    path = place(tmp_path, kind)
    registry = Registry(path)
    for ask in (registry.pointer, registry.champion_dir, registry.rollback):
        with pytest.raises(ValueError, match=PLACES[kind]):
            ask()
    with pytest.raises(ValueError, match=PLACES[kind]):
        check_champion(path, promote=False)
    assert not (path / ".lock").exists()


def test_promotion_needs_a_registry() -> None:
    with pytest.raises(ValueError, match="promote=True needs the folder of the champion"):
        check_champion("", promote=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "../elsewhere"}, "'../elsewhere' is not the registry's folder"),
        ({"model": f"/tmp/{ID}"}, "is not the registry's folder"),
        ({"digest": "b" * 64}, "is not the beginning of the digest"),
        ({"id": "../../evil"}, "id"),
    ],
)
def test_a_pointer_that_leads_elsewhere_is_refused(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    entry = ENTRY | change
    (tmp_path / "champion.json").write_text(json.dumps({"format": 1, "current": entry, "history": [entry]}))
    with pytest.raises(ValueError, match=words):
        Registry(tmp_path).champion_dir()


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"current": null, "history": [1]}', json.dumps({"current": ENTRY, "history": []})],
)
def test_a_pointer_file_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "champion.json").write_text(content)
    with pytest.raises(ValueError, match=r"champion\.json"):
        Registry(tmp_path).pointer()


def test_a_model_folder_that_is_a_link_out_of_the_registry_is_refused(tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    (registry / "models").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (registry / "models" / ID).symlink_to(tmp_path / "elsewhere")
    (registry / "champion.json").write_text(json.dumps(with_seal({"current": ENTRY, "history": [ENTRY]})))
    with pytest.raises(ValueError, match="link that leads out of the registry"):
        Registry(registry).champion_dir()


@pytest.mark.slow
def test_another_model_in_the_champions_folder_is_refused(world: Any, tmp_path: Path) -> None:
    from tsa_model.scoring.model import ScoringModel

    registry = Registry(tmp_path)
    registry.init()
    comparison = Comparison(
        challenger=ModelIdentity.of(ScoringModel.load(world.good.model)),
        champion=None,
        checks=(Condition(name="gate", passed=True, reason="fine"),),
    )
    folder = tmp_path / registry.promote(world.good.model, comparison).model
    assert registry.champion_dir() == folder
    shutil.rmtree(folder)
    shutil.copytree(world.bad.model, folder)
    with pytest.raises(ValueError, match="is another model than was promoted"):
        registry.champion_dir()


MODEL = ModelIdentity(digest="a" * 64, onnx_sha256="b" * 64, weights_sha256="c" * 64, verdict_id="v")


def test_a_comparison_without_checks_has_not_passed() -> None:
    comparison = Comparison(challenger=MODEL, champion=None, checks=())
    assert not comparison.passed
    assert comparison.failures == "the comparison holds no checks"


def test_a_check_that_was_edited_does_not_hide_a_lost_figure() -> None:
    lost = PairedDifference(challenger=0.7, champion=0.9, difference=-0.2, low=-0.3, high=-0.1, margin=0.01)
    edited = Condition(name="auc", passed=True, reason="fine")
    comparison = Comparison(challenger=MODEL, champion=MODEL, figures={"auc": lost}, checks=(edited,))
    assert not comparison.passed
    assert "auc: -0.3000 is below -0.01" in comparison.failures
