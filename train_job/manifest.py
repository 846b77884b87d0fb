"""The TrainJob of Kubeflow Trainer (2.2 or newer) that trains on several nodes."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

from train_job.api import GROUP, VERSION
from train_job.pod import StagePod
from tsa_model.settings.run import RunConfig
from tsa_model.settings.train_job import TrainJobConfig

MANAGER = "tsa-pipeline"
# A mesh's proxy in a node's pod would stand between the processes, and outlive them.
POD_LABELS = {"app.kubernetes.io/part-of": "tsa-pipeline", "sidecar.istio.io/inject": "false"}


def job_name(stage: StagePod, run: RunConfig) -> str:
    """The TrainJob's name: the same for every attempt of one stage, so that two never train side by side.

    Two stages of one run have two names: each trains its own model.
    """
    key = f"{stage.owner['uid']}\n{stage.node}\n{run.model_dump_json()}"
    return f"tsa-train-{hashlib.sha256(key.encode()).hexdigest()[:10]}"


def train_job(
    name: str, run: RunConfig, config: TrainJobConfig, stage: StagePod, folder: Path
) -> dict[str, Any]:
    """The TrainJob as the Kubernetes API takes it.

    The training runtime gives each node its rank and the address of the first one, as variables that
    `torch.distributed.run` reads. The numbers of nodes and processes are arguments of the command.

    Args:
        name: of the TrainJob.
        run: the run description.
        config: its `train_job` section.
        stage: the settings that the nodes take over.
        folder: on the shared volume, with `store` and `run.json`.
    """
    training = run.training
    env = {entry["name"]: entry for entry in stage.env}
    env |= {key: {"name": key, "value": value} for key, value in config.environment.items()}
    trainer: dict[str, Any] = {
        "image": config.image or stage.image,
        "numNodes": training.num_nodes,
        "numProcPerNode": training.devices,
        "command": ["python", "-m", "torch.distributed.run"],
        "args": [
            f"--nnodes={training.num_nodes}",
            f"--nproc-per-node={training.devices}",
            *("-m", "tsa_model.train"),
            *("--store", str(folder / "store")),
            *("--config", str(folder / "run.json")),
            *("--model", str(folder / "model")),
            *("--training-log", str(folder / "log")),
            *("--metrics", str(folder / "metrics.json")),
        ],
        "env": list(env.values()),
    }
    resources = stage.resources_of_a_node(config, training.devices)
    if resources:
        trainer["resourcesPerNode"] = resources
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": {"name": name, "labels": POD_LABELS, "ownerReferences": [stage.owner]},
        "spec": {
            "runtimeRef": {"apiGroup": GROUP, "kind": config.runtime_kind, "name": config.runtime},
            "activeDeadlineSeconds": math.ceil(config.timeout_minutes * 60),
            "trainer": trainer,
            "runtimePatches": [_patch(stage)],
        },
    }


def _patch(stage: StagePod) -> dict[str, Any]:
    """Volumes, scheduling and security of the nodes' pods, on top of the runtime's own."""
    container: dict[str, Any] = {"name": "node"}
    if stage.mounts:
        container["volumeMounts"] = stage.mounts
    if stage.container_security:
        container["securityContext"] = stage.container_security
    pod = {**stage.pod, "containers": [container]}
    if stage.volumes:
        pod["volumes"] = stage.volumes
    template = {"metadata": {"labels": POD_LABELS}, "spec": pod}
    jobs = [{"name": "node", "template": {"spec": {"template": template}}}]
    return {
        "manager": MANAGER,
        "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": jobs}}},
    }
