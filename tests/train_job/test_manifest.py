"""The TrainJob: nodes, devices, command, environment, resources, and what it takes over from the stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.kubernetes_stub import on_nodes, stage_pod

from train_job.manifest import job_name, train_job
from train_job.pod import StagePod
from tsa_model.settings.run import RunConfig
from tsa_model.settings.train_job import TrainJobConfig

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "deploy" / "schemas" / "train_job.schema.json").read_text(encoding="utf-8")
)
SHARED = Path("/shared")


def manifest(run: RunConfig, pod: dict[str, Any] | None = None) -> dict[str, Any]:
    assert run.train_job is not None
    made = train_job(
        "tsa-train-1", run, run.train_job, StagePod.of(pod or stage_pod()), SHARED / "tsa-train-1"
    )
    jsonschema.validate(made, SCHEMA)
    return made


def node_patch(made: dict[str, Any]) -> dict[str, Any]:
    (patch,) = made["spec"]["runtimePatches"]
    (job,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    assert job["name"] == "node"
    return job["template"]["spec"]["template"]


def test_nodes_and_processes_are_those_of_the_run_description() -> None:
    trainer = manifest(on_nodes(SHARED, {"num_nodes": 3, "devices": 4}))["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (3, 4)
    assert trainer["command"] == ["python", "-m", "torch.distributed.run"]
    assert trainer["args"][:4] == ["--nnodes=3", "--nproc-per-node=4", "-m", "tsa_model.train"]
    options = dict(zip(trainer["args"][4::2], trainer["args"][5::2], strict=True))
    assert options == {
        "--store": "/shared/tsa-train-1/store",
        "--config": "/shared/tsa-train-1/run.json",
        "--model": "/shared/tsa-train-1/model",
        "--training-log": "/shared/tsa-train-1/log",
        "--metrics": "/shared/tsa-train-1/metrics.json",
    }


def test_nodes_are_made_like_the_pod_of_the_stage() -> None:
    made = manifest(on_nodes(SHARED))
    trainer, pod = made["spec"]["trainer"], node_patch(made)["spec"]
    assert trainer["image"] == "registry.example/tsa-python@sha256:1234"
    # A request that was only a limit, and a limit that was only a request, stay what they were.
    assert trainer["resourcesPerNode"] == {
        "limits": {"memory": "4Gi"},
        "requests": {"cpu": "2", "memory": "4Gi"},
    }
    assert pod["nodeSelector"] == {"pool": "gpu"}
    assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["securityContext"] == {"fsGroup": 1000}
    assert [volume["name"] for volume in pod["volumes"]] == ["shared", "dshm"]
    assert pod["containers"] == [
        {
            "name": "node",
            "volumeMounts": [
                {"name": "shared", "mountPath": "/shared"},
                {"name": "dshm", "mountPath": "/dev/shm"},
            ],
        }
    ]


def test_what_belongs_to_the_stage_alone_is_left_behind() -> None:
    names = [entry["name"] for entry in manifest(on_nodes(SHARED))["spec"]["trainer"]["env"]]
    assert names == ["NCCL_DEBUG", "KEY"]


def test_the_run_description_has_the_last_word() -> None:
    run = on_nodes(
        SHARED,
        {"devices": 4},
        image="other/tsa-python:1",
        cpu="8",
        memory="64Gi",
        accelerator="nvidia.com/gpu",
        environment={"NCCL_DEBUG": "INFO", "OMP_NUM_THREADS": "2"},
        runtime="tsa-distributed",
        runtime_kind="TrainingRuntime",
        timeout_minutes=90,
    )
    spec = manifest(run)["spec"]
    amounts = {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "4"}
    assert spec["trainer"]["resourcesPerNode"] == {"limits": amounts, "requests": amounts}
    assert spec["trainer"]["image"] == "other/tsa-python:1"
    env = {entry["name"]: entry.get("value") for entry in spec["trainer"]["env"]}
    assert env == {"NCCL_DEBUG": "INFO", "KEY": None, "OMP_NUM_THREADS": "2"}
    assert spec["runtimeRef"] == {
        "apiGroup": "trainer.kubeflow.org",
        "kind": "TrainingRuntime",
        "name": "tsa-distributed",
    }
    assert spec["activeDeadlineSeconds"] == 5400


def test_accelerators_of_the_stage_are_passed_through() -> None:
    pod = stage_pod(resources={"limits": {"nvidia.com/gpu": "2"}})
    resources = manifest(on_nodes(SHARED, {"devices": 2}), pod)["spec"]["trainer"]["resourcesPerNode"]
    assert resources == {"limits": {"nvidia.com/gpu": "2"}, "requests": {"nvidia.com/gpu": "2"}}


def test_another_number_of_accelerators_than_processes_is_refused() -> None:
    pod = stage_pod(resources={"limits": {"nvidia.com/gpu": "8"}})
    with pytest.raises(ValueError, match=r"has 8 nvidia.com/gpu, but training.devices=2"):
        manifest(on_nodes(SHARED, {"devices": 2}), pod)


def test_a_stage_without_resources_names_none() -> None:
    assert "resourcesPerNode" not in manifest(on_nodes(SHARED), stage_pod(resources={}))["spec"]["trainer"]


def test_the_train_job_goes_with_the_run() -> None:
    (owner,) = manifest(on_nodes(SHARED))["metadata"]["ownerReferences"]
    assert owner == {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "name": "tsa-pipeline-abc",
        "uid": "77aa",
    }
    alone = stage_pod()
    del alone["metadata"]["ownerReferences"]
    (owner,) = manifest(on_nodes(SHARED), alone)["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Pod", "0c1d")


def test_attempts_of_a_stage_share_one_name_and_others_do_not() -> None:
    run, other = on_nodes(SHARED), on_nodes(SHARED, {"seed": 5})

    def stage(node: str = "wf.root.train-model.executor(0)", owner: str = "77aa") -> StagePod:
        pod = stage_pod()
        pod["metadata"]["annotations"] = {"workflows.argoproj.io/node-name": node}
        pod["metadata"]["ownerReferences"][0]["uid"] = owner
        return StagePod.of(pod)

    first = job_name(stage(), run)
    assert job_name(stage("wf.root.train-model.executor(1)"), run) == first  # the next attempt
    others = {
        job_name(stage(), other),
        job_name(stage(owner="2"), run),
        job_name(stage("wf.root.train-model-2.executor(0)"), run),  # another stage of the same run
    }
    assert len(others | {first}) == 4


def test_a_mesh_puts_no_proxy_between_the_nodes() -> None:
    made = manifest(on_nodes(SHARED))
    assert node_patch(made)["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"


@pytest.mark.parametrize("folder", ["/elsewhere", "/shared2", "/dev/shm/x"])
def test_a_folder_that_nodes_do_not_share_is_refused(folder: str) -> None:
    stage = StagePod.of(stage_pod())
    stage.check_shared("/shared/training")
    with pytest.raises(ValueError, match=f"shared_dir='{folder}' lies on no persistent volume"):
        stage.check_shared(folder)


def test_a_pod_of_no_pipeline_is_refused() -> None:
    pod = stage_pod()
    pod["spec"]["containers"] = pod["spec"]["containers"][:1]
    with pytest.raises(ValueError, match=r"containers \['wait'\], none is called 'main'"):
        StagePod.of(pod)


@pytest.mark.parametrize("name", ["PET_NNODES", "KFP_POD_NAME"])
def test_variables_of_the_cluster_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"sets {name} itself"):
        TrainJobConfig(shared_dir="/shared", environment={name: "1"})
