"""What each stage gets on a cluster: its image, resources, retries, place and volumes, from one file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt, ValidationError, model_validator

from launcher.values import (
    Bytes,
    Cpu,
    Folder,
    Image,
    InnerPath,
    KubernetesName,
    LabelName,
    LabelValue,
    VariableName,
    as_text,
    cores,
    number_of_bytes,
)
from tsa_model.settings import Settings, in_words, load_yaml

DEFAULTS = Path(__file__).with_name("stages.yaml")
SHARED_MEMORY = "/dev/shm"
CHECKS = (
    "validate_events",
    "check_equivalence",
    "export_onnx",
    "generate_scores",
    "check_online",
    "compare_champion",
    "monitor_scores",
)
"""Stages that check something: taken from a cache, the check would not happen."""


class CpuShare(Settings):
    """Processors: what the scheduler reserves, and what cannot be exceeded."""

    request: Cpu
    limit: Cpu

    @model_validator(mode="after")
    def _check(self) -> CpuShare:
        if cores(self.request) > cores(self.limit):
            raise ValueError(f"the request {self.request} is above the limit {self.limit}")
        return self


class MemoryShare(Settings):
    """Memory: what the scheduler reserves, and above what the stage is killed ("16Gi")."""

    request: Bytes
    limit: Bytes

    @model_validator(mode="after")
    def _check(self) -> MemoryShare:
        if number_of_bytes(self.request) > number_of_bytes(self.limit):
            raise ValueError(f"the request {self.request} is above the limit {self.limit}")
        return self


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

    claim: KubernetesName
    mount: Folder
    sub_path: InnerPath = ""


class Secret(Settings):
    """A Kubernetes secret, by name: the pipeline never holds what is in it."""

    name: KubernetesName
    env: dict[str, VariableName] = {}
    """Key of the secret → environment variable."""
    mount: Folder | None = None
    """Folder that gets one file per key."""

    @model_validator(mode="after")
    def _check(self) -> Secret:
        if not self.env and self.mount is None:
            raise ValueError(f"secret {self.name!r} is not used: give env or mount")
        return self


class Stage(Settings):
    """The settings of one stage."""

    display_name: str
    image: Image | None = None
    """Another image than the other stages'."""
    cpu: CpuShare
    memory: MemoryShare
    accelerator: Accelerator | None = None
    retry: Retry = Retry()
    timeout_s: PositiveInt | None = None
    """The pod is stopped after this time; None = never. Every try has it anew."""
    cache: bool = False
    """Whether an earlier output may be taken instead of running; refused for stages that check."""
    env: dict[VariableName, Annotated[str, BeforeValidator(as_text)]] = {}
    labels: dict[LabelName, LabelValue] = {}
    """Of the pod; `app.kubernetes.io/component` is the stage's name."""
    node_selector: dict[LabelName, LabelValue] = {}
    tolerations: tuple[Toleration, ...] = ()
    shared_memory: Bytes | None = None
    """Size of /dev/shm, which several data-loading processes share; counts as memory."""
    volumes: tuple[Volume, ...] = ()
    secrets: tuple[Secret, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Stage:
        mounts = [volume.mount for volume in self.volumes]
        mounts += [secret.mount for secret in self.secrets if secret.mount is not None]
        if self.shared_memory is not None:
            mounts.append(SHARED_MEMORY)
            if number_of_bytes(self.shared_memory) > number_of_bytes(self.memory.limit):
                raise ValueError(
                    f"shared_memory {self.shared_memory} is above the memory's limit {self.memory.limit}, "
                    "as which it counts"
                )
        twice = sorted({mount for mount in mounts if mounts.count(mount) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)}: mounted twice")
        return self


class ClusterSettings(Settings):
    """The content of `stages.yaml`."""

    image: Image | None = None
    """Of every stage, best with a digest; None = what `make image` builds."""
    pipeline_root: str | None = None
    """Object-store location of all outputs; None = what the cluster is set up with."""
    image_pull_secrets: tuple[KubernetesName, ...] = ()
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
        content, settings = shipped, cls.model_validate(shipped)
        for file in files:
            site = _read(Path(file))
            stages = site.get("stages") or {}
            if not isinstance(stages, dict):
                raise ValueError(f"{file}: stages is {stages!r} instead of a mapping of stages")
            unknown = sorted(set(stages) - set(shipped["stages"]))
            if unknown:
                raise ValueError(f"{file}: no stages {unknown}; there are {list(shipped['stages'])}")
            content = _merged(content, site)
            try:
                settings = cls.model_validate(content)
            except ValidationError as error:
                raise ValueError(f"{file}: {_once(in_words(error, cls), 'every_stage' in site)}") from None
        return settings


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`below` with the values of `above`; mappings are merged, everything else is replaced."""
    result = dict(below)
    for name, value in above.items():
        old = result.get(name)
        both = isinstance(old, dict) and isinstance(value, dict)
        result[name] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return result


def _once(words: str, has_every_stage: bool) -> str:
    """What is wrong, once: a mistake in `every_stage` is found in each stage that takes it over."""
    places: dict[str, list[str]] = {}
    for line in words.splitlines():
        found = re.fullmatch(r"stages\.(\w+)(\.|: )(.*)", line)
        place, rest = (found[1], found[2] + found[3]) if found else ("", line)
        places.setdefault(rest, []).append(place)
    lines = []
    for rest, names in places.items():
        if names == [""]:
            lines.append(rest)
        else:
            common = has_every_stage and len(names) > 1
            where = "every_stage" if common else f"stages.{','.join(names)}"
            lines.append(where + rest)
    return "; ".join(lines)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a mapping of settings but {type(content).__name__}")
    return content
