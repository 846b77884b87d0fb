"""Settings of training on several nodes of a Kubernetes cluster."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, field_validator

from tsa_model.settings.base import Settings

RESERVED = ("PET_", "KFP_", "ARGO_", "KUBERNETES_")
"""Beginnings of the environment variables that the cluster sets itself."""


class TrainJobConfig(Settings):
    """A Kubeflow TrainJob in place of training inside the stage's own process.

    `training.num_nodes` is the number of nodes, `training.devices` the processes (and accelerators) of each.
    All else is as in the pod of the training stage: image, resources, node selector, tolerations, affinity,
    volumes, secrets.
    """

    shared_dir: str = Field(pattern="^/")
    """Folder on a volume that the stage and all nodes mount (ReadWriteMany). The nodes read the sequence
    store there and write the model."""
    runtime: str = Field(default="torch-distributed", min_length=1)
    """Name of the training runtime."""
    runtime_kind: Literal["ClusterTrainingRuntime", "TrainingRuntime"] = "ClusterTrainingRuntime"
    image: str = ""
    """Empty = the image of the stage, which is the right one unless nodes need another."""
    cpu: str = ""
    """CPU cores of a node, as Kubernetes writes them ("8", "500m"); empty = as the stage has."""
    memory: str = ""
    """Memory of a node ("32Gi"); empty = as the stage has."""
    accelerator: str = ""
    """Resource name of the accelerators ("nvidia.com/gpu"), `training.devices` of them on each node; empty =
    as the stage has."""
    environment: dict[str, str] = {}
    """Environment variables of the nodes, besides the stage's own."""
    timeout_minutes: PositiveFloat = 11 * 60
    """From the TrainJob's creation, waiting for nodes included; after it the TrainJob is deleted and the
    stage fails."""
    unreachable_minutes: PositiveFloat = 5
    """How long the Kubernetes API may give no answer before the stage fails."""
    poll_seconds: PositiveFloat = 10
    """Time between two looks at the TrainJob."""
    keep: Literal["never", "failed", "always"] = "failed"
    """When a finished TrainJob stays to be looked at. It goes with the run in any case; one that timed out
    or was interrupted is always deleted."""

    @field_validator("environment")
    @classmethod
    def _refuse_reserved(cls, environment: dict[str, str]) -> dict[str, str]:
        reserved = sorted(name for name in environment if name.startswith(RESERVED))
        if reserved:
            raise ValueError(f"the cluster sets {', '.join(reserved)} itself: leave them out")
        return environment
