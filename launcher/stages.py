"""What each stage gets on a cluster: its image, resources, retries, place and volumes, from one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import Field, NonNegativeInt, PositiveInt, StringConstraints, ValidationError, model_validator

from launcher.target import Target
from tsa_model.settings import Settings, in_words, load_yaml

if TYPE_CHECKING:
    from kfp.dsl.pipeline_task import PipelineTask

DEFAULTS = Path(__file__).with_name("stages.yaml")
CHECKS = ("validate_events", "check_equivalence", "export_onnx", "generate_scores", "compare_champion")
"""Stages that check something: taken from a cache, the check would not happen."""
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

Cpu = Annotated[str, StringConstraints(pattern=r"^(\d+(\.\d+)?|\d+m)$")]
Bytes = Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)?([KMGTPE]i?)?$")]


class CpuShare(Settings):
    """Processors: what the scheduler reserves, and what cannot be exceeded."""

    request: Cpu
    limit: Cpu


class MemoryShare(Settings):
    """Memory: what the scheduler reserves, and above what the stage is killed ("16Gi")."""

    request: Bytes
    limit: Bytes


class Accelerator(Settings):
    """Accelerators of a stage, by the name each platform has for them."""

    kubeflow: str = "nvidia.com/gpu"
    """Kubernetes resource."""
    vertex: str = "NVIDIA_L4"
    """Accelerator type of Vertex AI."""
    count: PositiveInt = 1


class Retry(Settings):
    """How often a failed stage is started again; the waits grow by `factor`."""

    times: NonNegativeInt = 0
    wait_s: NonNegativeInt = 60
    factor: float = Field(default=2.0, ge=1)
    longest_wait_s: NonNegativeInt = 3600


class Toleration(Settings):
    """A taint of nodes that the stage may run on all the same."""

    key: str | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class Volume(Settings):
    """A persistent volume claim that exists in the namespace."""

    claim: str
    mount: str
    sub_path: str = ""


class Secret(Settings):
    """A Kubernetes secret, by name: the pipeline never holds what is in it."""

    name: str
    env: dict[str, str] = {}
    """Key of the secret → environment variable."""
    mount: str | None = None
    """Folder that gets one file per key."""

    @model_validator(mode="after")
    def _check(self) -> Secret:
        if not self.env and self.mount is None:
            raise ValueError(f"secret {self.name!r} is not used: give env or mount")
        return self


class Stage(Settings):
    """The settings of one stage."""

    display_name: str
    image: str | None = None
    """Another image than the other stages'."""
    cpu: CpuShare
    memory: MemoryShare
    accelerator: Accelerator | None = None
    retry: Retry = Retry()
    timeout_s: PositiveInt | None = None
    """The pod is stopped after this time; None = never. Every try has it anew."""
    cache: bool = False
    """Whether an earlier output may be taken instead of running; refused for stages that check."""
    env: dict[str, str] = {}
    labels: dict[str, str] = {}
    """Of the pod; `app.kubernetes.io/component` is the stage's name."""
    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()
    shared_memory: Bytes | None = None
    """Size of /dev/shm, which several data-loading processes share; counts as memory."""
    volumes: tuple[Volume, ...] = ()
    secrets: tuple[Secret, ...] = ()


class ClusterSettings(Settings):
    """The content of `stages.yaml`."""

    image: str | None = None
    """Of every stage, best with a digest; None = what `make image` builds."""
    pipeline_root: str | None = None
    """Object-store location of all outputs; None = what the cluster is set up with."""
    image_pull_secrets: tuple[str, ...] = ()
    stages: dict[str, Stage]

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, content: Any) -> Any:
        """Merge `every_stage` into the stages."""
        if not isinstance(content, dict) or "every_stage" not in content:
            return content
        rest = {name: value for name, value in content.items() if name != "every_stage"}
        common = content["every_stage"] or {}
        stages = {name: _merged(common, stage or {}) for name, stage in rest.get("stages", {}).items()}
        return rest | {"stages": stages}

    @model_validator(mode="after")
    def _check(self) -> ClusterSettings:
        cached = [name for name in CHECKS if name in self.stages and self.stages[name].cache]
        if cached:
            raise ValueError(f"{cached} are checks: taken from a cache they would not check anything")
        return self

    @classmethod
    def load(cls, *files: str | Path) -> ClusterSettings:
        """The shipped settings, changed by what `files` say, the last one first.

        Raises:
            ValueError: a file is not YAML, names an unknown stage or setting, or a value is refused.
        """
        shipped = _read(DEFAULTS)
        content = shipped
        for file in files:
            site = _read(Path(file))
            unknown = sorted(set(site.get("stages") or {}) - set(shipped["stages"]))
            if unknown:
                raise ValueError(f"{file}: no stages {unknown}; there are {list(shipped['stages'])}")
            content = _merged(content, site)
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise ValueError(in_words(error, cls)) from None


def set_up(tasks: Mapping[str, PipelineTask], settings: ClusterSettings | None, target: Target) -> None:
    """Give the tasks of a pipeline, while it is being defined, what `settings` say.

    Args:
        tasks: stage name → task.
        settings: None = only what holds everywhere, for a run on this machine: no caching.
        target: where the pipeline will run.

    Raises:
        ValueError: settings and pipeline do not have the same stages.
    """
    if settings is None:
        # A cached stage is a check that did not run: the cache key knows neither our code nor the data.
        for task in tasks.values():
            task.set_caching_options(False)
        return
    if set(settings.stages) != set(tasks):
        raise ValueError(f"settings for {sorted(settings.stages)}, but the stages are {sorted(tasks)}")
    for name, task in tasks.items():
        stage = settings.stages[name]
        _set_portable(task, stage, settings, target)
        if target == "kubeflow":
            _set_kubernetes(task, name, stage, settings)


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
            task, "shared-memory", "/dev/shm", medium="Memory", size_limit=stage.shared_memory
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


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`below` with the values of `above`; mappings are merged, everything else is replaced."""
    result = dict(below)
    for name, value in above.items():
        old = result.get(name)
        both = isinstance(old, dict) and isinstance(value, dict)
        result[name] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return result


def _read(path: Path) -> dict[str, Any]:
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a mapping of settings but {type(content).__name__}")
    return content
