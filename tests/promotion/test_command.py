"""`python -m tsa_model.promote` and the stage."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from support.command_line import tsa
from support.pages import table_lines
from support.small_training import small_run

from components.compare_champion import compare_champion
from tsa_model.promotion import Registry
from tsa_model.scoring import ScoringModel
from tsa_model.scoring.files import provenance_of, read_score_folder, write_manifest
from tsa_model.sealed import with_seal

pytestmark = pytest.mark.slow

CONTRACTS = ("events_contract", "sequences_contract", "scores_contract", "online")


def compare(world: Any, challenger: Any, registry: Path, output: Path) -> int:
    return tsa(
        "compare",
        *("--challenger", challenger.model),
        *("--registry", registry),
        *("--events", world.events),
        *("--verdict", challenger.verdict),
        *(word for path in challenger.contracts for word in ("--contract", path)),
        *("--resamples", 100),
        *("--output", output),
    )


def promote(challenger: Any, registry: Path, comparison: Path) -> int:
    places = ("--registry", registry, "--challenger", challenger.model)
    return tsa("promote", *places, "--comparison", comparison)


def test_from_the_first_champion_to_a_rollback(
    world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")  # a line of the history stays one line
    registry, found = tmp_path / "registry", tmp_path / "comparison.json"
    assert tsa("promote", "init", "--registry", registry) == 0
    empty = (registry / "champion.json").read_bytes()
    assert compare(world, world.bad, registry, found) == 0
    assert [path.name for path in registry.iterdir()] == ["champion.json"], "comparing changes nothing"
    assert (registry / "champion.json").read_bytes() == empty, "comparing changes nothing"
    assert promote(world.bad, registry, found) == 0
    assert compare(world, world.good, registry, found) == 0
    assert "passed  auc: " in capsys.readouterr().out
    assert promote(world.good, registry, found) == 0
    assert compare(world, world.bad, registry, found) == 1
    printed = capsys.readouterr().out
    assert "FAILED  auc: " in printed
    assert "must not be promoted" in printed
    assert promote(world.bad, registry, found) == 1
    assert "the challenger is not promoted" in capsys.readouterr().err
    assert tsa("rollback", "--registry", registry) == 0
    assert tsa("history", "--registry", registry) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[4] if line[0] == "*" else line.split()[3] for line in lines] == [
        "promote",
        "promote",
        "rollback",
    ]
    assert lines[-1].startswith("* ")


def test_promoting_without_a_comparison_is_refused(
    world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promote(world.good, tmp_path / "registry", tmp_path / "none.json") == 1
    assert "compare challenger and champion first" in capsys.readouterr().err
    assert not (tmp_path / "registry").exists()


def test_promoting_on_one_contract_is_refused(
    world: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry, found = tmp_path / "registry", tmp_path / "comparison.json"
    Registry(registry).init()
    one = replace(world.good, contracts=world.good.contracts[:1])
    assert compare(world, one, registry, found) == 1
    assert "FAILED  contracts: the contract's result of sequences is missing" in capsys.readouterr().out
    assert promote(world.good, registry, found) == 1
    assert "scores is missing" in capsys.readouterr().err
    assert Registry(registry).pointer() is None


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert tsa("--help") == 0
    text = capsys.readouterr().out
    for name in ("compare", "promote", "rollback", "history"):
        assert f"\n  {name} " in text


@pytest.fixture
def scores(world: Any, tmp_path: Path) -> Path:
    """The output of the scoring stage, as far as the comparison reads it."""
    return put_model(world.good, tmp_path / "scores")


def put_model(candidate: Any, scores: Path) -> Path:
    """Make a folder of scores that holds a model and its manifest, and no scores."""
    shutil.rmtree(scores, ignore_errors=True)
    shutil.copytree(candidate.model, scores / "model")
    about = ScoringModel.load(scores / "model").description
    write_manifest(scores, provenance_of(about, scores / "model"), {}, about.store_sha256, pairs={})
    return scores


def run_stage(world: Any, scores: Path, champion: Path | str, promote: bool) -> dict[str, dsl.Artifact]:
    outputs = {
        name: dsl.Artifact(name=name, uri=str(scores.parent / name)) for name in ("comparison", "report")
    }
    contracts = [*world.good.contracts[:2], scores.parent / "scores.json", scores.parent / "online.json"]
    seal = {"scores_sha256": read_score_folder(scores).sha256}
    for place in (2, 3):
        about = json.loads(world.good.contracts[place].read_text())
        contracts[place].write_text(json.dumps(with_seal(about | seal)))
    compare_champion.python_func(
        events=dsl.Artifact(uri=str(world.events)),
        scores=dsl.Artifact(uri=str(scores)),
        verdict=dsl.Artifact(uri=str(world.good.verdict)),
        **{subject: dsl.Artifact(uri=str(path)) for subject, path in zip(CONTRACTS, contracts, strict=True)},
        config=small_run().model_dump_json(),
        champion=str(champion),
        promote=promote,
        **outputs,
    )
    return outputs


def test_the_stage_changes_nothing_without_the_flag(world: Any, scores: Path, tmp_path: Path) -> None:
    Registry(tmp_path / "registry").init()
    outputs = run_stage(world, scores, tmp_path / "registry", promote=False)
    assert Registry(tmp_path / "registry").pointer() is None
    assert outputs["comparison"].metadata["may_be_promoted"] is True
    assert outputs["comparison"].metadata["promoted"] is False


def test_the_stage_promotes_with_the_flag(world: Any, scores: Path, tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    Registry(registry).init()
    assert compare(world, world.bad, registry, tmp_path / "c.json") == 0
    assert promote(world.bad, registry, tmp_path / "c.json") == 0
    outputs = run_stage(world, scores, registry, promote=True)
    metadata = outputs["comparison"].metadata
    assert metadata["promoted"] is True
    assert metadata["auc.difference"] > 0
    assert metadata["key_figure"].endswith("against the champion, promoted")
    pointer = Registry(registry).pointer()
    assert pointer is not None
    assert [entry.action for entry in pointer.history] == ["promote", "promote"]
    page = table_lines(Path(outputs["report"].path).read_text())
    verdict = json.loads(world.good.verdict.read_text())["verdict_id"]
    assert f"| gate | yes | verdict {verdict} on these weights |" in page
    assert json.loads(Path(outputs["comparison"].path).read_text())["passed"] is True


def test_the_stage_keeps_a_better_champion(world: Any, scores: Path, tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    Registry(registry).init()
    assert compare(world, world.good, registry, tmp_path / "c.json") == 0
    assert promote(world.good, registry, tmp_path / "c.json") == 0
    put_model(world.bad, scores)
    worse = type(world)(world.events, world.bad.contracts, world.bad, world.good)
    outputs = run_stage(worse, scores, registry, promote=True)
    assert outputs["comparison"].metadata["promoted"] is False
    assert "| auc | **no** |" in table_lines(Path(outputs["report"].path).read_text())
    pointer = Registry(registry).pointer()
    assert pointer is not None
    assert len(pointer.history) == 1


def test_without_a_champions_place_there_is_only_the_models_own_proof(world: Any, scores: Path) -> None:
    outputs = run_stage(world, scores, "", promote=False)
    assert outputs["comparison"].metadata["key_figure"] == "no champion to compare with, may be promoted"
    with pytest.raises(ValueError, match="promote=True needs the folder of the champion"):
        run_stage(world, scores, "", promote=True)
