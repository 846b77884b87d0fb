"""The settings that a node of the TrainJob takes over from the pod of the training stage."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from tsa_model.settings.train_job import RESERVED, TrainJobConfig

STAGE_CONTAINER = "main"
"""The container of a Kubeflow pipeline's pod that runs the component."""
NODE_ANNOTATION = "workflows.argoproj.io/node-name"
"""Where Argo writes the node; a number in brackets at its end counts the attempts."""
SHARED_KINDS = ("persistentVolumeClaim", "secret", "configMap")
POD_FIELDS = ("nodeSelector", "tolerations", "affinity", "securityContext", "imagePullSecrets")


@dataclass(frozen=True)
class StagePod:
    """The parts of the stage's pod that the nodes take over, as the Kubernetes API writes them."""

    image: str
    resources: dict[str, dict[str, str]]
    env: list[dict[str, Any]]
    volumes: list[dict[str, Any]]
    mounts: list[dict[str, Any]]
    container_security: dict[str, Any]
    pod: dict[str, Any]
    """Those of POD_FIELDS that are set."""
    owner: dict[str, Any]
    """The owner of the TrainJob, with which it is deleted: the run's workflow, or the pod itself."""
    node: str
    """The stage within its workflow, the same for every attempt; empty where Argo does not say."""

    @classmethod
    def of(cls, pod: dict[str, Any]) -> StagePod:
        """Take the parts from a pod.

        Parts that belong to this one pod are left out: fields of itself in its environment, its scratch
        volumes, its service account token.

        Raises:
            ValueError: it is no pod of a pipeline.
        """
        spec = pod["spec"]
        containers = {container["name"]: container for container in spec["containers"]}
        if STAGE_CONTAINER not in containers:
            raise ValueError(
                f"pod {pod['metadata']['name']} has containers {sorted(containers)}, none is called"
                f" {STAGE_CONTAINER!r}: a TrainJob is started from a stage of a Kubeflow pipeline"
            )
        container = containers[STAGE_CONTAINER]
        volumes = {volume["name"]: volume for volume in spec.get("volumes", ()) if _is_taken_over(volume)}
        mounts = [mount for mount in container.get("volumeMounts", ()) if mount["name"] in volumes]
        used = {mount["name"] for mount in mounts}
        return cls(
            image=container["image"],
            resources=container.get("resources") or {},
            env=[entry for entry in container.get("env", ()) if _is_general(entry)],
            volumes=[volume for name, volume in volumes.items() if name in used],
            mounts=mounts,
            container_security=container.get("securityContext") or {},
            pod={name: spec[name] for name in POD_FIELDS if spec.get(name)},
            owner=_owner(pod),
            node=re.sub(r"\(\d+\)$", "", pod["metadata"].get("annotations", {}).get(NODE_ANNOTATION, "")),
        )

    def resources_of_a_node(self, config: TrainJobConfig, devices: int) -> dict[str, dict[str, str]]:
        """Limits and requests of one node; empty when nothing is known.

        Raises:
            ValueError: the stage has another number of accelerators than a node has processes.
        """
        wanted = {"cpu": config.cpu, "memory": config.memory}
        if config.accelerator:
            wanted[config.accelerator] = str(devices)
        wanted = {name: amount for name, amount in wanted.items() if amount}
        limits = {**self.resources.get("limits", {}), **wanted}
        # Both are written out: a runtime that looks only at the requests must find the accelerators too.
        requests = {**limits, **self.resources.get("requests", {}), **wanted}
        for name, amount in limits.items():
            if "gpu" in name and amount != str(devices):
                raise ValueError(
                    f"the training stage has {amount} {name}, but training.devices={devices}: a node has one"
                    f" process for each; set train_job.accelerator or the stage's resources"
                )
        return {"limits": limits, "requests": requests} if limits or requests else {}

    def check_shared(self, folder: str) -> None:
        """Refuse a shared folder that the nodes would not share.

        Raises:
            ValueError: it lies on no persistent volume of the stage.
        """
        claims = {volume["name"] for volume in self.volumes if "persistentVolumeClaim" in volume}
        places = [mount["mountPath"] for mount in self.mounts if mount["name"] in claims]
        if not any(PurePosixPath(folder).is_relative_to(place) for place in places):
            raise ValueError(
                f"train_job.shared_dir={folder!r} lies on no persistent volume of the training stage (it"
                f" mounts {', '.join(places) or 'none'}): mount one that several nodes may write to"
            )


def _is_taken_over(volume: dict[str, Any]) -> bool:
    in_memory = (volume.get("emptyDir") or {}).get("medium") == "Memory"
    return in_memory or any(kind in volume for kind in SHARED_KINDS)


def _is_general(entry: dict[str, Any]) -> bool:
    source = entry.get("valueFrom") or {}
    return not entry["name"].startswith(RESERVED) and not source.keys() & {"fieldRef", "resourceFieldRef"}


def _owner(pod: dict[str, Any]) -> dict[str, Any]:
    metadata = pod["metadata"]
    owners = metadata.get("ownerReferences") or [
        {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
    ]
    return {name: owners[0][name] for name in ("apiVersion", "kind", "name", "uid")}
