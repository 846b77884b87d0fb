"""Follow a TrainJob to its end: its first node's log, its pods, its final state."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from train_job.api import JobApi
from train_job.errors import TrainJobError, UnavailableError
from tsa_model.settings.train_job import TrainJobConfig

INDEX_LABEL = "batch.kubernetes.io/job-completion-index"
OVERLAP_S = 5
"""Log lines are asked for from so much before the last look on; those seen before are left out."""
LAST_LINES = 30
"""Of each failed node's log that go into the error."""

Write = Callable[[str], None]


def watch(api: JobApi, name: str, config: TrainJobConfig, write: Write) -> None:
    """Wait until a TrainJob is complete.

    Args:
        api: where it runs.
        name: of the TrainJob.
        config: timeouts and the time between two looks.
        write: called with every line of the first node's log, and when the state of the pods changes.

    Raises:
        TrainJobError: it failed, timed out, was deleted, or the API gave no answer for too long.
    """
    log, shown = NodeLog(api, write), ""
    answered = time.monotonic()
    deadline = answered + config.timeout_minutes * 60
    while True:
        try:
            job, pods = api.train_job(name), api.pods(name)
            log.show_new(pods)
            answered = time.monotonic()
            if job is None:
                raise TrainJobError(f"TrainJob {name} was deleted by someone else")
            if (state := describe(job, pods)) != shown:
                write(f"TrainJob {name}: {state}")
                shown = state
            if condition(job, "Complete"):
                return
            if failed := condition(job, "Failed"):
                reason = f"{failed.get('reason', '')}: {failed.get('message', '')}"
                raise TrainJobError(f"TrainJob {name} failed: {reason}{_last_words(api, pods)}")
        except UnavailableError as error:
            if time.monotonic() - answered > config.unreachable_minutes * 60:
                raise TrainJobError(
                    f"no answer for {config.unreachable_minutes:g} minutes about TrainJob {name}: {error}"
                ) from None
        if time.monotonic() > deadline:
            raise TrainJobError(
                f"TrainJob {name} was not complete after {config.timeout_minutes:g} minutes"
                f" (train_job.timeout_minutes); it was last seen as: {shown or 'not seen at all'}"
            )
        time.sleep(config.poll_seconds)


def condition(job: dict[str, Any], kind: str) -> dict[str, Any] | None:
    """The TrainJob's condition of this kind, if it is true."""
    for one in job.get("status", {}).get("conditions", ()):
        if one["type"] == kind and one["status"] == "True":
            return one
    return None


def describe(job: dict[str, Any], pods: list[dict[str, Any]]) -> str:
    """The state of a TrainJob and its pods in a few words, and why pods wait."""
    kinds = [kind for kind in ("Complete", "Failed", "Suspended") if condition(job, kind)]
    phases = Counter(pod.get("status", {}).get("phase", "Unknown") for pod in pods)
    words = [*kinds, *(f"{count} {phase}" for phase, count in sorted(phases.items()))]
    waiting = sorted({reason for pod in pods if (reason := _waits_for(pod))})
    return ", ".join(words or ["no pods yet"]) + (f" ({'; '.join(waiting)})" if waiting else "")


def _waits_for(pod: dict[str, Any]) -> str:
    status = pod.get("status", {})
    for one in status.get("conditions", ()):
        if one["type"] == "PodScheduled" and one["status"] == "False":
            return f"{one.get('reason', '')}: {one.get('message', '')}"
    for container in status.get("containerStatuses", ()):
        if waiting := container.get("state", {}).get("waiting"):
            return f"{waiting.get('reason', '')}: {waiting.get('message', '')}".rstrip(": ")
    return ""


def why_it_ended(pod: dict[str, Any]) -> str:
    """What Kubernetes itself says of a pod's end, such as an eviction or too much memory; empty = nothing."""
    status = pod.get("status", {})
    words = [": ".join(filter(None, (status.get("reason"), status.get("message"))))]
    for container in status.get("containerStatuses", ()):
        for state in (container.get("state", {}), container.get("lastState", {})):
            ended = state.get("terminated") or {}
            if ended.get("exitCode") and ended.get("reason") != "Error":
                reason = f"{ended.get('reason', '')} (exit code {ended['exitCode']})"
                words.append(": ".join(filter(None, (reason.strip(), ended.get("message")))))
    return "; ".join(dict.fromkeys(filter(None, words)))


def _last_words(api: JobApi, pods: list[dict[str, Any]]) -> str:
    """Why nodes failed, and the last lines of their logs; best effort: they come with an error already."""
    found = ""
    for pod in pods:
        name, why = pod["metadata"]["name"], why_it_ended(pod)
        if why:
            found += f"\npod {name}: {why}"
        if pod.get("status", {}).get("phase") != "Failed":
            continue
        try:
            found += f"\n--- last lines of pod {name} ---\n{api.log(name, tail_lines=LAST_LINES)}"
        except (TrainJobError, UnavailableError) as error:
            found += f"\n--- no log of pod {name}: {error}"
    return found


class NodeLog:
    """The log of the first node's newest pod, each line once.

    Args:
        api: where it runs.
        write: called with every line.
    """

    def __init__(self, api: JobApi, write: Write) -> None:
        self._api = api
        self._write = write
        self._pod = ""
        self._last = ""
        """Time stamp of the last line shown."""
        self._looked = 0.0

    def show_new(self, pods: list[dict[str, Any]]) -> None:
        """Write the lines that were logged since the last call."""
        first = [pod for pod in pods if pod["metadata"].get("labels", {}).get(INDEX_LABEL) == "0"]
        if not first:
            return
        name, now = first[-1]["metadata"]["name"], time.monotonic()
        options: dict[str, Any] = {"timestamps": True}
        if name != self._pod:
            self._pod, self._last = name, ""
        elif self._last:
            options["since_seconds"] = int(now - self._looked) + OVERLAP_S
        for line in self._api.log(name, **options).splitlines():
            stamp, _, text = line.partition(" ")
            if (key := _sortable(stamp)) > self._last:
                self._write(text)
                self._last = key
        self._looked = now


def _sortable(stamp: str) -> str:
    """A time stamp whose fraction has nine digits, so that text order is time order."""
    seconds, _, fraction = stamp.removesuffix("Z").partition(".")
    return f"{seconds}.{fraction:0<9}"
