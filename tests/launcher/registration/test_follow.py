"""Registries that follow the champion's pointer: the same version, whatever happened on the way."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.chain import Chain
from support.kfp_faults import Fault
from support.model_registry import ModelRegistryServer

import pipeline
from launcher.registration.follow import bring_in_line, connect
from launcher.registration.kubeflow import ModelRegistry
from launcher.registration.versions import RegistrationProblem
from tsa_model.export.description import read_onnx_folder, write_description
from tsa_model.promotion import Comparison, Registry
from tsa_model.promotion.comparison import ModelIdentity
from tsa_model.scoring.model import ScoringModel
from tsa_model.settings.registration import RegistrationConfig
from tsa_model.tracking.models import MLflowModels

NAME, LOCATION, TOKEN = "tsa-fraud", "s3://bucket/champion", "a-very-secret-token"
CHECKS = ("gate", "parity", "contracts")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelRegistryServer]:
    monkeypatch.setenv("MODEL_REGISTRY_TOKEN", TOKEN)
    state = ModelRegistryServer(token=TOKEN)
    with state.serving():
        yield state
    assert state.violations == []


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between tries."""
    monkeypatch.setattr("launcher.kubeflow.api.LONGEST_WAIT_S", 0.0)


def passed(challenger: Path, champion: Path | None, evidence: dict[str, str] | None = None) -> Comparison:
    def identity(folder: Path) -> ModelIdentity:
        return ModelIdentity.of(ScoringModel.load(folder))

    return Comparison(
        evidence=evidence or {},
        challenger=identity(challenger),
        champion=None if champion is None else identity(champion),
        checks=[{"name": name, "passed": True, "reason": "fine"} for name in CHECKS],  # type: ignore[arg-type]
    )


def other_model(model: Path, target: Path) -> Path:
    """The same network as another model: its description differs."""
    shutil.copytree(model, target)
    write_description(read_onnx_folder(model).changed(training_history={"cid": 1.0}), target)
    return target


def promoted(chain: Chain, directory: Path) -> Registry:
    """A registry with one champion, and its figures."""
    registry = Registry(directory)
    registry.init()
    comparison = Comparison.load(chain.places.comparison)
    registry.promote(chain.places.scores / "model", comparison)
    return registry


def current(registry: Registry) -> str:
    pointer = registry.pointer()
    assert pointer is not None
    return pointer.current.id


def champions(server: ModelRegistryServer, store: Path) -> tuple[str | None, str | None]:
    return ModelRegistry(server.host, NAME).champion(), MLflowModels(str(store), NAME).champion()


def states(server: ModelRegistryServer) -> dict[str, str]:
    return {one["name"]: one["state"] for one in server.kept["model_version"]}


def test_both_registries_show_the_champion_of_the_pointer_before_and_after_a_rollback(
    chain: Chain, server: ModelRegistryServer, tmp_path: Path
) -> None:
    store, directory = tmp_path / "mlflow", tmp_path / "champion"
    registry = promoted(chain, directory)
    first = current(registry)
    arguments = ["--model-registry", server.host, "--mlflow", str(store), "--location", LOCATION]
    done = CliRunner().invoke(pipeline.main, ["promote", "connect", "--registry", str(directory), *arguments])
    assert done.exit_code == 0, done.output
    assert champions(server, store) == (first, first)
    second_model = other_model(chain.places.scores / "model", tmp_path / "second")
    comparison = tmp_path / "comparison.json"
    passed(second_model, registry.champion_dir()).save(comparison)
    arguments = ["--registry", str(directory), "--challenger", str(second_model)]
    done = CliRunner().invoke(pipeline.main, ["promote", *arguments, "--comparison", str(comparison)])
    assert done.exit_code == 0, done.output
    second = current(registry)
    assert second != first
    assert champions(server, store) == (second, second)
    assert states(server) == {first: "ARCHIVED", second: "LIVE"}
    done = CliRunner().invoke(pipeline.main, ["rollback", "--registry", str(directory)])
    assert done.exit_code == 0, done.output
    assert current(registry) == first
    assert champions(server, store) == (first, first)
    assert states(server) == {first: "LIVE", second: "ARCHIVED"}
    before = server.changes()
    done = CliRunner().invoke(pipeline.main, ["promote", "sync", "--registry", str(directory)])
    assert done.output.count("0 changes") == 2
    assert server.changes() == before


def test_a_version_says_what_was_proven_and_where_it_lies(
    chain: Chain, server: ModelRegistryServer, tmp_path: Path
) -> None:
    registry = promoted(chain, tmp_path / "champion")
    connect(registry.directory, RegistrationConfig(model_registry=server.host, location=LOCATION))
    bring_in_line(registry.directory)
    (version,) = server.kept["model_version"]
    found = {name: value.get("string_value") for name, value in version["customProperties"].items()}
    pointer = registry.pointer()
    assert pointer is not None
    about = ScoringModel.load(registry.directory / pointer.current.model).description
    assert found["tsa.sha256"] == pointer.current.digest
    assert found["tsa.weights_sha256"] == about.weights_sha256
    assert found["tsa.gate"] == about.verdict_id
    assert found["tsa.location"] == f"{LOCATION}/models/{pointer.current.id}"
    assert found["tsa.check.gate"] == pointer.current.comparison["gate"]
    (artifact,) = server.kept["model_artifact"]
    assert (artifact["uri"], artifact["modelFormatName"]) == (found["tsa.location"], "onnx")
    auc = chain.metrics["test"]["auc"]["value"] if "test" in chain.metrics else None
    stated = version["customProperties"]["tsa.test.auc"]["double_value"]
    assert stated == pointer.current.figures["auc"].value
    assert auc is None or stated == auc
    assert {"tsa.test.auc.low", "tsa.test.auc.high"} <= set(found)


def test_a_broken_chain_is_registered_nowhere(
    chain: Chain, server: ModelRegistryServer, tmp_path: Path
) -> None:
    registry = promoted(chain, tmp_path / "champion")
    connect(registry.directory, RegistrationConfig(model_registry=server.host, location=LOCATION))
    model = registry.directory / "models" / current(registry) / "percentile_map.json"
    model.write_text(model.read_text().replace("0.", "0.1", 1))
    with pytest.raises(RegistrationProblem, match=r"is not registered: .*percentile_map\.json"):
        bring_in_line(registry.directory)
    assert server.changes() == []


FAULTS: dict[str, dict[str, Any]] = {
    "refused": {"status": 503},
    "done, then 503": {"status": 503, "done": True},
    "reset": {"status": 0, "breaks": "reset"},
    "done, then reset": {"status": 0, "breaks": "reset", "done": True},
    "done, then cut": {"status": 0, "breaks": "cut", "done": True},
    "log-in page": {"status": 200, "body": b"<html>log in</html>", "done": True},
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "fault",
    [name if name == "done, then cut" else pytest.param(name, marks=pytest.mark.slow) for name in FAULTS],
)
def test_an_answer_lost_at_any_change_leaves_one_of_everything(
    chain: Chain, server: ModelRegistryServer, tmp_path: Path, fault: str
) -> None:
    registry = promoted(chain, tmp_path / "champion")
    connect(registry.directory, RegistrationConfig(model_registry=server.host, location=LOCATION))
    for path in ("/registered_models", "/model_versions", "/artifacts"):
        server.faults = [Fault(method="POST", path=path, end=True, **FAULTS[fault])]
        said = ""
        try:
            bring_in_line(registry.directory)
        except RegistrationProblem as error:
            said = str(error)
            server.faults = []
            bring_in_line(registry.directory)
        assert TOKEN not in said
        assert not said or f"tsa promote sync --registry {registry.directory}" in said
        assert {kind: len(kept) for kind, kept in server.kept.items()} == {
            "registered_model": 1,
            "model_version": 1,
            "model_artifact": 1,
        }
        assert ModelRegistry(server.host, NAME).champion() == current(registry)
        for kept in server.kept.values():
            kept.clear()


@pytest.mark.usefixtures("quick")
def test_an_outage_costs_no_promotion_and_is_said_without_the_token(
    chain: Chain, server: ModelRegistryServer, tmp_path: Path
) -> None:
    registry = promoted(chain, tmp_path / "champion")
    store = tmp_path / "mlflow"
    config = RegistrationConfig(model_registry=server.host, mlflow=str(store), location=LOCATION)
    connect(registry.directory, config)
    bring_in_line(registry.directory)
    first = current(registry)
    second_model = other_model(chain.places.scores / "model", tmp_path / "second")
    comparison = tmp_path / "comparison.json"
    passed(second_model, registry.champion_dir()).save(comparison)
    echo = f'{{"message": "down, {TOKEN}"}}'.encode()
    server.faults = [Fault(status=503, body=echo, stays=True)]
    arguments = ["--registry", str(registry.directory), "--challenger", str(second_model)]
    done = CliRunner().invoke(pipeline.main, ["promote", *arguments, "--comparison", str(comparison)])
    assert done.exit_code == 0
    assert "Not registered everywhere" in done.output
    assert "fails with 503" in done.output
    assert "tsa promote sync --registry" in done.output
    assert TOKEN not in done.output
    second = current(registry)
    server.faults = []
    assert champions(server, store) == (first, second)  # the other registry went on
    refused = CliRunner().invoke(pipeline.main, ["promote", "sync", "--registry", str(registry.directory)])
    assert refused.exit_code == 0, refused.output
    assert champions(server, store) == (second, second)


def test_what_others_set_in_the_registry_stays(
    chain: Chain, server: ModelRegistryServer, tmp_path: Path
) -> None:
    registry = promoted(chain, tmp_path / "champion")
    connect(registry.directory, RegistrationConfig(model_registry=server.host, location=LOCATION))
    bring_in_line(registry.directory)
    theirs = {"owner": {"metadataType": "MetadataStringValue", "string_value": "risk team"}}
    (version,) = server.kept["model_version"]
    version["customProperties"] = {**version["customProperties"], **theirs}
    version["state"] = "ARCHIVED"
    assert "1 changes" in bring_in_line(registry.directory)[0]
    (version,) = server.kept["model_version"]
    assert version["customProperties"]["owner"] == theirs["owner"]
    assert version["state"] == "LIVE"


def test_versions_of_mlflow_that_lost_answers_made_twice_become_one(chain: Chain, tmp_path: Path) -> None:
    registry, store = promoted(chain, tmp_path / "champion"), tmp_path / "mlflow"
    connect(registry.directory, RegistrationConfig(mlflow=str(store), location=LOCATION))
    bring_in_line(registry.directory)
    models = MLflowModels(str(store), NAME)
    models._client.create_model_version(NAME, LOCATION, tags={"tsa.id": current(registry)})
    bring_in_line(registry.directory)
    assert len(models._client.search_model_versions(f"name = '{NAME}'")) == 1
    assert models.champion() == current(registry)


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ({}, "names neither a model registry nor MLflow"),
        ({"model_registry": "registry.example"}, "no address like"),
        ({"model_registry": "/folder"}, "no address like"),
        ({"mlflow": "https://me:secret@mlflow.example"}, "holds a log-in"),
        ({"mlflow": "/folder", "name": "with space"}, "should match pattern"),
    ],
)
def test_places_that_do_not_fit_are_refused(places: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RegistrationConfig.model_validate({"location": LOCATION, **places})


def test_without_other_registries_nothing_is_said_and_sync_says_why(chain: Chain, tmp_path: Path) -> None:
    registry = promoted(chain, tmp_path / "champion")
    assert bring_in_line(registry.directory) == []
    refused = CliRunner().invoke(pipeline.main, ["promote", "sync", "--registry", str(registry.directory)])
    assert refused.exit_code == 1
    assert "no registry follows" in refused.output
