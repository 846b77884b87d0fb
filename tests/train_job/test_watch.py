"""Following a TrainJob: its log once, its failures and timeouts final, the API's moods survived."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.kubernetes_stub import StubCluster, node_pod

from train_job.api import JobApi
from train_job.errors import TrainJobError
from train_job.watch import watch
from tsa_model.settings.train_job import TrainJobConfig

JOB = "tsa-train-1"
NODE = {"name": "node", "image": "image", "imageID": "", "ready": False, "restartCount": 1}
KILLED = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}


def config(**changes: Any) -> TrainJobConfig:
    return TrainJobConfig(**{"shared_dir": "/shared", "poll_seconds": 0.01, "timeout_minutes": 1, **changes})


def start(stub: StubCluster, on_look: Callable[[dict[str, Any], int], None]) -> None:
    stub.jobs[JOB] = {"metadata": {"name": JOB}}
    stub.on_look = on_look


def lines_of(stub: StubCluster, pod: str, *texts: str) -> None:
    log = stub.logs.setdefault(pod, [])
    for text in texts:
        # Kubernetes cuts trailing zeros of a time stamp's fraction in some versions.
        stamp = f"{len(log) / 10:.9f}".rstrip("0").rstrip(".").split(".")
        log.append(f"2026-01-01T00:00:0{'.'.join(stamp)}Z {text}")


def test_every_line_of_the_first_node_is_written_once(kubernetes: StubCluster) -> None:
    def on_look(job: dict[str, Any], looks: int) -> None:
        kubernetes.add_pod(node_pod(JOB, 0))
        kubernetes.add_pod(node_pod(JOB, 1))
        lines_of(kubernetes, node_pod(JOB, 1)["metadata"]["name"], "other node")
        if looks > 1:
            lines_of(kubernetes, node_pod(JOB, 0)["metadata"]["name"], f"line {looks}", "", "same")
        if looks == 6:
            kubernetes.set_condition(job, "Complete")

    start(kubernetes, on_look)
    written: list[str] = []
    watch(JobApi.connect(), JOB, config(), written.append)
    log = [line for line in written if not line.startswith("TrainJob")]
    assert log == [text for looks in range(2, 7) for text in (f"line {looks}", "", "same")]


def test_a_node_that_was_started_again_is_read_from_its_start(kubernetes: StubCluster) -> None:
    def on_look(job: dict[str, Any], looks: int) -> None:
        pod = node_pod(JOB, 0, attempt=0 if looks < 3 else 1)
        kubernetes.add_pod(pod)
        kubernetes.logs[pod["metadata"]["name"]] = ["2026-01-01T00:00:00.5Z hello"]
        if looks == 4:
            kubernetes.set_condition(job, "Complete")

    start(kubernetes, on_look)
    written: list[str] = []
    watch(JobApi.connect(), JOB, config(), written.append)
    assert written.count("hello") == 2


def test_a_failed_train_job_ends_with_its_reason_and_last_lines(kubernetes: StubCluster) -> None:
    def on_look(job: dict[str, Any], looks: int) -> None:
        failed = node_pod(JOB, 1, phase="Failed")
        kubernetes.add_pod(node_pod(JOB, 0))
        kubernetes.add_pod(failed)
        kubernetes.logs[failed["metadata"]["name"]] = [f"2026-01-01T00:00:00Z word {i}" for i in range(99)]
        kubernetes.set_condition(job, "Failed", "JobsFailed", "jobset failed")

    start(kubernetes, on_look)
    with pytest.raises(TrainJobError) as caught:
        watch(JobApi.connect(), JOB, config(), print)
    message = str(caught.value)
    assert message.startswith(f"TrainJob {JOB} failed: JobsFailed: jobset failed\n")
    assert "word 98" in message
    assert "word 68" not in message, "only the last 30 lines"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            {"reason": "Evicted", "message": "The node was low on resource: memory."},
            "pod tsa-train-1-node-0-1-0: Evicted: The node was low on resource: memory.",
        ),
        (
            {"containerStatuses": [NODE | {"state": KILLED}]},
            "pod tsa-train-1-node-0-1-0: OOMKilled (exit code 137)",
        ),
        (  # started again meanwhile
            {"containerStatuses": [NODE | {"lastState": KILLED}]},
            "pod tsa-train-1-node-0-1-0: OOMKilled (exit code 137)",
        ),
    ],
)
def test_what_kubernetes_says_of_a_node_is_told(
    kubernetes: StubCluster, status: dict[str, Any], words: str
) -> None:
    def on_look(job: dict[str, Any], looks: int) -> None:
        pod = node_pod(JOB, 1, phase="Failed")
        pod["status"] |= status
        kubernetes.add_pod(pod)
        kubernetes.set_condition(job, "Failed", "JobsFailed", "jobset failed")

    start(kubernetes, on_look)
    with pytest.raises(TrainJobError) as caught:
        watch(JobApi.connect(), JOB, config(), print)
    assert words in str(caught.value).splitlines()


def test_a_log_in_page_is_no_answer(kubernetes: StubCluster) -> None:
    page, real = "<html>log in</html>", kubernetes.answer
    pages = [page] * 6

    def answer(method: str, url: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        return (200, pages.pop()) if pages else real(method, url, body)

    kubernetes.answer = answer  # type: ignore[method-assign]
    start(kubernetes, lambda job, looks: kubernetes.set_condition(job, "Complete"))
    watch(JobApi.connect(), JOB, config(), print)
    assert pages == []
    pages = [page] * 10_000
    with pytest.raises(TrainJobError, match=r"no answer for 0.003 minutes .* not of the Kubernetes API"):
        watch(JobApi.connect(), JOB, config(unreachable_minutes=0.003), print)


def test_a_train_job_that_never_starts_times_out_and_says_why(kubernetes: StubCluster) -> None:
    pod = node_pod(JOB, 0, phase="Pending")
    pod["status"]["conditions"] = [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/3 nodes have nvidia.com/gpu",
        }
    ]
    kubernetes.add_pod(pod)
    start(kubernetes, lambda job, looks: None)
    written: list[str] = []
    with pytest.raises(TrainJobError, match=r"not complete after 0.005 minutes .*Unschedulable: 0/3 nodes"):
        watch(JobApi.connect(), JOB, config(timeout_minutes=0.005), written.append)
    assert written == [f"TrainJob {JOB}: 1 Pending (Unschedulable: 0/3 nodes have nvidia.com/gpu)"]


def test_a_train_job_that_someone_deleted_is_an_end(kubernetes: StubCluster) -> None:
    def on_look(job: dict[str, Any], looks: int) -> None:
        if looks == 3:
            del kubernetes.jobs[JOB]

    start(kubernetes, on_look)
    with pytest.raises(TrainJobError, match="was deleted by someone else"):
        watch(JobApi.connect(), JOB, config(), print)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_api_that_answers_again_is_forgiven(kubernetes: StubCluster, status: int) -> None:
    def on_look(job: dict[str, Any], looks: int) -> None:
        if looks == 2:
            kubernetes.failures = [status] * 4
        if looks == 4:
            kubernetes.set_condition(job, "Complete")

    start(kubernetes, on_look)
    watch(JobApi.connect(), JOB, config(), print)
    assert kubernetes.failures == []


def test_an_api_that_stays_silent_is_an_end(kubernetes: StubCluster) -> None:
    start(kubernetes, lambda job, looks: None)
    kubernetes.failures = [503] * 10_000
    with pytest.raises(TrainJobError, match=r"no answer for 0.003 minutes .* 503"):
        watch(JobApi.connect(), JOB, config(unreachable_minutes=0.003), print)


def test_an_api_that_is_not_there_is_an_end(kubernetes: StubCluster, tmp_path: Path) -> None:
    text = (tmp_path / "kubeconfig").read_text(encoding="utf-8")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    (tmp_path / "kubeconfig").write_text(re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", text))
    with pytest.raises(TrainJobError, match=r"no answer for 0.001 minutes .* refused"):
        watch(JobApi.connect(), JOB, config(unreachable_minutes=0.001), print)


@pytest.mark.parametrize(
    ("status", "words"), [(401, "token is not accepted"), (403, "lacks a right that deploy/rbac.yaml grants")]
)
def test_a_refusal_is_an_end_at_once(kubernetes: StubCluster, status: int, words: str) -> None:
    start(kubernetes, lambda job, looks: None)
    kubernetes.failures = [status]
    with pytest.raises(TrainJobError, match=words):
        watch(JobApi.connect(), JOB, config(), print)


def test_no_cluster_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(TrainJobError, match="has a train_job section, but no Kubernetes API is known here"):
        JobApi.connect()
