"""The Kubernetes API, as far as a TrainJob needs it: plain dictionaries in and out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from train_job.errors import TrainJobError, UnavailableError

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
TIMEOUT_S = (5, 30)
"""To connect, and to read an answer."""
TOO_MANY_REQUESTS = 429
NOT_KUBERNETES = "the answer is not of the Kubernetes API (a log-in page, or a proxy's)"
HINTS = {
    401: "the service account's token is not accepted",
    403: "the stage's service account lacks a right that deploy/rbac.yaml grants",
}


class JobApi:
    """One namespace of a Kubernetes cluster.

    Args:
        api: an authenticated client.
        namespace: where pods and TrainJobs are.
    """

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self.namespace = namespace
        self._api = api
        self._core = client.CoreV1Api(api)
        self._custom = client.CustomObjectsApi(api)

    @classmethod
    def connect(cls) -> JobApi:
        """Connect with the pod's service account, or as the file named by KUBECONFIG says.

        Raises:
            TrainJobError: this is no pod, and KUBECONFIG names no usable file.
        """
        settings, kubeconfig = client.Configuration(), os.environ.get("KUBECONFIG")
        try:
            if kubeconfig:
                config.load_kube_config(kubeconfig, client_configuration=settings)
                _, active = config.list_kube_config_contexts(kubeconfig)
                namespace = active["context"].get("namespace", "default")
            else:
                config.load_incluster_config(client_configuration=settings)
                namespace = NAMESPACE_FILE.read_text(encoding="utf-8").strip()
        except (config.ConfigException, OSError) as error:
            raise TrainJobError(
                f"the run description has a train_job section, but no Kubernetes API is known here: {error}"
            ) from None
        return cls(client.ApiClient(settings), namespace)

    def own_pod(self) -> dict[str, Any]:
        """The pod this process runs in."""
        name = os.environ.get("KFP_POD_NAME") or os.environ.get("HOSTNAME", "")
        pod = self._answer(self._core.read_namespaced_pod, name, self.namespace, what=f"read pod {name}")
        return self._api.sanitize_for_serialization(pod)

    def create(self, manifest: dict[str, Any]) -> bool:
        """Create a TrainJob; False when one of that name is there."""
        name = manifest["metadata"]["name"]
        try:
            self._answer(
                self._custom.create_namespaced_custom_object,
                *(GROUP, VERSION, self.namespace, PLURAL, manifest),
                what=f"create TrainJob {name}",
                allowed=(409,),
            )
        except ApiException:
            return False
        return True

    def train_job(self, name: str) -> dict[str, Any] | None:
        """A TrainJob as it is now; None when there is none of that name."""
        try:
            return self._answer(
                self._custom.get_namespaced_custom_object,
                *(GROUP, VERSION, self.namespace, PLURAL, name),
                what=f"read TrainJob {name}",
                allowed=(404,),
            )
        except ApiException:
            return None

    def delete(self, name: str) -> None:
        """Delete a TrainJob and its pods, if it is there."""
        try:
            self._answer(
                self._custom.delete_namespaced_custom_object,
                *(GROUP, VERSION, self.namespace, PLURAL, name),
                propagation_policy="Foreground",
                what=f"delete TrainJob {name}",
                allowed=(404,),
            )
        except ApiException:
            return

    def pods(self, name: str) -> list[dict[str, Any]]:
        """The pods of a TrainJob's nodes, oldest first."""
        selector = f"jobset.sigs.k8s.io/jobset-name={name},jobset.sigs.k8s.io/replicatedjob-name=node"
        found = self._answer(
            self._core.list_namespaced_pod,
            self.namespace,
            label_selector=selector,
            what=f"list the pods of TrainJob {name}",
        )
        pods = self._api.sanitize_for_serialization(found)["items"]
        return sorted(pods, key=lambda pod: pod["metadata"].get("creationTimestamp", ""))

    def log(self, pod: str, **options: Any) -> str:
        """The log of a pod's training container; empty while the container has not started.

        Args:
            pod: its name.
            options: `since_seconds`, `tail_lines`, `timestamps` of the Kubernetes API.
        """
        try:
            answer = self._answer(
                self._core.read_namespaced_pod_log,
                *(pod, self.namespace),
                container="node",
                _preload_content=False,  # or bytes would come as "b'...'"
                **options,
                what=f"read the log of pod {pod}",
                allowed=(400, 404),
            )
        except ApiException:
            return ""
        return answer.data.decode("utf-8", errors="replace")

    def _answer(
        self,
        call: Callable[..., Any],
        *arguments: Any,
        what: str,
        allowed: tuple[int, ...] = (),
        **options: Any,
    ) -> Any:
        """Make one request.

        Raises:
            ApiException: the status is one of `allowed`.
            UnavailableError: no answer, or one that may be another later.
            TrainJobError: the request is refused.
        """
        try:
            answer = call(*arguments, _request_timeout=TIMEOUT_S, **options)
        except ApiException as error:
            if error.status in allowed:
                raise
            words = f"cannot {what} in namespace {self.namespace!r}: {error.status} {error.reason}"
            if error.status and (error.status >= 500 or error.status == TOO_MANY_REQUESTS):
                raise UnavailableError(words) from None
            detail = HINTS.get(error.status) or error.body or "the answer is empty"
            raise TrainJobError(f"{words} ({detail})") from None
        except urllib3.exceptions.HTTPError as error:
            raise UnavailableError(f"cannot {what}: {error}") from None
        except (AttributeError, TypeError, ValueError):  # the client builds objects of whatever came
            raise UnavailableError(f"cannot {what}: {NOT_KUBERNETES}") from None
        if isinstance(answer, str):
            raise UnavailableError(f"cannot {what}: {NOT_KUBERNETES}")
        return answer
