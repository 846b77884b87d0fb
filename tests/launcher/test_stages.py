"""Stage settings: what is written in the file is what the compiled pipeline says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

import pipeline
from launcher.compilation import Documents, compiled_documents, display_names, stage_names
from launcher.stages import ClusterSettings
from launcher.tasks import left_out

SITE = """
image: registry.example/tsa-python@sha256:0123
pipeline_root: s3://bucket/tsa
image_pull_secrets: [registry]
every_stage:
  env: {OMP_NUM_THREADS: "4"}
  retry: {times: 3, wait_s: 30, factor: 1.5, longest_wait_s: 600}
  node_selector: {pool: batch}
  secrets: [{name: object-store, env: {key: AWS_SECRET_ACCESS_KEY}, mount: /secrets}]
stages:
  train_model:
    image: registry.example/tsa-gpu-python:1
    accelerator: {count: 2}
    cpu: {request: 500m, limit: "8"}
    memory: {request: 16Gi, limit: 64Gi}
    timeout_s: 3600
    shared_memory: 8Gi
    cache: true
    node_selector: {accelerator: h200}
    labels: {team: fraud}
    tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
    volumes: [{claim: orders, mount: /orders, sub_path: eu}]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> ClusterSettings:
    file = tmp_path_factory.mktemp("site") / "site.yaml"
    file.write_text(SITE)
    return ClusterSettings.load(file)


@pytest.fixture(scope="module")
def kubeflow(site: ClusterSettings) -> Documents:
    return compiled_documents(pipeline.define(site, "kubeflow"))


@pytest.fixture(scope="module")
def vertex(site: ClusterSettings) -> Documents:
    return compiled_documents(pipeline.define(site, "vertex"))


OF_MONITORING = {"monitor_scores"}
"""Stages of the second pipeline; tests/test_monitoring_pipeline.py compares both with the settings."""


def container(documents: Documents, stage: str) -> Any:
    """The container of a stage as the protocol buffer has it."""
    executor = documents[0]["deploymentSpec"]["executors"][f"exec-{stage}"]
    message = pipeline_spec_pb2.PipelineDeploymentConfig.ExecutorSpec()
    return json_format.ParseDict(executor, message).container


def kubernetes_config(documents: Documents, stage: str) -> Any:
    platforms = json_format.ParseDict(documents[1], pipeline_spec_pb2.PlatformSpec()).platforms
    executors = json_format.MessageToDict(platforms["kubernetes"])["deploymentSpec"]["executors"]
    message = kubernetes_executor_config_pb2.KubernetesExecutorConfig()
    return json_format.ParseDict(executors[f"exec-{stage}"], message)


@pytest.mark.parametrize("target", ["kubeflow", "vertex"])
@pytest.mark.parametrize("settings", ["shipped", "site"])
def test_every_stage_is_as_its_settings_say(
    request: pytest.FixtureRequest, site: ClusterSettings, target: str, settings: str
) -> None:
    if settings == "site":
        wanted, documents = site, request.getfixturevalue(target)
    else:
        wanted = ClusterSettings.load()
        documents = compiled_documents(pipeline.define(wanted, target))  # type: ignore[arg-type]
    specification = json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec())
    assert specification.default_pipeline_root == (wanted.pipeline_root or "")
    tasks = specification.root.dag.tasks
    stages = {name: one for name, one in wanted.stages.items() if name not in OF_MONITORING}
    assert set(tasks) == {name.replace("_", "-") for name in stages}
    assert list(display_names(documents).values()) == [
        wanted.stages[name.replace("-", "_")].display_name for name in stage_names(documents)
    ]
    for name, stage in stages.items():
        task, made = tasks[name.replace("_", "-")], container(documents, name.replace("_", "-"))
        assert made.image == (stage.image or wanted.image or "localhost/tsa-python:dev")
        resources = made.resources
        assert (resources.resource_cpu_request, resources.resource_cpu_limit) == (
            stage.cpu.request,
            stage.cpu.limit,
        )
        assert resources.resource_memory_request == stage.memory.request
        assert resources.resource_memory_limit == stage.memory.limit
        assert {variable.name: variable.value for variable in made.env} == stage.env
        assert task.caching_options.enable_cache == stage.cache
        policy = task.retry_policy
        assert policy.max_retry_count == stage.retry.times
        assert policy.backoff_duration.seconds == stage.retry.wait_s
        assert policy.backoff_factor == stage.retry.factor
        assert policy.backoff_max_duration.seconds == stage.retry.longest_wait_s
        if stage.accelerator is None:
            assert not resources.HasField("accelerator")
        else:
            assert resources.accelerator.resource_type == getattr(stage.accelerator, target)
            assert resources.accelerator.resource_count == str(stage.accelerator.count)


def test_kubernetes_gets_place_volumes_and_secrets(kubeflow: Documents, site: ClusterSettings) -> None:
    assert len(kubeflow) == 2
    train = kubernetes_config(kubeflow, "train-model")
    assert dict(train.node_selector.labels) == {"pool": "batch", "accelerator": "h200"}
    assert dict(train.pod_metadata.labels) == {
        "app.kubernetes.io/component": "train-model",
        "app.kubernetes.io/part-of": "tsa-pipeline",
        "team": "fraud",
    }
    (toleration,) = train.tolerations
    assert (toleration.key, toleration.operator, toleration.effect) == (
        "nvidia.com/gpu",
        "Exists",
        "NoSchedule",
    )
    (volume,) = train.pvc_mount
    assert (volume.constant, volume.mount_path, volume.sub_path) == ("orders", "/orders", "eu")
    (memory,) = train.empty_dir_mounts
    assert (memory.mount_path, memory.medium, memory.size_limit) == ("/dev/shm", "Memory", "8Gi")
    for name, stage in site.stages.items():
        if name in OF_MONITORING:
            continue
        config = kubernetes_config(kubeflow, name.replace("_", "-"))
        assert config.active_deadline_seconds == stage.timeout_s
        assert config.node_selector.labels["pool"] == "batch"
        (secret,) = config.secret_as_env
        assert (secret.secret_name, secret.key_to_env[0].env_var) == ("object-store", "AWS_SECRET_ACCESS_KEY")
        assert config.secret_as_volume[0].mount_path == "/secrets"
        assert config.image_pull_secret[0].secret_name == "registry"


def test_vertex_gets_one_document_and_its_own_accelerators(vertex: Documents, site: ClusterSettings) -> None:
    assert len(vertex) == 1
    accelerator = container(vertex, "train-model").resources.accelerator
    assert accelerator.resource_type == "NVIDIA_L4"
    assert left_out(site, "vertex") == [
        "timeout_s",
        "labels",
        "node_selector",
        "tolerations",
        "shared_memory",
        "volumes",
        "secrets",
        "image_pull_secrets",
    ]
    assert left_out(site, "kubeflow") == []


def test_a_run_on_this_machine_has_no_cluster_settings() -> None:
    documents = compiled_documents(pipeline.define())
    assert len(documents) == 1
    for task in documents[0]["root"]["dag"]["tasks"].values():
        assert "retryPolicy" not in task
        assert not task["cachingOptions"].get("enableCache", False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("stages: {train: {timeout_s: 5}}", r"no stages \['train'\]; there are \['validate_events'"),
        ("stages: {train_model: {gpus: 1}}", "gpus"),
        ("stages: {check_equivalence: {cache: true}}", r"\['check_equivalence'\] are checks"),
        ("every_stage: {cache: true}", "taken from a cache they would not check anything"),
        ("every_stage: {cpu: {request: lots}}", "cpu.request"),
        ("every_stage: {memory: {limit: 16 GB}}", "memory.limit"),
        ("every_stage: {secrets: [{name: s}]}", "secret 's' is not used"),
        ("[]", "is not a mapping of settings but list"),
        ("a: [", "is not valid YAML"),
    ],
)
def test_mistakes_in_the_file_are_named(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(content)
    with pytest.raises(ValueError, match=message):
        ClusterSettings.load(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "every_stage: {cpu: {request: lots}}",
            "every_stage.cpu.request: must be processor cores",
        ),
        ("every_stage: {cpu: {request: 8}}", "every_stage.cpu: the request 8 is above the limit 4"),
        ("stages: {train_model: {memory: {request: 64Gi}}}", "train_model.memory: the request 64Gi is above"),
        ("image: registry.example/tsa python:1", "image: must be an image reference"),
        ("image: Registry.example/Tsa", "image: must be an image reference"),
        ("every_stage: {volumes: [{claim: c, mount: data}]}", "volumes.0.mount: must be an absolute path"),
        ("every_stage: {volumes: [{claim: c, mount: /}]}", "volumes.0.mount: must be an absolute path"),
        ("every_stage: {volumes: [{claim: My_Claim, mount: /d}]}", "claim: must be the name of an object"),
        ("every_stage: {volumes: [{claim: c, mount: /d, sub_path: ../x}]}", "must be a relative path"),
        (
            "every_stage: {volumes: [{claim: a, mount: /d}, {claim: b, mount: /d/}]}",
            "every_stage: /d: mounted twice",
        ),
        (
            "stages: {train_model: {volumes: [{claim: a, mount: /dev/shm}]}}",
            "stages.train_model: /dev/shm: mounted twice",
        ),
        ("every_stage: {secrets: [{name: s, env: {key: MY-KEY}}]}", "must be the name of an environment"),
        ("every_stage: {env: {2FAST: x}}", "must be the name of an environment"),
        ("every_stage: {labels: {team: 'a b'}}", "labels.team: must be the value of a label"),
        ("stages: {train_model: {shared_memory: 64Gi}}", "shared_memory 64Gi is above the memory's limit"),
        ("stages: [train_model]", "instead of a mapping of stages"),
    ],
)
def test_what_the_api_server_would_refuse_is_said_once_with_the_file(
    tmp_path: Path, content: str, message: str
) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(content)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        ClusterSettings.load(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert str(caught.value).count(message) == 1
    assert len(str(caught.value).splitlines()) == 1


def test_numbers_without_quotes_are_right(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("every_stage: {cpu: {request: 1, limit: 2.5}, env: {OMP_NUM_THREADS: 4}}")
    stage = ClusterSettings.load(file).stages["validate_events"]
    assert (stage.cpu.request, stage.cpu.limit, stage.env) == ("1", "2.5", {"OMP_NUM_THREADS": "4"})


def test_the_last_file_counts(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.yaml").write_text(f"image: registry.example/python:{number}\n")
    assert ClusterSettings.load(tmp_path / "1.yaml", tmp_path / "2.yaml").image == "registry.example/python:2"
