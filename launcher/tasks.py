"""Give the tasks of a pipeline, while it is being defined, what the stage settings say."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from launcher.stages import SHARED_MEMORY, ClusterSettings, Stage
from launcher.target import Target

if TYPE_CHECKING:
    from kfp.dsl.pipeline_task import PipelineTask

ONLY_KUBERNETES = (
    "timeout_s",
    "labels",
    "node_selector",
    "tolerations",
    "shared_memory",
    "volumes",
    "secrets",
)
"""Settings that live in the Kubernetes document, which Vertex does not take."""


def set_up(tasks: Mapping[str, PipelineTask], settings: ClusterSettings | None, target: Target) -> None:
    """Give the tasks of a pipeline, while it is being defined, what `settings` say.

    Args:
        tasks: stage name → task.
        settings: None = only what holds everywhere, for a run on this machine: no caching.
        target: where the pipeline will run.

    Raises:
        ValueError: there are no settings for a stage; those of another pipeline's stages do not matter.
    """
    if settings is None:
        # A cached stage is a check that did not run: the cache key knows neither our code nor the data.
        for task in tasks.values():
            task.set_caching_options(False)
        return
    if lacking := sorted(set(tasks) - set(settings.stages)):
        raise ValueError(f"settings for {sorted(settings.stages)}, but not for the stages {lacking}")

    def set_each() -> None:
        for name, task in tasks.items():
            stage = settings.stages[name]
            _set_portable(task, stage, settings, target)
            if target == "kubeflow":
                _set_kubernetes(task, name, stage, settings)

    # Each setter of kfp looks up the source of every frame above it, 0.2 s where many are; a thread has few.
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(set_each).result()


def left_out(settings: ClusterSettings, target: Target) -> list[str]:
    """Settings in use that `target` has no place for."""
    if target == "kubeflow":
        return []
    names = [
        name for name in ONLY_KUBERNETES if any(getattr(stage, name) for stage in settings.stages.values())
    ]
    return names + (["image_pull_secrets"] if settings.image_pull_secrets else [])


def _set_portable(task: PipelineTask, stage: Stage, settings: ClusterSettings, target: Target) -> None:
    task.set_display_name(stage.display_name)
    task.set_caching_options(stage.cache)
    if image := stage.image or settings.image:
        task.set_container_image(image)
    task.set_cpu_request(stage.cpu.request).set_cpu_limit(stage.cpu.limit)
    task.set_memory_request(stage.memory.request).set_memory_limit(stage.memory.limit)
    if stage.accelerator is not None:
        task.set_accelerator_type(getattr(stage.accelerator, target))
        task.set_accelerator_limit(stage.accelerator.count)
    task.set_retry(
        stage.retry.times,
        backoff_duration=f"{stage.retry.wait_s}s",
        backoff_factor=stage.retry.factor,
        backoff_max_duration=f"{stage.retry.longest_wait_s}s",
    )
    for variable, value in stage.env.items():
        task.set_env_variable(variable, value)


def _set_kubernetes(task: PipelineTask, name: str, stage: Stage, settings: ClusterSettings) -> None:
    from kfp import kubernetes

    if stage.timeout_s is not None:
        kubernetes.set_timeout(task, stage.timeout_s)
    labels = {"app.kubernetes.io/component": name.replace("_", "-")} | stage.labels
    for label, value in labels.items():
        kubernetes.add_pod_label(task, label, value)
    for label, value in stage.node_selector.items():
        kubernetes.add_node_selector(task, label, value)
    for toleration in stage.tolerations:
        kubernetes.add_toleration(task, **toleration.model_dump())
    if stage.shared_memory is not None:
        kubernetes.empty_dir_mount(
            task, "shared-memory", SHARED_MEMORY, medium="Memory", size_limit=stage.shared_memory
        )
    for volume in stage.volumes:
        kubernetes.mount_pvc(task, volume.claim, volume.mount, volume.sub_path)
    for secret in stage.secrets:
        if secret.env:
            kubernetes.use_secret_as_env(task, secret.name, secret.env)
        if secret.mount is not None:
            kubernetes.use_secret_as_volume(task, secret.name, secret.mount)
    if settings.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(settings.image_pull_secrets))
