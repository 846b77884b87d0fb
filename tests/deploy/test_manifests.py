"""The manifests: valid for Kubernetes, valid for Kubeflow Trainer, and what the code relies on."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from launcher.doctor.namespace import LAUNCHER_SETTINGS
from launcher.doctor.server import AUDIENCE
from launcher.kubeflow.connection import TOKEN_VOLUME
from launcher.kubeflow.variables import VARIABLES
from tsa_model.settings.run import RunConfig

DEPLOY = Path(__file__).parents[2] / "deploy"
KUBERNETES = "1.34"
PLAIN = (
    "rbac.yaml",
    "submitter.yaml",
    "storage.yaml",
    "secrets.example.yaml",
    "launcher.example.yaml",
    "registration.yaml",
    "champion_pod.yaml",
)
RUNTIMES = ("training_runtime.yaml", "cluster_training_runtime.yaml")


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


def by_kind(name: str, kind: str) -> list[dict[str, Any]]:
    return [document for document in documents(name) if document["kind"] == kind]


def check_runtime(runtime: dict[str, Any]) -> None:
    """Hold a training runtime to its schema, and its pods to that of Kubernetes."""
    schema = json.loads((DEPLOY / "schemas" / "training_runtime.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(runtime, schema)
    for job in runtime["spec"]["template"]["spec"]["replicatedJobs"]:
        plain = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, **job["template"]}
        kubernetes_validate.validate({**plain, "metadata": {"name": "x"}}, KUBERNETES, strict=True)


@pytest.mark.parametrize("name", PLAIN)
def test_plain_manifests_are_valid(name: str) -> None:
    assert documents(name)
    for document in documents(name):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


@pytest.mark.parametrize("name", RUNTIMES)
def test_training_runtimes_are_valid(name: str) -> None:
    (runtime,) = documents(name)
    check_runtime(runtime)


@pytest.mark.parametrize("place", ["runtime", "pod", "container"])
def test_a_misspelt_field_is_found(place: str) -> None:
    runtime = copy.deepcopy(documents("training_runtime.yaml")[0])
    pod = runtime["spec"]["template"]["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    target = {"runtime": runtime["spec"]["mlPolicy"], "pod": pod, "container": pod["containers"][0]}[place]
    target["imagePullPolice"] = "Always"
    with pytest.raises(jsonschema.ValidationError, match="imagePullPolice"):
        check_runtime(runtime)


def test_both_runtimes_say_the_same() -> None:
    (one,), (other,) = (documents(name) for name in RUNTIMES)
    assert one.pop("kind") == "TrainingRuntime"
    assert other.pop("kind") == "ClusterTrainingRuntime"
    assert one == other


def test_a_train_job_finds_the_container_it_patches() -> None:
    (runtime,) = documents("training_runtime.yaml")
    (job,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    (container,) = job["template"]["spec"]["template"]["spec"]["containers"]
    assert (job["name"], container["name"]) == ("node", "node")
    labels = job["template"]["metadata"]["labels"]
    assert labels["trainer.kubeflow.org/trainjob-ancestor-step"] == "trainer"


def test_the_role_is_bound_to_the_service_account() -> None:
    (account,), (role,) = by_kind("rbac.yaml", "ServiceAccount"), by_kind("rbac.yaml", "Role")
    bindings = by_kind("rbac.yaml", "RoleBinding")
    name = account["metadata"]["name"]
    assert all(binding["subjects"] == [{"kind": "ServiceAccount", "name": name}] for binding in bindings)
    bound = {(binding["roleRef"]["kind"], binding["roleRef"]["name"]) for binding in bindings}
    assert ("Role", role["metadata"]["name"]) in bound


def test_no_secret_is_filled() -> None:
    for secret in by_kind("secrets.example.yaml", "Secret"):
        for value in secret["stringData"].values():
            assert value == "fill in" or json.loads(value) == {"auths": {}}


def test_the_example_run_fits_the_manifests() -> None:
    example = yaml.safe_load((DEPLOY / "run.example.yaml").read_text(encoding="utf-8"))
    demo = RunConfig.load("demo").model_dump(exclude_unset=True)
    run = RunConfig.load({**demo, **example, "training": {**demo["training"], **example["training"]}})
    (runtime,) = documents("training_runtime.yaml")
    assert run.train_job is not None
    assert (run.train_job.runtime_kind, run.train_job.runtime) == (
        runtime["kind"],
        runtime["metadata"]["name"],
    )
    stages = yaml.safe_load((DEPLOY / "stages.example.yaml").read_text(encoding="utf-8"))
    training, comparison = (stages["stages"][name] for name in ("train_model", "compare_champion"))
    assert run.train_job.shared_dir in [volume["mount"] for volume in training["volumes"]]
    assert training["timeout_s"] > run.train_job.timeout_minutes * 60
    claims = {claim["metadata"]["name"] for claim in by_kind("storage.yaml", "PersistentVolumeClaim")}
    used = [*training["volumes"], *comparison["volumes"]]
    assert {volume["claim"] for volume in used} == claims
    secrets = {secret["metadata"]["name"] for secret in by_kind("secrets.example.yaml", "Secret")}
    assert set(stages["image_pull_secrets"]) <= secrets


def test_volumes_can_be_written_from_several_machines() -> None:
    for claim in by_kind("storage.yaml", "PersistentVolumeClaim"):
        assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def check_inference_service(service: dict[str, Any]) -> None:
    """Hold an InferenceService to KServe's schema, and its pod to that of Kubernetes."""
    schema = json.loads((DEPLOY / "schemas" / "inference_service.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(service, schema)
    own = {"minReplicas", "maxReplicas", "deploymentStrategy"}
    spec = {name: value for name, value in service["spec"]["predictor"].items() if name not in own}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def test_the_inference_service_is_valid_and_its_command_is_ours() -> None:
    from commands.serve import command

    service, claim = documents("inference_service.yaml")
    check_inference_service(service)
    kubernetes_validate.validate(claim, KUBERNETES, strict=True)
    (container,) = service["spec"]["predictor"]["containers"]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {argument.partition("=")[0] for argument in container["args"]} <= options
    assert container["command"] == ["tsa", "serve"]
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted == {"/models", "/history", "/tmp"}
    container["imagee"] = "typo"
    with pytest.raises(jsonschema.ValidationError, match="imagee"):
        check_inference_service(service)


def test_a_pod_gets_its_token_where_the_connection_looks_for_it() -> None:
    (default,) = documents("pod_default.yaml")
    spec = default["spec"]
    (volume,), (mount,), (variable,) = spec["volumes"], spec["volumeMounts"], spec["env"]
    (source,) = volume["projected"]["sources"]
    token = source["serviceAccountToken"]
    assert f"{mount['mountPath']}/{token['path']}" == str(TOKEN_VOLUME) == variable["value"]
    assert variable["name"] == VARIABLES["token_file"]
    assert token["audience"] == AUDIENCE
    assert mount["name"] == volume["name"]
    # Apart from its kind it is a part of a pod, which is held to the schema of Kubernetes.
    container = {"name": "x", "image": "x", "env": spec["env"], "volumeMounts": spec["volumeMounts"]}
    pod = {"containers": [container], "volumes": spec["volumes"]}
    plain = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": pod}
    kubernetes_validate.validate(plain, KUBERNETES, strict=True)


def test_the_launcher_finds_its_keys_in_the_secret_that_is_shipped() -> None:
    (settings,) = documents("launcher.example.yaml")
    assert settings["metadata"]["name"] == LAUNCHER_SETTINGS
    reference = yaml.safe_load(settings["data"]["providers"])["s3"]["default"]["credentials"]["secretRef"]
    secrets = {
        one["metadata"]["name"]: one["stringData"] for one in by_kind("secrets.example.yaml", "Secret")
    }
    keys = secrets[reference["secretName"]]
    assert {reference["accessKeyKey"], reference["secretKeyKey"]} <= keys.keys()
