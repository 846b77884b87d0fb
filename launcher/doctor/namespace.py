"""The objects of a Kubernetes namespace that the stage settings and the run description name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from launcher.doctor.finding import Finding, fine, missing, note
from launcher.stages import ClusterSettings
from tsa_model.settings.run import RunConfig
from tsa_model.settings.train_job import TrainJobConfig

TIMEOUT_S = (5, 15)
TRAINER = ("trainer.kubeflow.org", "v1alpha1")
LAUNCHER_SETTINGS = "kfp-launcher"
"""ConfigMap in which Kubeflow keeps where artifacts go, and with which credentials."""


class Namespace:
    """A namespace, read with the account of a kubeconfig file.

    Args:
        kubeconfig: the file.
        name: the namespace.

    Raises:
        ValueError: the file cannot be used.
    """

    def __init__(self, kubeconfig: str, name: str) -> None:
        settings = client.Configuration()
        try:
            config.load_kube_config(kubeconfig, client_configuration=settings)
        except (config.ConfigException, OSError) as error:
            raise ValueError(f"kubeconfig {kubeconfig} cannot be used: {error}") from None
        api = client.ApiClient(settings)
        self.name = name
        self._core, self._custom = client.CoreV1Api(api), client.CustomObjectsApi(api)

    def check(self, settings: ClusterSettings, run: RunConfig, account: str) -> Iterator[Finding]:
        """What a run would look for.

        Args:
            settings: of the stages.
            run: the run description.
            account: service account of the runs; empty = the installation's.
        """
        core, stages = self._core, settings.stages.values()
        if account:
            yield self._look(
                "service account", account, core.read_namespaced_service_account, "deploy/rbac.yaml"
            )
        for claim in sorted({volume.claim for stage in stages for volume in stage.volumes}):
            read = core.read_namespaced_persistent_volume_claim
            yield self._look("volume claim", claim, read, "deploy/storage.yaml")
        keys = {secret.name: set(secret.env) for stage in stages for secret in stage.secrets}
        keys |= {name: {".dockerconfigjson"} for name in settings.image_pull_secrets}
        for secret, wanted in sorted(keys.items()):
            yield self._look(
                "secret", secret, core.read_namespaced_secret, "deploy/secrets.example.yaml", wanted
            )
        if settings.pipeline_root:
            read = core.read_namespaced_config_map
            remedy = f"its `providers` name the credentials of {settings.pipeline_root}"
            yield self._look("config map", LAUNCHER_SETTINGS, read, remedy)
        if run.train_job is not None:
            yield self._runtime(run.train_job)

    def _look(
        self,
        kind: str,
        name: str,
        read: Callable[..., Any],
        remedy: str,
        keys: set[str] | None = None,
    ) -> Finding:
        what = f"{kind} {name}"
        try:
            found = read(name, self.name, _request_timeout=TIMEOUT_S)
        except ApiException as error:
            return self._refused(what, error, remedy)
        absent = sorted((keys or set()) - set(getattr(found, "data", None) or {}))
        if absent:
            return missing(what, f"it has no key {', '.join(absent)}", remedy)
        phase = getattr(getattr(found, "status", None), "phase", None)
        if phase == "Lost":
            return missing(what, "its volume is lost", remedy)
        return fine(what, f"namespace {self.name}" + (f", {phase}" if phase else ""))

    def _runtime(self, job: TrainJobConfig) -> Finding:
        what = f"{job.runtime_kind} {job.runtime}"
        remedy = "Kubeflow Trainer 2.2 or newer, then deploy/training_runtime.yaml"
        try:
            if job.runtime_kind == "TrainingRuntime":
                self._custom.get_namespaced_custom_object(
                    *TRAINER, self.name, "trainingruntimes", job.runtime, _request_timeout=TIMEOUT_S
                )
            else:
                self._custom.get_cluster_custom_object(
                    *TRAINER, "clustertrainingruntimes", job.runtime, _request_timeout=TIMEOUT_S
                )
        except ApiException as error:
            return self._refused(what, error, remedy)
        return fine(what, f"namespace {self.name}")

    def _refused(self, what: str, error: ApiException, remedy: str) -> Finding:
        if error.status == 404:
            return missing(what, f"there is none in namespace {self.name}", remedy)
        if error.status == 403:
            return note(what, "the account of the kubeconfig may not look", f"have it looked for: {remedy}")
        return missing(what, f"the cluster answers {error.status} {error.reason}", "check the kubeconfig")
