"""A Kubernetes API that knows pods, their logs and TrainJobs, and does what a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from support.small_training import small_run

from tsa_model.settings.run import RunConfig

NAMESPACE = "fraud"
STAGE_POD = "tsa-pipeline-abc-system-container-impl-1"


VOLUMES: list[dict[str, Any]] = [
    {"name": "var-run-argo", "emptyDir": {}},
    {"name": "shared", "persistentVolumeClaim": {"claimName": "tsa-shared"}},
    {"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}},
    {"name": "unused", "persistentVolumeClaim": {"claimName": "other"}},
    {"name": "kube-api-access", "projected": {"sources": []}},
]


def stage_pod(**container: Any) -> dict[str, Any]:
    """A pod as Kubeflow Pipelines makes it for the training stage."""
    return {
        "metadata": {
            "name": STAGE_POD,
            "namespace": NAMESPACE,
            "uid": "0c1d",
            "ownerReferences": [
                {
                    "apiVersion": "argoproj.io/v1alpha1",
                    "kind": "Workflow",
                    "name": "tsa-pipeline-abc",
                    "uid": "77aa",
                    "controller": True,
                }
            ],
        },
        "spec": {
            "serviceAccountName": "tsa-pipeline",
            "nodeSelector": {"pool": "gpu"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "imagePullSecrets": [{"name": "registry"}],
            "securityContext": {"fsGroup": 1000},
            "volumes": [dict(volume) for volume in VOLUMES],
            "containers": [
                {"name": "wait", "image": "argoexec"},
                {
                    "name": "main",
                    "image": "registry.example/tsa-python@sha256:1234",
                    "env": [
                        {"name": "KFP_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                        {"name": "NCCL_DEBUG", "value": "WARN"},
                        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "store", "key": "key"}}},
                        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                    ],
                    "resources": {"requests": {"cpu": "2", "memory": "4Gi"}, "limits": {"memory": "4Gi"}},
                    "volumeMounts": [
                        {"name": "var-run-argo", "mountPath": "/var/run/argo"},
                        {"name": "shared", "mountPath": "/shared"},
                        {"name": "dshm", "mountPath": "/dev/shm"},
                        {"name": "kube-api-access", "mountPath": "/var/run/secrets"},
                    ],
                    **container,
                },
            ],
        },
    }


def node_pod(job: str, index: int, phase: str = "Running", attempt: int = 0) -> dict[str, Any]:
    """A pod as JobSet makes it for a node of a TrainJob."""
    return {
        "metadata": {
            "name": f"{job}-node-0-{index}-{attempt}",
            "creationTimestamp": f"2026-01-01T00:0{attempt}:00Z",
            "labels": {
                "jobset.sigs.k8s.io/jobset-name": job,
                "jobset.sigs.k8s.io/replicatedjob-name": "node",
                "batch.kubernetes.io/job-completion-index": str(index),
            },
        },
        "spec": {"containers": [{"name": "node", "image": "image"}]},
        "status": {"phase": phase},
    }


def on_nodes(shared: Path, training: dict[str, Any] | None = None, **train_job: Any) -> RunConfig:
    """A small run on two nodes with one process each."""
    run = small_run(**{"num_nodes": 2, **(training or {})}).model_dump()
    run["train_job"] = {"shared_dir": str(shared), "poll_seconds": 0.02, **train_job}
    return RunConfig.model_validate(run)


class StubCluster:
    """State of the stub, and what was asked of it."""

    def __init__(self) -> None:
        self.pods: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, list[str]] = {}
        """Pod → lines, each with its time stamp."""
        self.jobs: dict[str, dict[str, Any]] = {}
        self.created: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.failures: list[int] = []
        """Statuses to answer the next requests with."""
        self.looks = 0
        """How often a TrainJob was read."""
        self.on_create: Callable[[dict[str, Any]], None] = lambda job: None
        self.on_look: Callable[[dict[str, Any], int], None] = lambda job, looks: None
        self.add_pod(stage_pod())

    def add_pod(self, pod: dict[str, Any]) -> None:
        self.pods[pod["metadata"]["name"]] = pod

    def set_condition(self, job: dict[str, Any], kind: str, reason: str = "", message: str = "") -> None:
        one = {"type": kind, "status": "True", "reason": reason, "message": message}
        job.setdefault("status", {}).setdefault("conditions", []).append(one)

    def answer(self, method: str, url: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        if self.failures:
            return self.failures.pop(0), {"message": "told to fail"}
        path, query = urlsplit(url).path, parse_qs(urlsplit(url).query)
        parts = path.strip("/").split("/")
        if path.startswith(f"/api/v1/namespaces/{NAMESPACE}/pods"):
            return self._pods(parts[5:], query)
        if path.startswith(f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{NAMESPACE}/trainjobs"):
            return self._jobs(method, parts[6:], body)
        return 403, {"message": f"forbidden: {path}"}

    def _pods(self, rest: list[str], query: dict[str, list[str]]) -> tuple[int, Any]:
        if not rest:
            wanted = dict(pair.split("=") for pair in query["labelSelector"][0].split(","))
            found = [
                pod
                for pod in self.pods.values()
                if wanted.items() <= pod["metadata"].get("labels", {}).items()
            ]
            return 200, {"kind": "PodList", "apiVersion": "v1", "items": found}
        if rest[0] not in self.pods:
            return 404, {"message": f"no pod {rest[0]}"}
        if rest[1:] != ["log"]:
            return 200, self.pods[rest[0]]
        lines = self.logs.get(rest[0])
        if lines is None:
            return 400, {"message": "ContainerCreating"}
        lines = lines[-int(query.get("tailLines", [len(lines)])[0]) or None :]
        if query.get("timestamps") != ["true"] and query.get("timestamps") != ["True"]:
            lines = [line.partition(" ")[2] for line in lines]
        return 200, "".join(f"{line}\n" for line in lines)

    def _jobs(self, method: str, rest: list[str], body: dict[str, Any] | None) -> tuple[int, Any]:
        if method == "POST":
            assert body is not None
            name = body["metadata"]["name"]
            if name in self.jobs:
                return 409, {"reason": "AlreadyExists"}
            self.created.append(json.loads(json.dumps(body)))
            self.jobs[name] = body
            self.on_create(body)
            return 201, body
        if rest[0] not in self.jobs:
            return 404, {"message": f"no TrainJob {rest[0]}"}
        if method == "DELETE":
            self.deleted.append(rest[0])
            del self.jobs[rest[0]]
            return 200, {"status": "Success"}
        self.looks += 1
        job = self.jobs[rest[0]]
        self.on_look(job, self.looks)
        return (200, job) if rest[0] in self.jobs else (404, {"message": "gone"})


@contextmanager
def serve(cluster: StubCluster, kubeconfig: Path) -> Iterator[str]:
    """Serve the stub on a free port of this machine and write a kubeconfig that leads to it."""

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            status, content = cluster.answer(self.command, self.path, body)
            is_text = isinstance(content, str)
            payload = (content if is_text else json.dumps(content)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if is_text else "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_DELETE = _handle

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "stub",
                "clusters": [{"name": "stub", "cluster": {"server": address}}],
                "users": [{"name": "stub", "user": {"token": "token"}}],
                "contexts": [
                    {
                        "name": "stub",
                        "context": {"cluster": "stub", "user": "stub", "namespace": NAMESPACE},
                    }
                ],
            }
        )
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def verb(method: str, path: str) -> tuple[str, str, str]:
    """Kubernetes' words for a request: API group, resource, verb."""
    parts = path.split("?")[0].strip("/").split("/")
    group, rest = ("", parts[4:]) if parts[0] == "api" else (parts[1], parts[5:])
    resource = "/".join(rest[::2])
    name = {"POST": "create", "DELETE": "delete", "GET": "get" if len(rest) > 1 else "list"}
    return group, resource, name[method]
