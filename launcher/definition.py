"""What a command needs to know of the pipeline before kfp, which takes seconds to import, is asked for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from launcher.target import Target

if TYPE_CHECKING:
    from kfp.dsl.base_component import BaseComponent

    from launcher.stages import ClusterSettings

TRAINING = "training"
"""Name of the pipeline that makes a model, for `--pipeline`."""
MONITORING = "monitoring"
"""Name of the one that judges a model's scores."""

Inputs = Mapping[str, inspect.Parameter]
"""Name → annotated parameter, with its default, of every input of the pipeline."""


class Define(Protocol):
    """The function that defines the pipeline."""

    def __call__(self, settings: ClusterSettings | None = None, target: Target = "kubeflow") -> BaseComponent:
        """Define it for `target`, set up with `settings`."""


@dataclass(frozen=True)
class Definition:
    """The pipeline, as the commands get it."""

    stages: Callable[..., Any]
    """The plain function whose parameters, annotated with types, are the pipeline's inputs."""
    define: Define
    compiled: Path
    """The committed YAML."""
    others: Mapping[str, Definition] = field(default_factory=dict)
    """Pipelines beside this one, by the name that `--pipeline` has for them."""

    def chosen(self, name: str | None) -> Definition:
        """The pipeline of that name; None or `training` = this one."""
        return self if name in (None, TRAINING) else self.others[str(name)]

    @property
    def inputs(self) -> Inputs:
        """The pipeline's inputs."""
        return inspect.signature(self.stages).parameters
